package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
)

// options say which cluster to run, and how.
type options struct {
	version          string
	source           string
	dir              string
	auditLog         string
	admissionPlugins string
	nodes            int
	fsync            bool
	argoRollouts     bool
	detachStdin      bool
}

// parseOptions reads the options of run and up.
func parseOptions(command string, args []string, defaultDir string) (options, error) {
	var o options
	flags := newFlags(command, &o.version, &o.source)
	flags.StringVar(&o.dir, "dir", defaultDir, "folder for data and logs; removed at the end unless it was there before (default: a temporary folder)")
	flags.StringVar(&o.auditLog, "audit-log", "", "file for the audit log (default: audit.log in the folder)")
	flags.StringVar(&o.admissionPlugins, "admission-plugins", "", "comma-separated admission plugins to enable besides the default ones")
	flags.IntVar(&o.nodes, "nodes", 3, "number of simulated nodes")
	flags.BoolVar(&o.fsync, "fsync", false, "let etcd sync to disk, as in production")
	addArgoRolloutsFlag(flags, &o.argoRollouts)
	if command == "run" {
		flags.BoolVar(&o.detachStdin, "detach-stdin", false, "ignore standard input")
	}
	if err := parse(flags, args); err != nil {
		return o, err
	}
	for _, path := range []*string{&o.dir, &o.auditLog} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = absolute
	}
	return o, nil
}

// arguments renders the options as those of a detached run.
func (o options) arguments() []string {
	return []string{
		"run", "--detach-stdin",
		"--version", o.version,
		"--source", o.source,
		"--dir", o.dir,
		"--audit-log", o.auditLog,
		"--admission-plugins", o.admissionPlugins,
		"--nodes", strconv.Itoa(o.nodes),
		"--fsync=" + strconv.FormatBool(o.fsync),
		"--argo-rollouts=" + strconv.FormatBool(o.argoRollouts),
	}
}

func addArgoRolloutsFlag(flags *flag.FlagSet, argoRollouts *bool) {
	flags.BoolVar(argoRollouts, "argo-rollouts", false, "with Argo Rollouts v"+argoRolloutsVersion+": its controller, resources and kubectl plugin")
}

// newFlags makes a flag set with the two flags that choose what to build.
func newFlags(command string, version, source *string) *flag.FlagSet {
	flags := flag.NewFlagSet("cluster "+command, flag.ExitOnError)
	flags.StringVar(version, "version", releases[0].version, "Kubernetes version: "+releaseVersions())
	flags.StringVar(source, "source", "", "the folder e2e/cluster (default: found from the working directory upwards)")
	return flags
}

// parse parses args, which may hold options only. A wrong option ends the program.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
