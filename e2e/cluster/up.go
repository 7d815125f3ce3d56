package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// defaultDir is where up runs a cluster unless told otherwise.
func defaultDir() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "cluster"), nil
}

// upCommand is "cluster up". If the cluster is up already, it prints the same again.
func upCommand(args []string) error {
	dir, err := defaultDir()
	if err != nil {
		return err
	}
	o, err := parseOptions("up", args, dir)
	if err != nil {
		return err
	}
	line, err := os.ReadFile(filepath.Join(o.dir, descriptionFile))
	if err != nil || !inUse(o.dir) {
		line, err = startDetached(o)
	}
	if err != nil {
		return err
	}
	progress("export KUBECONFIG=%s", filepath.Join(o.dir, "admin.kubeconfig"))
	_, err = os.Stdout.Write(line)
	return err
}

// startDetached starts "cluster run" as a process that outlives this one and returns the line it prints when it is ready.
// What it has to say after that is in a log file beside the cluster's folder.
func startDetached(o options) ([]byte, error) {
	source, err := findSource(o.source)
	if err != nil {
		return nil, err
	}
	o.source = source
	// Building here shows the progress to whoever is waiting.
	if _, err := o.build(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logPath := o.dir + ".log"
	if err := os.MkdirAll(filepath.Dir(o.dir), 0o755); err != nil {
		return nil, err
	}
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self, o.arguments()...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		cmd.Wait()
		return nil, fmt.Errorf("the cluster did not start:\n%s", logTail(logPath))
	}
	return line, cmd.Process.Release()
}

// inUse reports whether any process of a cluster in dir is left.
func inUse(dir string) bool {
	held, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer held.Close()
	return locked(held)
}
