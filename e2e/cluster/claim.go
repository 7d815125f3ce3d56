package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile is locked, by the supervisor and all its children, for as long as any of them is there. It holds a claim.
const lockFile = "lock"

// claim is the right to a cluster's folder.
type claim struct {
	dir  string
	held *os.File

	// PID is that of the supervisor.
	PID int `json:"pid"`
	// Made says that the folder was made for the cluster, and goes with it.
	Made bool `json:"made"`
}

// claimDir makes sure that nobody else runs a cluster in dir, creating it if need be. Without a dir it makes a temporary one.
func claimDir(dir string) (*claim, error) {
	c := &claim{dir: dir, PID: os.Getpid()}
	if dir == "" {
		temporary, err := os.MkdirTemp("", "trackdown-cluster-")
		if err != nil {
			return nil, err
		}
		c.dir, c.Made = temporary, true
	} else {
		c.Made = !exists(dir) || readClaim(dir).Made
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	held, err := tryLock(filepath.Join(c.dir, lockFile))
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another cluster is running in %s", c.dir)
	}
	if err != nil {
		return nil, err
	}
	c.held = held
	if err := errors.Join(held.Truncate(0), json.NewEncoder(held).Encode(c)); err != nil {
		return nil, err
	}
	return c, nil
}

// release gives the folder back, and removes it if it was made for the cluster.
func (c *claim) release() {
	os.Remove(filepath.Join(c.dir, descriptionFile))
	if c.Made {
		os.RemoveAll(c.dir)
	}
	c.held.Close()
}

// readClaim reads the claim on dir; without one it is empty.
func readClaim(dir string) claim {
	var c claim
	content, err := os.ReadFile(filepath.Join(dir, lockFile))
	if err == nil {
		json.Unmarshal(content, &c)
	}
	c.dir = dir
	return c
}
