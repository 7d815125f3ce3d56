package main

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

const auditPolicyFile = "audit-policy.yaml"

// cluster is a control plane with simulated nodes.
type cluster struct {
	options
	binDir string
	// held is the locked file that says this folder is in use; see startProcess.
	held  *os.File
	ca    []byte
	users map[string]user
	http  *http.Client

	// components in the order in which they start.
	components []*component
	// ended receives every component process that has ended after it was ready.
	ended chan ending
}

// ending says that a component's process is gone.
type ending struct {
	component *component
	process   *process
}

// newCluster writes the files the components share.
func newCluster(o options, binDir string, held *os.File) (*cluster, error) {
	ca, err := writeCertificates(o.dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		options: o,
		binDir:  binDir,
		held:    held,
		ca:      ca,
		users:   newUsers(),
		http:    newHTTPClient(ca),
		ended:   make(chan ending, 16),
	}
	c.components = c.newComponents()
	if o.argoRollouts {
		c.addArgoRollouts()
	}
	return c, errors.Join(
		os.MkdirAll(c.file("logs"), 0o755),
		os.WriteFile(c.file(auditPolicyFile), auditPolicy, 0o644),
		writeTokens(o.dir, c.users),
	)
}

// start brings everything up and returns when the cluster is ready for use.
func (c *cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("the cluster was not ready within two minutes"))
	defer cancel()
	if err := c.component(etcd).start(ctx); err != nil {
		return err
	}
	if err := c.component(kubeAPIServer).start(ctx); err != nil {
		return err
	}
	for name, user := range c.users {
		if err := writeKubeconfig(c.kubeconfig(name), c.server(), c.ca, user); err != nil {
			return err
		}
	}
	return allOf(ctx,
		c.component(kubeControllerManager).start,
		c.component(kubeScheduler).start,
		c.component(kwok).start,
		c.startArgoRollouts,
		c.createNodes,
		c.waitUsable,
	)
}

// patience is how long a component gets to end by itself.
const patience = 3 * time.Second

// stop stops everything, those that depend on others first, and returns when every process is gone.
func (c *cluster) stop() {
	var clients sync.WaitGroup
	for _, component := range c.components {
		if component.name == etcd || component.name == kubeAPIServer {
			continue
		}
		clients.Add(1)
		go func() {
			defer clients.Done()
			component.stop(patience)
		}()
	}
	clients.Wait()
	c.component(kubeAPIServer).stop(patience)
	c.component(etcd).stop(patience)
}

// component returns the component with the given name, nil if there is none.
func (c *cluster) component(name string) *component {
	i := slices.IndexFunc(c.components, func(candidate *component) bool { return candidate.name == name })
	if i < 0 {
		return nil
	}
	return c.components[i]
}

// server is the address of the API server.
func (c *cluster) server() string {
	return "https://" + address(c.component(kubeAPIServer).ports[0])
}

// kubeconfig is the path of a user's kubeconfig.
func (c *cluster) kubeconfig(userName string) string {
	return c.file(userName + ".kubeconfig")
}

// file is a path in the cluster's folder.
func (c *cluster) file(name string) string {
	return filepath.Join(c.dir, name)
}

// allOf does all of it at the same time. It returns the first error, which also cancels what is still going on.
func allOf(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, f := range functions {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := f(ctx); err != nil {
				cancel(err)
			}
		}()
	}
	group.Wait()
	return context.Cause(ctx)
}
