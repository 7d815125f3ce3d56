package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// tokenDuration is how long the operator's token is good for; nobody renews it.
const tokenDuration = "24h"

// operatorOptions say which operator to run, and how.
type operatorOptions struct {
	version       string
	source        string
	kubectl       string
	kubeconfig    string
	namespace     string
	deployment    string
	binary        string
	identity      string
	listenAddress string
	server        string
	caFile        string
	dir           string
}

// operatorCommand is "cluster operator": it becomes the operator. There is no container engine, so the process takes the place of
// the container that the chart's Deployment describes, with the same arguments, environment and service account.
func operatorCommand(args []string) error {
	o, err := parseOperatorOptions(args)
	if err != nil {
		return err
	}
	if o.kubectl == "" {
		binDir, err := build(o.version, o.source)
		if err != nil {
			return err
		}
		o.kubectl = filepath.Join(binDir, "kubectl")
	}
	admin := client{kubectl: o.kubectl, kubeconfig: o.kubeconfig}
	template, err := readPodTemplate(admin, o.namespace, o.deployment)
	if err != nil {
		return err
	}
	arguments, err := template.arguments(o.listenAddress)
	if err != nil {
		return err
	}
	environment, err := template.environment(o.identity, o.namespace)
	if err != nil {
		return err
	}
	kubeconfig, err := o.writeKubeconfig(admin, template.serviceAccount())
	if err != nil {
		return err
	}
	environment = append(inherited(), append(environment, "KUBECONFIG="+kubeconfig)...)
	err = syscall.Exec(o.binary, append([]string{o.binary}, arguments...), environment)
	return fmt.Errorf("%s cannot be run: %w", o.binary, err)
}

func parseOperatorOptions(args []string) (operatorOptions, error) {
	var o operatorOptions
	flags := newFlags("operator", &o.version, &o.source)
	flags.StringVar(&o.kubectl, "kubectl", "", "kubectl to use (default: the one built with the cluster)")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of an administrator (required)")
	flags.StringVar(&o.namespace, "namespace", "", "namespace of the Deployment (required)")
	flags.StringVar(&o.deployment, "deployment", "", "name of the Deployment the chart made (required)")
	flags.StringVar(&o.binary, "binary", "", "the operator's program (required)")
	flags.StringVar(&o.identity, "identity", "", "name of the pod it takes the place of (default: the Deployment's with -0)")
	flags.StringVar(&o.listenAddress, "listen-address", "", "address to serve at instead of the Deployment's; port 0 for any that is free")
	flags.StringVar(&o.server, "server", "", "address of the API server (default: the administrator's)")
	flags.StringVar(&o.caFile, "ca", "", "file with the certificate authority to trust (default: the administrator's)")
	flags.StringVar(&o.dir, "dir", "", "folder for operator.kubeconfig (default: that of --kubeconfig)")
	if err := parse(flags, args); err != nil {
		return o, err
	}
	for _, name := range []string{"kubeconfig", "namespace", "deployment", "binary"} {
		if isEmpty(flags.Lookup(name)) {
			return o, fmt.Errorf("--%s is missing", name)
		}
	}
	if o.identity == "" {
		o.identity = o.deployment + "-0"
	}
	if o.dir == "" {
		o.dir = filepath.Dir(o.kubeconfig)
	}
	var err error
	if o.binary, err = exec.LookPath(o.binary); err != nil {
		return o, fmt.Errorf("there is no program to run: %w", err)
	}
	for _, path := range []*string{&o.kubeconfig, &o.binary, &o.dir} {
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

func isEmpty(f *flag.Flag) bool {
	return f.Value.String() == ""
}

// writeKubeconfig writes the operator's kubeconfig and returns its path.
func (o operatorOptions) writeKubeconfig(admin client, serviceAccount string) (string, error) {
	view, err := admin.run("config", "view", "--minify", "--flatten", "--raw", "--output=json")
	if err != nil {
		return "", err
	}
	var ca []byte
	if o.caFile != "" {
		if ca, err = os.ReadFile(o.caFile); err != nil {
			return "", err
		}
	}
	token, err := admin.run("create", "token", serviceAccount, "--namespace", o.namespace, "--duration", tokenDuration)
	if err != nil {
		return "", err
	}
	content, err := operatorKubeconfig(view, o.server, ca, o.namespace, token)
	if err != nil {
		return "", fmt.Errorf("%s: %w", o.kubeconfig, err)
	}
	path := filepath.Join(o.dir, "operator.kubeconfig")
	return path, errors.Join(
		os.MkdirAll(o.dir, 0o755),
		os.WriteFile(path, content, 0o600),
		os.Chmod(path, 0o600),
	)
}

// inherited is the part of the caller's environment that the operator gets. The rest, such as a proxy, a KUBECONFIG or settings
// of another operator, is not in a pod's environment either.
func inherited() []string {
	var environment []string
	for _, name := range []string{"HOME", "PATH", "TMPDIR", "NO_COLOR", "RUST_BACKTRACE"} {
		if value, found := os.LookupEnv(name); found {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}
