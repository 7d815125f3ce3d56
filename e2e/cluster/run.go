package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// description is what a program needs to know of a running cluster. It is printed on one line once the cluster is ready, and
// kept in its folder.
type description struct {
	Kubeconfig string         `json:"kubeconfig"`
	Server     string         `json:"server"`
	Version    string         `json:"version"`
	Dir        string         `json:"dir"`
	BinDir     string         `json:"binDir"`
	AuditLog   string         `json:"auditLog"`
	AdminToken string         `json:"adminToken"`
	PID        int            `json:"pid"`
	PIDs       map[string]int `json:"pids"`
}

// descriptionFile is the name of the description in the cluster's folder.
const descriptionFile = "cluster.json"

// runCommand is "cluster run".
func runCommand(args []string) error {
	o, err := parseOptions("run", args, "")
	if err != nil {
		return err
	}
	folders, err := o.build()
	if err != nil {
		return err
	}
	claim, err := claimDir(o.dir)
	if err != nil {
		return err
	}
	defer claim.release()
	o.dir = claim.dir
	if o.auditLog == "" {
		o.auditLog = filepath.Join(o.dir, "audit.log")
	}
	binDir := folders[0]
	if len(folders) > 1 {
		binDir = filepath.Join(o.dir, "bin")
		if err := linkAll(binDir, folders); err != nil {
			return err
		}
	}
	c, err := newCluster(o, binDir, claim.held)
	if err != nil {
		return err
	}
	return c.supervise()
}

// supervise runs the cluster until it is told to stop or a component fails.
func (c *cluster) supervise() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	// A caller that has gone away must not keep us from cleaning up: writing to it fails instead of killing us.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	var lines <-chan string
	if !c.detachStdin {
		ctx, lines = readLines(ctx, os.Stdin)
	}
	ctx, cancel := context.WithCancel(ctx)
	started := make(chan error, 1)
	go func() { started <- c.start(ctx) }()
	defer func() {
		cancel()
		if started != nil {
			<-started
		}
		c.stop()
	}()

	for {
		// Commands have to wait until the cluster is ready.
		commands := lines
		if started != nil {
			commands = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-started:
			started = nil
			if err != nil && ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if err := c.announce(); err != nil {
				return err
			}
		case end := <-c.ended:
			if end.component.process == end.process && !end.component.stopped {
				return end.process.describeExit(end.component.name, end.component.logPath())
			}
		case line := <-commands:
			if err := json.NewEncoder(os.Stdout).Encode(c.control(ctx, line)); err != nil {
				return err
			}
		}
	}
}

// announce prints the description and keeps it for later callers of up.
func (c *cluster) announce() error {
	d := description{
		Kubeconfig: c.kubeconfig("admin"),
		Server:     c.server(),
		Version:    c.version,
		Dir:        c.dir,
		BinDir:     c.binDir,
		AuditLog:   c.auditLog,
		AdminToken: c.users["admin"].token,
		PID:        os.Getpid(),
		PIDs:       map[string]int{},
	}
	for _, component := range c.components {
		d.PIDs[component.name] = component.process.cmd.Process.Pid
	}
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	err = writeAtomically(c.file(descriptionFile), func(w io.Writer) error {
		_, err := w.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(line)
	return err
}

// readLines passes on the lines of r and cancels the returned context when there are no more.
func readLines(ctx context.Context, r io.Reader) (context.Context, <-chan string) {
	ctx, cancel := context.WithCancel(ctx)
	lines := make(chan string, 16)
	go func() {
		defer cancel()
		scanner := bufio.NewScanner(r)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, lines
}
