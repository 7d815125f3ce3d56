package main

import (
	"runtime"
	"syscall"
)

// childAttributes makes the kernel kill a child as soon as the thread that started it is gone.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// starts carries work to the one thread that starts children. It lasts as long as the supervisor does; any other thread may
// end earlier, and would take its children with it.
var starts = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
}

// onLastingThread runs f on the thread that starts children.
func onLastingThread(f func()) {
	done := make(chan struct{})
	starts <- func() {
		f()
		close(done)
	}
	<-done
}
