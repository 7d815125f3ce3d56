package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// client is kubectl with an administrator's kubeconfig.
type client struct {
	kubectl    string
	kubeconfig string
}

// run runs kubectl and returns what it prints, without white space around it.
func (c client) run(args ...string) (string, error) {
	cmd := exec.Command(c.kubectl, append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, lastLines(stderr.String(), 5))
	}
	return strings.TrimSpace(string(out)), nil
}

// podTemplate is what a Deployment says of its pods, as far as it matters to a process that takes the place of one.
type podTemplate struct {
	ServiceAccountName string
	Containers         []struct {
		Args []string
		Env  []variable
	}
}

// variable is an environment variable of a container.
type variable struct {
	Name      string
	Value     string
	ValueFrom *struct {
		FieldRef *struct{ FieldPath string }
	}
}

func readPodTemplate(admin client, namespace, deployment string) (podTemplate, error) {
	out, err := admin.run("get", "deployments.v1.apps", deployment, "--namespace", namespace, "--output=json")
	if err != nil {
		return podTemplate{}, err
	}
	return parsePodTemplate([]byte(out))
}

func parsePodTemplate(deployment []byte) (podTemplate, error) {
	var content struct {
		Spec struct {
			Template struct{ Spec podTemplate }
		}
	}
	if err := json.Unmarshal(deployment, &content); err != nil {
		return podTemplate{}, fmt.Errorf("the Deployment cannot be read: %w", err)
	}
	template := content.Spec.Template.Spec
	if len(template.Containers) == 0 {
		return template, errors.New("the Deployment has no container")
	}
	return template, nil
}

// serviceAccount is the account the pod runs as.
func (t podTemplate) serviceAccount() string {
	if t.ServiceAccountName == "" {
		return "default"
	}
	return t.ServiceAccountName
}

// arguments returns the first container's arguments, with another --listen-address if one is given.
func (t podTemplate) arguments(listenAddress string) ([]string, error) {
	const name = "--listen-address"
	var arguments []string
	given := t.Containers[0].Args
	for i := 0; i < len(given); i++ {
		switch {
		case strings.Contains(given[i], "$("):
			return nil, fmt.Errorf("argument %q: references to variables are not supported", given[i])
		case listenAddress != "" && given[i] == name:
			i++
		case listenAddress != "" && strings.HasPrefix(given[i], name+"="):
		default:
			arguments = append(arguments, given[i])
		}
	}
	if listenAddress != "" {
		arguments = append(arguments, name+"="+listenAddress)
	}
	return arguments, nil
}

// environment returns the first container's environment, for a pod of the given name and namespace.
func (t podTemplate) environment(name, namespace string) ([]string, error) {
	fields := map[string]string{"metadata.name": name, "metadata.namespace": namespace}
	var environment []string
	for _, v := range t.Containers[0].Env {
		value := v.Value
		if v.ValueFrom != nil {
			if v.ValueFrom.FieldRef == nil {
				return nil, fmt.Errorf("environment variable %s: of valueFrom only fieldRef is supported", v.Name)
			}
			field, known := fields[v.ValueFrom.FieldRef.FieldPath]
			if !known {
				return nil, fmt.Errorf("environment variable %s: field %s is not supported", v.Name, v.ValueFrom.FieldRef.FieldPath)
			}
			value = field
		}
		environment = append(environment, v.Name+"="+value)
	}
	return environment, nil
}

// operatorKubeconfig makes a kubeconfig (in JSON, which is YAML too) with the cluster of an administrator's one and a token. The
// server and the certificate authority are replaced if they are given.
func operatorKubeconfig(admin, server string, ca []byte, namespace, token string) ([]byte, error) {
	var config struct {
		Clusters []struct{ Cluster map[string]any }
	}
	if err := json.Unmarshal([]byte(admin), &config); err != nil {
		return nil, err
	}
	if len(config.Clusters) == 0 {
		return nil, errors.New("it has no current context with a cluster")
	}
	cluster := config.Clusters[0].Cluster
	if server != "" {
		cluster["server"] = server
	}
	if ca != nil {
		delete(cluster, "certificate-authority")
		delete(cluster, "insecure-skip-tls-verify")
		cluster["certificate-authority-data"] = ca
	}
	const name = "operator"
	return json.MarshalIndent(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"clusters":        []any{map[string]any{"name": name, "cluster": cluster}},
		"users":           []any{map[string]any{"name": name, "user": map[string]any{"token": token}}},
		"contexts":        []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": name, "namespace": namespace}}},
		"current-context": name,
	}, "", "  ")
}
