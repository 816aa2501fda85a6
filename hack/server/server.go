// Package server runs sallyport-webhook beside a control plane of package
// controlplane, installed from manifests/ as in a cluster: its namespace, its
// service account with its RBAC, its webhook configurations. What needs nodes
// or other controllers is left out: the Deployment (the server runs as a
// process here), the certificate of cert-manager (made here), and the Service
// (the API server calls the process by URL).
package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/sallyport-io/sallyport/hack/controlplane"
)

// Options say how the server runs.
type Options struct {
	// Config is the configuration file. Empty: the defaults.
	Config string
	// Args are further flags.
	Args []string
	// Env is added to the environment.
	Env []string
	// Prefix is a command that is given the server's command line, and becomes
	// the server in the end: with it the server runs in a cgroup, say.
	Prefix []string
}

// Server is a running sallyport-webhook.
type Server struct {
	// URL is where it serves admission reviews.
	URL string
	// Metrics is where it serves Prometheus metrics.
	Metrics string

	cp      *controlplane.ControlPlane
	process *controlplane.Process
	command controlplane.Command
}

// serviceAccount is the one of manifests/.
const namespace, serviceAccount = "sallyport-system", "sallyport-webhook"

// Start builds the server, installs manifests/, starts it under its own service
// account, and returns when the API server asks it about every write. The
// caller must call Stop.
func Start(ctx context.Context, cp *controlplane.ControlPlane, o Options) (*Server, error) {
	objects, err := render(ctx, cp)
	if err != nil {
		return nil, err
	}
	webhooks, rest := split(objects)
	if err := apply(ctx, cp, rest); err != nil {
		return nil, err
	}
	s, err := prepare(ctx, cp, o)
	if err != nil {
		return nil, err
	}
	if err := s.Run(ctx); err != nil {
		return nil, err
	}
	if err := s.register(ctx, webhooks); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Run starts the server's process, again after Stop if need be, and returns
// when it is ready.
func (s *Server) Run(ctx context.Context) (err error) {
	s.process, err = s.cp.Run(ctx, s.command)
	return err
}

// Stop ends the server gracefully.
func (s *Server) Stop() error { return s.process.Stop(20 * time.Second) }

// Ready is an error where the server is not ready, with what it lacks.
func (s *Server) Ready(ctx context.Context) error { return s.command.Ready(ctx) }

// Process is the server's process.
func (s *Server) Process() *controlplane.Process { return s.process }

// prepare builds the server and decides how it is run.
func prepare(ctx context.Context, cp *controlplane.ControlPlane, o Options) (*Server, error) {
	root, err := controlplane.Root()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cp.Dir, "server")
	binary := filepath.Join(dir, "sallyport-webhook")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/sallyport-webhook")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building sallyport-webhook: %w\n%s", err, out)
	}
	config, err := cp.ServiceAccount(ctx, namespace, serviceAccount)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := cp.WriteKubeconfig(serviceAccount, config)
	if err != nil {
		return nil, err
	}
	pair, err := cp.CA.ServerCert("127.0.0.1")
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	var ports [3]int
	for i := range ports {
		if ports[i], err = controlplane.FreePort(); err != nil {
			return nil, err
		}
	}
	local := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--cert-dir=" + dir,
		"--webhook-bind-address=" + local(0),
		"--metrics-bind-address=" + local(1),
		"--health-probe-bind-address=" + local(2),
	}
	if o.Config != "" {
		args = append(args, "--config="+o.Config)
	}
	line := slices.Concat(o.Prefix, []string{binary}, args, o.Args)
	return &Server{
		cp:      cp,
		URL:     "https://" + local(0),
		Metrics: "http://" + local(1) + "/metrics",
		command: controlplane.Command{
			Path:  line[0],
			Args:  line[1:],
			Env:   append(os.Environ(), o.Env...),
			Ready: func(ctx context.Context) error { return healthy(ctx, "http://"+local(2)+"/readyz") },
		},
	}, nil
}

// render returns the objects of manifests/ that mean something without nodes
// and without cert-manager's controllers.
func render(ctx context.Context, cp *controlplane.ControlPlane) ([]*unstructured.Unstructured, error) {
	root, err := controlplane.Root()
	if err != nil {
		return nil, err
	}
	out, err := output(cp.Kubectl(ctx, "kustomize", filepath.Join(root, "manifests")))
	if err != nil {
		return nil, err
	}
	webhooks, err := os.ReadFile(filepath.Join(root, "manifests", "webhooks.yaml"))
	if err != nil {
		return nil, err
	}
	out = slices.Concat(out, []byte("\n---\n"), webhooks)
	var objects []*unstructured.Unstructured
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096)
	for {
		o := &unstructured.Unstructured{}
		switch err := docs.Decode(o); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("manifests/: %w", err)
		}
		switch group := o.GroupVersionKind().Group; {
		case group == "apps", group == "policy", group == "cert-manager.io", o.GetKind() == "Service":
		default:
			objects = append(objects, o)
		}
	}
}

// split sets the webhook configurations apart: registered before the server
// answers, they would deny the rest of the installation.
func split(objects []*unstructured.Unstructured) (webhooks, rest []*unstructured.Unstructured) {
	for _, o := range objects {
		if o.GroupVersionKind().Group == "admissionregistration.k8s.io" {
			webhooks = append(webhooks, o)
		} else {
			rest = append(rest, o)
		}
	}
	return webhooks, rest
}

// callByURL makes a webhook configuration's Service a URL.
func callByURL(o *unstructured.Unstructured, url string, ca []byte) error {
	hooks, found, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil || !found {
		return fmt.Errorf("%s %s has no webhooks (%w)", o.GetKind(), o.GetName(), err)
	}
	for _, h := range hooks {
		hook, _ := h.(map[string]any)
		path, found, err := unstructured.NestedString(hook, "clientConfig", "service", "path")
		if err != nil || !found {
			return fmt.Errorf("%s %s: a webhook has no clientConfig.service.path (%w)", o.GetKind(), o.GetName(), err)
		}
		hook["clientConfig"] = map[string]any{
			"url":      url + path,
			"caBundle": base64.StdEncoding.EncodeToString(ca),
		}
	}
	return unstructured.SetNestedSlice(o.Object, hooks, "webhooks")
}

func apply(ctx context.Context, cp *controlplane.ControlPlane, objects []*unstructured.Unstructured) error {
	var stream bytes.Buffer
	encode := json.NewEncoder(&stream)
	for _, o := range objects {
		if err := encode.Encode(o); err != nil {
			return err
		}
	}
	cmd := cp.Kubectl(ctx, "apply", "--server-side", "-f", "-")
	cmd.Stdin = &stream
	_, err := output(cmd)
	return err
}

// register registers the webhooks one by one, the mutating one first, and
// waits until the API server has noticed each: two dry runs show it, which
// write nothing.
func (s *Server) register(ctx context.Context, webhooks []*unstructured.Unstructured) error {
	slices.SortFunc(webhooks, func(a, b *unstructured.Unstructured) int { return strings.Compare(a.GetKind(), b.GetKind()) })
	for _, w := range webhooks {
		if err := callByURL(w, s.URL, s.cp.CA.PEM); err != nil {
			return err
		}
		if err := apply(ctx, s.cp, []*unstructured.Unstructured{w}); err != nil {
			return err
		}
		name, sign := "probe", "sallyport.io/export-to" // the annotation that mutation adds
		if w.GetKind() == "ValidatingWebhookConfiguration" {
			name, sign = "sallyport-00000000000000000000", "denied the request" // a reserved name
		}
		if err := s.noticed(ctx, name, sign); err != nil {
			return fmt.Errorf("%s %s: %w", w.GetKind(), w.GetName(), err)
		}
	}
	return nil
}

// noticed creates a ServiceEntry, in a dry run, until the answer has the sign.
func (s *Server) noticed(ctx context.Context, name, sign string) error {
	entry := `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"default","name":"` + name + `"},
"spec":{"hosts":["probe.sallyport.internal"],"ports":[{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"STATIC",
"location":"MESH_INTERNAL","workloadSelector":{"labels":{"app":"sallyport-probe"}}}}`
	deadline := time.Now().Add(30 * time.Second)
	for {
		cmd := s.cp.Kubectl(ctx, "create", "--dry-run=server", "-o", "json", "-f", "-")
		cmd.Stdin = strings.NewReader(entry)
		out, err := cmd.CombinedOutput()
		if bytes.Contains(out, []byte(sign)) {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("the API server does not call it (%w): %s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func healthy(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("GET %s: %s: %s", url, resp.Status, body)
	}
	return nil
}

// output runs a command; the error holds what it said.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(cmd.Path), strings.Join(cmd.Args[1:], " "), err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
