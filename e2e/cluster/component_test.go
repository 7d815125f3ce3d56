package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fakeComponent is a component made of a shell script. It is ready once the script has made the file "ready".
func fakeComponent(t *testing.T, script string) *component {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fake"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	held, err := lock(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !exists(filepath.Join(dir, "ready")) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	return &component{
		name:      "fake",
		cluster:   &cluster{options: options{dir: dir}, binDir: dir, held: held, http: server.Client(), ended: make(chan ending, 1)},
		arguments: func([]int) []string { return nil },
		portCount: 1,
		health:    func([]int) string { return server.URL },
	}
}

func TestStartLooksForAnotherPortWhenItsOwnIsTaken(t *testing.T) {
	c := fakeComponent(t, `
if [ ! -e tried ]; then
  touch tried
  echo "listen tcp: bind: address already in use"
  exit 1
fi
touch ready
exec sleep 60
`)
	if err := c.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !c.process.running() {
		t.Error("start returned before the component was ready")
	}
	c.kill()
	if c.process.running() {
		t.Error("kill returned before the process was gone")
	}
}

func TestStartReportsTheEndOfTheLog(t *testing.T) {
	c := fakeComponent(t, "echo unknown flag; exit 3")
	err := c.start(context.Background())
	const want = "fake ended unexpectedly (exit status 3); the end of its log:\nunknown flag"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTheLockLastsAsLongAsAChild(t *testing.T) {
	c := fakeComponent(t, "touch ready; exec sleep 60")
	if err := c.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.cluster.held.Close()
	if !inUse(c.cluster.dir) {
		t.Error("the lock is free although a child is running")
	}
	c.stop(time.Second)
	if inUse(c.cluster.dir) {
		t.Error("the lock is taken although no child is left")
	}
}
