package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is a running child. It leads a process group of its own, so that a Ctrl-C in the terminal reaches the supervisor
// alone, and on Linux it dies with the supervisor, however that ends.
type process struct {
	cmd *exec.Cmd
	// exited is closed once the process is gone; status is valid from then on.
	exited chan struct{}
	status error
}

// startProcess starts a child whose output goes to the end of a log file. The child inherits the open file held: the lock on
// it is free only when all children are gone.
func startProcess(path string, args, environment []string, dir, logPath string, held *os.File) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	// Nothing of the caller's environment may change how a component behaves.
	cmd.Env = append([]string{"HOME=" + dir, "TMPDIR=" + os.TempDir()}, environment...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{held}
	cmd.SysProcAttr = childAttributes()
	onLastingThread(func() { err = cmd.Start() })
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.status = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// running reports whether the process is still there.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop asks the process to end, forces it to after the given patience, and returns when it is gone.
func (p *process) stop(patience time.Duration) {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.kill()
	}
}

// kill ends the process at once and returns when it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// describeExit says how the process ended and what it said last.
func (p *process) describeExit(name, logPath string) error {
	status := "exit status 0"
	if p.status != nil {
		status = p.status.Error()
	}
	return fmt.Errorf("%s ended unexpectedly (%s); the end of its log:\n%s", name, status, logTail(logPath))
}

// logTail returns the end of a log file.
func logTail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(content), 15)
}

// lastLines returns the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
