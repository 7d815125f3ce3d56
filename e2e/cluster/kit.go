package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// kit is what is built together into one folder of the cache: binaries, and a file of YAML that goes with them.
type kit struct {
	// name is the beginning of the folder's name.
	name  string
	tools []tool
	// sources lists the files of this repository, besides the pinned modules, that end up in the kit, relative to source.
	sources func(source string) ([]string, error)
	// file is the name of the YAML, and parts the paths of what it is made of. It is written last.
	file  string
	parts func(source string) ([]string, error)
}

// kit is a release with its clients and the stages.
func (r release) kit() kit {
	return kit{r.version, r.tools(), ownStages, stagesFile, allStages}
}

// gather writes all parts of the kit's YAML to one file beside the binaries.
func (k kit) gather(binDir, source string) error {
	paths, err := k.parts(source)
	if err != nil {
		return err
	}
	return writeAtomically(filepath.Join(binDir, k.file), func(w io.Writer) error {
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "---\n%s\n", content); err != nil {
				return err
			}
		}
		return nil
	})
}

// linkAll makes dir a folder of links to everything in the given folders.
func linkAll(dir string, folders []string) error {
	// An earlier run in the same folder may have left links to something older.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := os.Symlink(filepath.Join(folder, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
