package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// downCommand is "cluster down". It returns when no process of the cluster is left; there need not be one.
func downCommand(args []string) error {
	dir, err := defaultDir()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("cluster down", flag.ExitOnError)
	flags.StringVar(&dir, "dir", dir, "the cluster's folder")
	if err := parse(flags, args); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	held, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		progress("no cluster in %s", dir)
		return nil
	}
	if err != nil {
		return err
	}
	claim := readClaim(dir)
	claim.held = held
	if locked(held) {
		if err := syscall.Kill(claim.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping the supervisor, process %d: %w", claim.PID, err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); locked(held); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the cluster in %s is still running 30 seconds after it was told to stop", dir)
		}
	}
	// The supervisor has released its claim, unless it was killed.
	if current, err := os.Stat(held.Name()); err == nil && sameFile(held, current) {
		claim.release()
	}
	return nil
}

// sameFile reports whether an open file is still the one that info was read from.
func sameFile(file *os.File, info os.FileInfo) bool {
	own, err := file.Stat()
	return err == nil && os.SameFile(own, info)
}
