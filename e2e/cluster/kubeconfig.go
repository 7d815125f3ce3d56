package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

const tokensFile = "tokens.csv"

// user is an account the API server knows by a fixed token.
type user struct {
	name  string
	group string
	token string
}

// newUsers returns an account for people and tests, and one for each component that talks to the API server, so that the
// audit log tells them apart.
func newUsers() map[string]user {
	return map[string]user{
		"admin":               {"admin", "system:masters", newToken()},
		kubeControllerManager: {"system:kube-controller-manager", "", newToken()},
		kubeScheduler:         {"system:kube-scheduler", "", newToken()},
		kwok:                  {"kwok", "system:masters", newToken()},
	}
}

// writeTokens writes the file the API server reads its users from.
func writeTokens(dir string, users map[string]user) error {
	var lines string
	for _, u := range users {
		lines += fmt.Sprintf("%s,%s,%s,%q\n", u.token, u.name, u.name, u.group)
	}
	return os.WriteFile(filepath.Join(dir, tokensFile), []byte(lines), 0o600)
}

// writeKubeconfig writes a kubeconfig for one user.
func writeKubeconfig(path, server string, ca []byte, u user) error {
	const format = `apiVersion: v1
kind: Config
clusters:
- name: trackdown
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    token: %s
contexts:
- name: trackdown
  context:
    cluster: trackdown
    user: %s
current-context: trackdown
`
	content := fmt.Sprintf(format, server, base64.StdEncoding.EncodeToString(ca), u.name, u.token, u.name)
	return os.WriteFile(path, []byte(content), 0o600)
}
