package main

import (
	"os"
	"path/filepath"
)

const (
	kwokModule = "sigs.k8s.io/kwok"
	// stagesFile, beside the binaries, holds all stages: what kwok makes of nodes and pods, and when.
	stagesFile = "stages.yaml"
)

// stockStages are the stages used as kwok ships them, by their path in its module. Pods start and complete by our own ones,
// and heartbeat-with-lease is no alternative to heartbeat: its nodes turn Unknown after 50 s.
var stockStages = []string{
	"kustomize/stage/node/fast/node-initialize.yaml",
	"kustomize/stage/node/heartbeat/node-heartbeat.yaml",
	"kustomize/stage/pod/fast/pod-delete.yaml",
}

// ownStages lists the files under stages/, relative to source.
func ownStages(source string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(source, "stages"))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		files = append(files, filepath.Join("stages", entry.Name()))
	}
	return files, nil
}

// allStages are the paths of the stages to use, kwok's and our own.
func allStages(source string) ([]string, error) {
	kwok, err := goTool(filepath.Join(source, "modules", "kwok"), "list", "-m", "-f", "{{.Dir}}", kwokModule)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, stage := range stockStages {
		paths = append(paths, filepath.Join(kwok, stage))
	}
	own, err := ownStages(source)
	if err != nil {
		return nil, err
	}
	for _, stage := range own {
		paths = append(paths, filepath.Join(source, stage))
	}
	return paths, nil
}
