// Package e2e runs the whole product against a real API server: etcd,
// kube-apiserver, kube-controller-manager and kubectl as hack/ builds them, the
// server installed from manifests/ and running under its own service account.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
	"github.com/sallyport-io/sallyport/hack/server"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// patience is how long anything that happens after the API server's answer may
// take on a busy machine.
const patience = 60 * time.Second

// cluster is a control plane with the server.
type cluster struct {
	cp     *controlplane.ControlPlane
	server *server.Server
}

// startControlPlane starts a cluster without the server, which ends with the test.
func startControlPlane(t *testing.T, o controlplane.Options) *cluster {
	t.Helper()
	o.Progress = t.Output()
	cp := controlplanetest.Start(t, o)
	return &cluster{cp: cp}
}

// start starts a cluster that ends with the test.
func start(t *testing.T, args ...string) *cluster {
	t.Helper()
	c := startControlPlane(t, controlplane.Options{
		ControllerManager: true,
		CRDs:              []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs, controlplane.CertManagerCRDs},
	})
	c.kubectl(t, "", "apply", "-f", "testdata/platform.yaml")
	config, err := filepath.Abs("testdata/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.server, err = server.Start(t.Context(), c.cp, server.Options{Config: config, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", c.server.Process().LogTail(40))
		}
		if err := c.server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// try runs kubectl and returns what it printed on both streams.
func (c *cluster) try(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := c.cp.Kubectl(t.Context(), args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	err := cmd.Run()
	return out.String(), err
}

// kubectl runs a command that must succeed.
func (c *cluster) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := c.try(t, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// denied runs a command that Sallyport must refuse, and returns its message.
func (c *cluster) denied(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := c.try(t, stdin, args...)
	if err == nil || !strings.Contains(out, `admission webhook "validate.sallyport.io" denied the request`) {
		t.Fatalf("kubectl %s: %v, want a denial\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// eventually waits until ok returns nil.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// object is what the tests read of any object.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Namespace       string            `json:"namespace"`
		Name            string            `json:"name"`
		ResourceVersion string            `json:"resourceVersion"`
		Annotations     map[string]string `json:"annotations"`
		Labels          map[string]string `json:"labels"`
	} `json:"metadata"`
}

func (o object) String() string {
	return fmt.Sprintf("%s %s/%s", o.Kind, o.Metadata.Namespace, o.Metadata.Name)
}

// istioKinds are the kinds that companions are of.
const istioKinds = "serviceentries.networking.istio.io,gateways.networking.istio.io,destinationrules.networking.istio.io,virtualservices.networking.istio.io"

// meshKinds are the kinds that paths depend on, in the tests.
const meshKinds = istioKinds + ",sidecars.networking.istio.io,networkpolicies.networking.k8s.io,namespaces,services"

// list returns the JSON of all objects of some kinds.
func (c *cluster) list(t *testing.T, kinds string) []json.RawMessage {
	t.Helper()
	cmd := c.cp.Kubectl(t.Context(), "get", kinds, "--all-namespaces", "-o", "json")
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %v\n%s", cmd, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// versions returns the resource version of every object of some kinds.
func (c *cluster) versions(t *testing.T, kinds string) map[string]string {
	t.Helper()
	versions := make(map[string]string)
	for _, raw := range c.list(t, kinds) {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		versions[o.String()] = o.Metadata.ResourceVersion
	}
	return versions
}

// companions returns the companions of a host.
func (c *cluster) companions(t *testing.T, host string) []string {
	t.Helper()
	var names []string
	for _, raw := range c.list(t, istioKinds) {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		if o.Metadata.Annotations[mesh.HostAnnotation] == host {
			names = append(names, o.String())
		}
	}
	return names
}

// mesh is the cluster as the model sees it: read by the test itself, not
// through the server.
func (c *cluster) mesh(t *testing.T, settings mesh.Settings) *mesh.Mesh {
	t.Helper()
	var objects []mesh.Object
	for _, raw := range c.list(t, meshKinds) {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	return mesh.New(settings, objects...)
}

// metrics returns what the server tells Prometheus.
func (c *cluster) metrics(t *testing.T) string { return c.get(t, c.server.Metrics) }

// get fetches a page of the server's.
func (c *cluster) get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v\n%s", url, resp.Status, err, body)
	}
	return string(body)
}
