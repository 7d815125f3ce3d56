package main

import (
	"context"
	"errors"
	"strings"
	"time"
)

// reply answers a command given on standard input.
type reply struct {
	OK        bool   `json:"ok"`
	Command   string `json:"command"`
	Component string `json:"component,omitempty"`
	PID       int    `json:"pid,omitempty"`
	Error     string `json:"error,omitempty"`
}

// control carries out a command of tests that want to see a component fail: "stop", "kill" or "start", and its name, or "compact etcd". When the
// reply comes, the component is gone or ready again, at the same address and with the same data.
func (c *cluster) control(ctx context.Context, line string) reply {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("30 seconds have passed"))
	defer cancel()
	command, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	r := reply{Command: command, Component: name}
	component := c.component(name)
	switch {
	case component == nil:
		r.Error = "there is no such component"
	case command == "start" && component.process.running():
		r.Error = "it is running already"
	case command == "start":
		if err := component.start(ctx); err != nil {
			r.Error = err.Error()
		} else {
			r.PID = component.process.cmd.Process.Pid
		}
	case command == "compact" && name == etcd:
		if err := c.compact(ctx); err != nil {
			r.Error = err.Error()
		}
	case command != "stop" && command != "kill":
		r.Error = "commands are stop, kill and start, and compact etcd"
	case !component.process.running():
		r.Error = "it is not running"
	case command == "stop":
		component.stop(patience)
	default:
		component.kill()
	}
	r.OK = r.Error == ""
	return r
}
