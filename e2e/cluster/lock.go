package main

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the lock that the file at path stands for, waiting for whoever holds it. The lock belongs to the open file: it
// is free again once the file is closed by this process and by all children that were given it, however they end.
func lock(path string) (*os.File, error) {
	return openLocked(path, syscall.LOCK_EX)
}

// tryLock is lock without the waiting: if somebody else holds the lock, the error is EWOULDBLOCK.
func tryLock(path string) (*os.File, error) {
	return openLocked(path, syscall.LOCK_EX|syscall.LOCK_NB)
}

// locked reports whether somebody else holds the lock on an open file; if not, the file now does.
func locked(file *os.File) bool {
	return errors.Is(flock(file, syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func openLocked(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file, how); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if err != syscall.EINTR {
			return err
		}
	}
}
