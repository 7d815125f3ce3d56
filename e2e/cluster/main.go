// Command cluster builds and runs a real Kubernetes control plane on this machine, with simulated nodes and pods, for
// Trackdown's end-to-end tests. README.md describes its commands and what it prints.
package main

import (
	"fmt"
	"os"
)

const usage = `usage: cluster COMMAND [options]

  build      build the binaries that are not in the cache yet, print the folder they are in
  run        run a cluster in the foreground until standard input ends or SIGTERM arrives
  up         run a cluster in the background
  down       stop the cluster in the background
  operator   become the operator that the chart's Deployment describes

"cluster COMMAND -h" lists a command's options.
`

var commands = map[string]func(args []string) error{
	"build":    buildCommand,
	"run":      runCommand,
	"up":       upCommand,
	"down":     downCommand,
	"operator": operatorCommand,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// progress tells people what is going on; standard output is for programs.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
