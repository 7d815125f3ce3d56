package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldestGo is the first minor version of Go 1 that the pinned modules build with.
const oldestGo = 26

// buildCommand is "cluster build".
func buildCommand(args []string) error {
	var o options
	flags := newFlags("build", &o.version, &o.source)
	addArgoRolloutsFlag(flags, &o.argoRollouts)
	if err := parse(flags, args); err != nil {
		return err
	}
	folders, err := o.build()
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(folders, "\n"))
	return nil
}

// build returns the folders with all that a cluster needs, building what is missing. That of the Kubernetes version is the last.
func (o options) build() ([]string, error) {
	var folders []string
	if o.argoRollouts {
		folder, err := argoRolloutsKit().build(o.source)
		if err != nil {
			return nil, err
		}
		folders = append(folders, folder)
	}
	folder, err := build(o.version, o.source)
	return append(folders, folder), err
}

// build returns the folder with the binaries and stages of a Kubernetes version, building what is missing.
func build(version, source string) (string, error) {
	r, err := findRelease(version)
	if err != nil {
		return "", err
	}
	return r.kit().build(source)
}

// build returns the folder with the kit, building what is missing.
func (k kit) build(source string) (string, error) {
	source, err := findSource(source)
	if err != nil {
		return "", err
	}
	key, err := cacheKey(source, k)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	binDir := filepath.Join(cache, "bin", key)
	if k.complete(binDir) {
		return binDir, nil
	}
	return binDir, k.buildInto(binDir, source)
}

// complete reports whether binDir holds the whole kit.
func (k kit) complete(binDir string) bool {
	for _, t := range k.tools {
		if !exists(filepath.Join(binDir, t.name)) {
			return false
		}
	}
	return exists(filepath.Join(binDir, k.file))
}

// buildInto builds what is missing in binDir. Callers at the same time wait for each other.
func (k kit) buildInto(binDir, source string) error {
	if err := os.MkdirAll(binDir, 0o755); err != nil {
		return err
	}
	held, err := lock(binDir + ".lock")
	if err != nil {
		return err
	}
	defer held.Close()
	if k.complete(binDir) {
		return nil
	}
	if err := checkGo(); err != nil {
		return err
	}
	progress("building %d binaries into %s (minutes the first time)", len(k.tools), binDir)
	for i, t := range k.tools {
		if exists(filepath.Join(binDir, t.name)) {
			continue
		}
		start := time.Now()
		if err := t.build(binDir, source); err != nil {
			return err
		}
		progress("[%d/%d] %s: %.0f s", i+1, len(k.tools), t.name, time.Since(start).Seconds())
	}
	return k.gather(binDir, source)
}

// build builds one binary in binDir.
func (t tool) build(binDir, source string) error {
	temporary := filepath.Join(binDir, ".new-"+t.name)
	ldflags := "-s -w"
	for _, variable := range slices.Sorted(maps.Keys(t.stamped)) {
		ldflags += " -X " + variable + "=" + t.stamped[variable]
	}
	_, err := goTool(filepath.Join(source, "modules", t.module), "build", "-trimpath", "-ldflags", ldflags, "-o", temporary, t.pkg)
	if err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	return os.Rename(temporary, filepath.Join(binDir, t.name))
}

// goTool runs the go command in a module's folder, with settings that make its result the same everywhere.
func goTool(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, lastLines(stderr.String(), 15))
	}
	return strings.TrimSpace(string(out)), nil
}

// checkGo makes sure that there is a go command new enough to build everything.
func checkGo() error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("building the test cluster needs Go 1.%d or newer, and there is no go command on the PATH", oldestGo)
	}
	version, err := goTool(os.TempDir(), "env", "GOVERSION")
	if err != nil {
		return err
	}
	minor, err := goMinor(version)
	if err != nil {
		return err
	}
	if minor < oldestGo {
		return fmt.Errorf("building the test cluster needs Go 1.%d or newer, and the go command on the PATH is %s", oldestGo, version)
	}
	return nil
}

// goMinor returns 26 for "go1.26.8".
func goMinor(version string) (int, error) {
	rest, found := strings.CutPrefix(version, "go1.")
	digits := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = rest[:end]
	}
	minor, err := strconv.Atoi(digits)
	if !found || err != nil {
		return 0, errors.New("cannot read the version of Go: " + version)
	}
	return minor, nil
}
