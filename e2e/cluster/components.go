package main

import (
	"path/filepath"
	"strconv"
)

// newComponents describes the programs of the control plane. All that listen use TLS, so that a health check never takes
// somebody else's answer, on a port both wanted, for our own.
func (c *cluster) newComponents() []*component {
	https := func(path string) func(ports []int) string {
		return func(ports []int) string { return "https://" + address(ports[0]) + path }
	}
	return []*component{
		{name: etcd, cluster: c, arguments: c.etcdArguments, portCount: 2, health: https("/health")},
		{name: kubeAPIServer, cluster: c, arguments: c.apiServerArguments, portCount: 1, health: https("/readyz")},
		{name: kubeControllerManager, cluster: c, arguments: c.controllerManagerArguments, portCount: 1, health: https("/healthz")},
		{name: kubeScheduler, cluster: c, arguments: c.schedulerArguments, portCount: 1, health: https("/readyz")},
		{name: kwok, cluster: c, arguments: c.kwokArguments},
	}
}

func (c *cluster) etcdArguments(ports []int) []string {
	client, peer := "https://"+address(ports[0]), "http://"+address(ports[1])
	arguments := []string{
		"--name=etcd",
		"--data-dir=" + c.file("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--cert-file=" + c.file(servingCertFile),
		"--key-file=" + c.file(servingKeyFile),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=etcd=" + peer,
	}
	if !c.fsync {
		arguments = append(arguments, "--unsafe-no-fsync")
	}
	return arguments
}

func (c *cluster) apiServerArguments(ports []int) []string {
	arguments := append(c.serving(ports[0]),
		"--etcd-servers=https://"+address(c.component(etcd).ports[0]),
		"--etcd-cafile="+c.file(caFile),
		"--advertise-address="+loopback,
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--cert-dir="+c.file("certs"),
		"--token-auth-file="+c.file(tokensFile),
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+c.file(accountKeyFile),
		"--service-account-signing-key-file="+c.file(accountKeyFile),
		"--audit-policy-file="+c.file(auditPolicyFile),
		"--audit-log-path="+c.auditLog,
		// An event is in the log before its request is answered, and the log is never cut into pieces.
		"--audit-log-mode=blocking",
		"--audit-log-maxsize=100000",
	)
	if c.admissionPlugins != "" {
		arguments = append(arguments, "--enable-admission-plugins="+c.admissionPlugins)
	}
	return arguments
}

func (c *cluster) controllerManagerArguments(ports []int) []string {
	return append(c.controller(kubeControllerManager, ports[0]),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+c.file(accountKeyFile),
		"--root-ca-file="+c.file(caFile),
	)
}

func (c *cluster) schedulerArguments(ports []int) []string {
	return c.controller(kubeScheduler, ports[0])
}

func (c *cluster) kwokArguments([]int) []string {
	return []string{
		"--kubeconfig=" + c.kubeconfig(kwok),
		"--config=" + filepath.Join(c.binDir, stagesFile),
		"--manage-all-nodes=true",
		"--node-ip=" + loopback,
		"--cidr=10.244.0.0/16",
	}
}

// controller is what controller manager and scheduler have in common. The default limits on requests would throttle
// whatever is measured here.
func (c *cluster) controller(name string, port int) []string {
	return append(c.serving(port),
		"--kubeconfig="+c.kubeconfig(name),
		"--leader-elect=false",
		"--kube-api-qps=2000",
		"--kube-api-burst=2000",
	)
}

// serving is what everything that listens with TLS has in common.
func (c *cluster) serving(port int) []string {
	return []string{
		"--bind-address=" + loopback,
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + c.file(servingCertFile),
		"--tls-private-key-file=" + c.file(servingKeyFile),
	}
}
