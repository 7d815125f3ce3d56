//go:build !linux

package main

import "syscall"

// childAttributes gives a child a process group of its own. Only Linux can tie its life to ours.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// onLastingThread runs f; which thread it is matters on Linux only.
func onLastingThread(f func()) {
	f()
}
