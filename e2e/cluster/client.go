package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// pollInterval is the time between two looks at something that is about to be ready.
const pollInterval = 25 * time.Millisecond

// newHTTPClient returns a client that trusts the cluster's certificate authority and nothing else.
func newHTTPClient(ca []byte) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
}

// waitHealthy waits until url answers 200.
func (c *cluster) waitHealthy(ctx context.Context, url string) error {
	return poll(ctx, func() (bool, error) {
		status, _, err := c.request(ctx, http.MethodGet, url, nil)
		return err == nil && status == http.StatusOK, nil
	})
}

// createNodes registers the simulated nodes; those of an earlier run in the same folder are welcome.
func (c *cluster) createNodes(ctx context.Context) error {
	for i := range c.nodes {
		name := fmt.Sprintf("node-%d", i)
		status, body, err := c.request(ctx, http.MethodPost, c.server()+"/api/v1/nodes", map[string]any{
			"apiVersion": "v1",
			"kind":       "Node",
			"metadata": map[string]any{
				"name": name,
				"labels": map[string]string{
					"kubernetes.io/arch":     "amd64",
					"kubernetes.io/hostname": name,
					"kubernetes.io/os":       "linux",
				},
			},
		})
		if err != nil {
			return err
		}
		if status != http.StatusCreated && status != http.StatusConflict {
			return fmt.Errorf("creating %s: status %d: %s", name, status, body)
		}
	}
	return nil
}

// waitUsable waits until pods can be created in the default namespace and find a node.
func (c *cluster) waitUsable(ctx context.Context) error {
	if err := c.waitHealthy(ctx, c.server()+"/api/v1/namespaces/default/serviceaccounts/default"); err != nil {
		return fmt.Errorf("waiting for the default service account: %w", err)
	}
	err := poll(ctx, func() (bool, error) {
		status, body, err := c.request(ctx, http.MethodGet, c.server()+"/api/v1/nodes", nil)
		if err != nil || status != http.StatusOK {
			return false, nil
		}
		ready, err := readyNodes(body)
		return ready >= c.nodes, err
	})
	if err != nil {
		return fmt.Errorf("waiting for the nodes: %w", err)
	}
	return nil
}

// readyNodes counts the nodes of a list that are ready and accept pods.
func readyNodes(list []byte) (int, error) {
	var nodes struct {
		Items []struct {
			Spec   struct{ Taints []any }
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := json.Unmarshal(list, &nodes); err != nil {
		return 0, err
	}
	ready := 0
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" && len(node.Spec.Taints) == 0 {
				ready++
			}
		}
	}
	return ready, nil
}

// request makes a request as the admin; the body, if any, is sent as JSON.
func (c *cluster) request(ctx context.Context, method, url string, body any) (status int, answer []byte, err error) {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return 0, nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, url, &content)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.users["admin"].token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "trackdown-test-cluster")
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// poll asks until the answer is yes.
func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		yes, err := done()
		if yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
}
