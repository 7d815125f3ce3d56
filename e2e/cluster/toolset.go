package main

import (
	"fmt"
	"strings"
)

// release is a Kubernetes version that can be run, and the folder of the Go module it is built from.
type release struct {
	version string
	module  string
}

// releases are the supported Kubernetes versions; the first is the default one.
var releases = []release{
	{"v1.36.3", "kubernetes"},
	{"v1.33.13", "kubernetes-1.33"},
}

// findRelease returns the release with the given version.
func findRelease(version string) (release, error) {
	for _, r := range releases {
		if r.version == version {
			return r, nil
		}
	}
	return release{}, fmt.Errorf("unknown Kubernetes version %q: choose from %s", version, releaseVersions())
}

// releaseVersions lists the versions for people.
func releaseVersions() string {
	var versions []string
	for _, r := range releases {
		versions = append(versions, r.version)
	}
	return strings.Join(versions, ", ")
}

// tool is a binary: the package it is built from, the folder under modules/ of the Go module that pins that package, and
// the string variables stamped into it.
type tool struct {
	name    string
	module  string
	pkg     string
	stamped map[string]string
}

// tools lists what a cluster of release r consists of, and the clients to use it with. Clients are always the newest.
func (r release) tools() []tool {
	helmStamps := r.stamps("k8sVersion", "helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/lint/rules")
	return []tool{
		{"etcd", "etcd", "go.etcd.io/etcd/server/v3", nil},
		r.kubernetes("kube-apiserver"),
		r.kubernetes("kube-controller-manager"),
		r.kubernetes("kube-scheduler"),
		releases[0].kubernetes("kubectl"),
		{"kwok", "kwok", kwokModule + "/cmd/kwok", nil},
		{"helm", "helm", "helm.sh/helm/v3/cmd/helm", helmStamps},
		{"untt", "helm-unittest", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest", helmStamps},
	}
}

// kubernetes is a binary of Kubernetes itself.
func (r release) kubernetes(name string) tool {
	const base, client = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
	stamped := r.stamps("git", base, client)
	stamped[base+".gitVersion"] = r.version
	stamped[client+".gitVersion"] = r.version
	return tool{name, r.module, "k8s.io/kubernetes/cmd/" + name, stamped}
}

// stamps sets the variables <prefix>Major and <prefix>Minor of each package to the release's version.
func (r release) stamps(prefix string, packages ...string) map[string]string {
	parts := strings.Split(strings.TrimPrefix(r.version, "v"), ".")
	stamped := map[string]string{}
	for _, pkg := range packages {
		stamped[pkg+"."+prefix+"Major"] = parts[0]
		stamped[pkg+"."+prefix+"Minor"] = parts[1]
	}
	return stamped
}
