package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copySource copies what the key depends on to a place where it can be changed.
func copySource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"modules", "stages"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustKey(t *testing.T, source string, k kit) string {
	t.Helper()
	key, err := cacheKey(source, k)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeyFollowsWhatIsBuilt(t *testing.T) {
	source := copySource(t)
	before := mustKey(t, source, releases[0].kit())
	if !strings.HasPrefix(before, releases[0].version+"-") {
		t.Errorf("the key %s does not name the version", before)
	}
	if again := mustKey(t, source, releases[0].kit()); again != before {
		t.Errorf("the key is not stable: %s, then %s", before, again)
	}
	for _, changed := range []string{"modules/etcd/go.sum", "stages/pod-start.yaml"} {
		source := copySource(t)
		if err := os.WriteFile(filepath.Join(source, changed), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if mustKey(t, source, releases[0].kit()) == before {
			t.Errorf("the key does not depend on %s", changed)
		}
	}
}

func TestKeyIgnoresModulesOfOtherVersions(t *testing.T) {
	source := copySource(t)
	before := mustKey(t, source, releases[0].kit())
	if err := os.RemoveAll(filepath.Join(source, "modules", releases[1].module)); err != nil {
		t.Fatal(err)
	}
	if mustKey(t, source, releases[0].kit()) != before {
		t.Error("the key depends on a module that is not used")
	}
}

func TestGoMinor(t *testing.T) {
	for version, want := range map[string]int{"go1.26.8": 26, "go1.26": 26, "go1.27rc1": 27} {
		if got, err := goMinor(version); err != nil || got != want {
			t.Errorf("%s: got %d, %v", version, got, err)
		}
	}
	if _, err := goMinor("devel +abc"); err == nil {
		t.Error("a version that cannot be read is accepted")
	}
}
