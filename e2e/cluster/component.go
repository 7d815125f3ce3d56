package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Names of the components.
const (
	etcd                  = "etcd"
	kubeAPIServer         = "kube-apiserver"
	kubeControllerManager = "kube-controller-manager"
	kubeScheduler         = "kube-scheduler"
	kwok                  = "kwok"
)

// component is one program of the control plane.
type component struct {
	name    string
	cluster *cluster
	// program is the name of its binary, if that is not the component's.
	program string
	// arguments makes the command line for the given ports, as many as portCount says.
	arguments func(ports []int) []string
	portCount int
	// environment is what it needs of one.
	environment []string
	// health makes the address that answers 200 when the component is ready; nil if it has none.
	health func(ports []int) string

	// ports are chosen at the first start and kept from then on.
	ports   []int
	process *process
	// stopped says that the process is meant to be gone.
	stopped bool
}

// start starts the component and returns when it is ready. The first start looks for other ports if those it found have been
// taken meanwhile; later starts use the same ones.
func (c *component) start(ctx context.Context) error {
	fixed := c.ports != nil
	for attempt := 1; ; attempt++ {
		if !fixed {
			ports, err := freePorts(c.portCount)
			if err != nil {
				return err
			}
			c.ports = ports
		}
		err := c.startOnce(ctx)
		if err == nil {
			c.stopped = false
			go c.watch(c.process)
			return nil
		}
		portTaken := strings.Contains(logTail(c.logPath()), "address already in use")
		if !portTaken || attempt == 5 || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// startOnce starts the component and waits until it is ready or has ended.
func (c *component) startOnce(ctx context.Context) error {
	program := filepath.Join(c.cluster.binDir, cmp.Or(c.program, c.name))
	process, err := startProcess(program, c.arguments(c.ports), c.environment, c.cluster.dir, c.logPath(), c.cluster.held)
	if err != nil {
		return err
	}
	c.process = process
	if c.health == nil {
		return nil
	}
	ready := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ready <- c.cluster.waitHealthy(ctx, c.health(c.ports)) }()
	select {
	case <-process.exited:
		return process.describeExit(c.name, c.logPath())
	case err := <-ready:
		if err != nil {
			process.kill()
			return fmt.Errorf("%s did not become ready: %w; the end of its log:\n%s", c.name, err, logTail(c.logPath()))
		}
		return nil
	}
}

// watch reports the end of a process.
func (c *component) watch(process *process) {
	<-process.exited
	c.cluster.ended <- ending{c, process}
}

// stop stops the component if it is running.
func (c *component) stop(patience time.Duration) {
	c.stopped = true
	if c.process != nil {
		c.process.stop(patience)
	}
}

// kill ends the component at once.
func (c *component) kill() {
	c.stopped = true
	c.process.kill()
}

func (c *component) logPath() string {
	return filepath.Join(c.cluster.dir, "logs", c.name+".log")
}
