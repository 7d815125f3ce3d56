package main

import (
	"context"
	"path/filepath"
	"strconv"
)

const (
	// argoRollouts is the name of the component that --argo-rollouts adds.
	argoRollouts        = "argo-rollouts"
	argoRolloutsModule  = "github.com/argoproj/argo-rollouts"
	argoRolloutsVersion = "1.10.1"
	// argoRolloutsCRDs, beside its binaries, holds its custom resource definitions.
	argoRolloutsCRDs = "argo-rollouts-crds.yaml"
	// rolloutsController is the program's name in its own image, too. It matters: metadata.managedFields has it.
	rolloutsController = "rollouts-controller"
)

// argoRolloutsKit is kept apart from the releases: it does not depend on them, nor they on it.
func argoRolloutsKit() kit {
	stamped := map[string]string{argoRolloutsModule + "/utils/version.version": argoRolloutsVersion}
	tools := []tool{
		{rolloutsController, argoRollouts, argoRolloutsModule + "/cmd/" + rolloutsController, stamped},
		{"kubectl-argo-rollouts", argoRollouts, argoRolloutsModule + "/cmd/kubectl-argo-rollouts", stamped},
	}
	nothing := func(string) ([]string, error) { return nil, nil }
	return kit{argoRollouts + "-v" + argoRolloutsVersion, tools, nothing, argoRolloutsCRDs, argoRolloutsDefinitions}
}

// argoRolloutsDefinitions are the paths of the custom resource definitions in the module.
func argoRolloutsDefinitions(source string) ([]string, error) {
	dir, err := goTool(filepath.Join(source, "modules", argoRollouts), "list", "-m", "-f", "{{.Dir}}", argoRolloutsModule)
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "manifests", "crds", "*-crd.yaml"))
}

// addArgoRollouts adds the controller. It is called what its service account would be, but nobody has to set up its rights.
func (c *cluster) addArgoRollouts() {
	c.users[argoRollouts] = user{"system:serviceaccount:argo-rollouts:argo-rollouts", "system:masters", newToken()}
	c.components = append(c.components, &component{
		name:        argoRollouts,
		program:     rolloutsController,
		cluster:     c,
		arguments:   c.argoRolloutsArguments,
		environment: []string{"POD_NAMESPACE=argo-rollouts"},
		portCount:   2,
		// It knows no TLS, listens on all interfaces, and lives on without a port that is taken; the others do have TLS, so
		// their answer is not taken for its own.
		health: func(ports []int) string { return "http://" + address(ports[0]) + "/healthz" },
	})
}

func (c *cluster) argoRolloutsArguments(ports []int) []string {
	return []string{
		"--kubeconfig=" + c.kubeconfig(argoRollouts),
		"--leader-elect=false",
		"--healthzPort=" + strconv.Itoa(ports[0]),
		"--metricsPort=" + strconv.Itoa(ports[1]),
		// See controller.
		"--qps=2000",
		"--burst=2000",
	}
}

// startArgoRollouts defines the controller's resources and starts it. It would find them later, too, but only after a while.
func (c *cluster) startArgoRollouts(ctx context.Context) error {
	controller := c.component(argoRollouts)
	if controller == nil {
		return nil
	}
	admin := client{kubectl: filepath.Join(c.binDir, "kubectl"), kubeconfig: c.kubeconfig("admin")}
	definitions := filepath.Join(c.binDir, argoRolloutsCRDs)
	// By the client the definitions would not fit into the annotation that keeps what was applied.
	if _, err := admin.run("apply", "--server-side", "--filename", definitions); err != nil {
		return err
	}
	if _, err := admin.run("wait", "--for=condition=Established", "--timeout=1m", "--filename", definitions); err != nil {
		return err
	}
	return controller.start(ctx)
}
