package main

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func mustParse(t *testing.T, container string) podTemplate {
	t.Helper()
	template, err := parsePodTemplate([]byte(`{"spec": {"template": {"spec": {"serviceAccountName": "td", "containers": [` + container + `]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestListenAddressIsReplaced(t *testing.T) {
	for args, want := range map[string][]string{
		`["--a=1", "--listen-address=0.0.0.0:8080", "--b"]`:    {"--a=1", "--b", "--listen-address=127.0.0.1:0"},
		`["--a=1", "--listen-address", "0.0.0.0:8080", "--b"]`: {"--a=1", "--b", "--listen-address=127.0.0.1:0"},
		`["--a=1"]`: {"--a=1", "--listen-address=127.0.0.1:0"},
	} {
		got, err := mustParse(t, `{"args": `+args+`}`).arguments("127.0.0.1:0")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v", args, got, err)
		}
	}
}

func TestArgumentsAreKept(t *testing.T) {
	got, err := mustParse(t, `{"args": ["--listen-address=0.0.0.0:8080", "--b"]}`).arguments("")
	if err != nil || !slices.Equal(got, []string{"--listen-address=0.0.0.0:8080", "--b"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := mustParse(t, `{"args": ["--a=$(B)"]}`).arguments(""); err == nil {
		t.Error("an argument that the kubelet would change is passed on as it is")
	}
}

func TestEnvironmentIsThatOfThePod(t *testing.T) {
	template := mustParse(t, `{"env": [
		{"name": "A", "value": "literal"},
		{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
		{"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
	]}`)
	got, err := template.environment("td-0", "system")
	if err != nil || !slices.Equal(got, []string{"A=literal", "POD=td-0", "NAMESPACE=system"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, source := range []string{`{"fieldRef": {"fieldPath": "spec.nodeName"}}`, `{"secretKeyRef": {"name": "s", "key": "k"}}`} {
		_, err := mustParse(t, `{"env": [{"name": "A", "valueFrom": `+source+`}]}`).environment("td-0", "system")
		if err == nil || !strings.Contains(err.Error(), "environment variable A") {
			t.Errorf("%s: got %v", source, err)
		}
	}
}

// decoded is a kubeconfig with one of everything.
type decoded struct {
	Clusters []struct{ Cluster map[string]any }
	Users    []struct{ User struct{ Token string } }
	Contexts []struct{ Context struct{ Namespace string } }
}

func mustMakeKubeconfig(t *testing.T, server string, ca []byte) decoded {
	t.Helper()
	const admin = `{"clusters": [{"name": "c", "cluster": {"server": "https://a:1", "certificate-authority-data": "b2xk", "tls-server-name": "n"}}]}`
	content, err := operatorKubeconfig(admin, server, ca, "system", "secret")
	if err != nil {
		t.Fatal(err)
	}
	var d decoded
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestKubeconfigIsTheAdminsWithAToken(t *testing.T) {
	d := mustMakeKubeconfig(t, "", nil)
	cluster := d.Clusters[0].Cluster
	if cluster["server"] != "https://a:1" || cluster["certificate-authority-data"] != "b2xk" || cluster["tls-server-name"] != "n" {
		t.Errorf("another cluster: %v", cluster)
	}
	if d.Users[0].User.Token != "secret" || d.Contexts[0].Context.Namespace != "system" {
		t.Errorf("got %+v", d)
	}
}

func TestKubeconfigOfAnotherServer(t *testing.T) {
	cluster := mustMakeKubeconfig(t, "https://b:2", []byte("new")).Clusters[0].Cluster
	if cluster["server"] != "https://b:2" || cluster["certificate-authority-data"] != base64.StdEncoding.EncodeToString([]byte("new")) {
		t.Errorf("got %v", cluster)
	}
	if _, err := operatorKubeconfig(`{"clusters": null}`, "", nil, "system", "secret"); err == nil {
		t.Error("a kubeconfig without a cluster is accepted")
	}
}
