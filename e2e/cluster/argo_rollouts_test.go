package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArgoRolloutsIsCachedByItself(t *testing.T) {
	source := copySource(t)
	releaseBefore, argoBefore := mustKey(t, source, releases[0].kit()), mustKey(t, source, argoRolloutsKit())
	if err := os.WriteFile(filepath.Join(source, "modules", argoRollouts, "go.sum"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if mustKey(t, source, releases[0].kit()) != releaseBefore {
		t.Error("the key of a release depends on Argo Rollouts")
	}
	argoChanged := mustKey(t, source, argoRolloutsKit())
	if argoChanged == argoBefore {
		t.Error("the key of Argo Rollouts does not depend on its module")
	}
	for _, other := range []string{"modules/kubernetes/go.sum", "stages/pod-start.yaml"} {
		if err := os.WriteFile(filepath.Join(source, other), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if mustKey(t, source, argoRolloutsKit()) != argoChanged {
		t.Error("the key of Argo Rollouts depends on what it is not built from")
	}
}

func TestArgoRolloutsIsTheVersionItSays(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("modules", argoRollouts, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "\t"+argoRolloutsModule+" v"+argoRolloutsVersion+" ") {
		t.Errorf("the module does not pin version %s", argoRolloutsVersion)
	}
}

func TestArgoRolloutsIsAnOption(t *testing.T) {
	names := func(args ...string) []string {
		o, err := parseOptions("run", append(args, "--dir", t.TempDir()), "")
		if err != nil {
			t.Fatal(err)
		}
		c, err := newCluster(o, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, component := range c.components {
			names = append(names, component.name)
		}
		if again, err := parseOptions("run", o.arguments()[1:], ""); err != nil || again.argoRollouts != o.argoRollouts {
			t.Errorf("a run in the background is another one: %v", err)
		}
		return names
	}
	if without := names(); slices.Contains(without, argoRollouts) {
		t.Errorf("unasked: %q", without)
	}
	if with := names("--argo-rollouts"); !slices.Contains(with, argoRollouts) {
		t.Errorf("missing: %q", with)
	}
}

func TestLinksFollowTheFolders(t *testing.T) {
	one, two, dir := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "bin")
	for _, path := range []string{filepath.Join(one, "a"), filepath.Join(two, "b")} {
		if err := os.WriteFile(path, []byte(path), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, folders := range [][]string{{one, two}, {two}} {
		if err := linkAll(dir, folders); err != nil {
			t.Fatal(err)
		}
	}
	if exists(filepath.Join(dir, "a")) {
		t.Error("a link of an earlier run is left")
	}
	content, err := os.ReadFile(filepath.Join(dir, "b"))
	if err != nil || string(content) != filepath.Join(two, "b") {
		t.Errorf("got %q, %v", content, err)
	}
}
