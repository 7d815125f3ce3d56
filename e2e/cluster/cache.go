package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// cacheDir is where everything built is kept, outside of the repository.
func cacheDir() (string, error) {
	if dir := os.Getenv("TRACKDOWN_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "trackdown"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".cache", "trackdown"), nil
}

// cacheKey names the folder of a kit. It changes with whatever is in there: Go, the pinned modules, the stamped versions and,
// for a release, the stages.
func cacheKey(source string, k kit) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOOS, runtime.GOARCH, k.tools)
	files := map[string]bool{}
	for _, t := range k.tools {
		files[filepath.Join("modules", t.module, "go.mod")] = true
		files[filepath.Join("modules", t.module, "go.sum")] = true
	}
	sources, err := k.sources(source)
	if err != nil {
		return "", err
	}
	for _, file := range sources {
		files[file] = true
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		content, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, file, len(content))
		hash.Write(content)
	}
	return fmt.Sprintf("%s-%x", k.name, hash.Sum(nil)[:6]), nil
}

// findSource returns the folder e2e/cluster that holds the pinned modules and the stages.
func findSource(given string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		for _, candidate := range []string{dir, filepath.Join(dir, "e2e", "cluster")} {
			if exists(filepath.Join(candidate, "modules", releases[0].module, "go.mod")) {
				return candidate, nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find the folder e2e/cluster: run this inside the repository, or say where it is with --source")
		}
		dir = parent
	}
}

// writeAtomically creates a file in one step, so that nobody ever sees half of it.
func writeAtomically(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(write(file), file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// exists reports whether there is a file or folder at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
