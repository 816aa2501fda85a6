package gitops_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
	"github.com/sallyport-io/sallyport/hack/server"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestGitOps has each tool apply the sets of testdata, with hosts of its own.
func TestGitOps(t *testing.T) {
	c := start(t)
	t.Run("Argo CD", func(t *testing.T) { testArgoCD(t, c) })
	t.Run("Flux", func(t *testing.T) { testFlux(t, c) })
	t.Run("Helm", func(t *testing.T) { testHelm(t, c) })
}

// cluster is a control plane with Sallyport's server, and the platform of test/e2e.
type cluster struct {
	cp       *controlplane.ControlPlane
	client   dynamic.Interface
	settings mesh.Settings
}

func start(t *testing.T) *cluster {
	t.Helper()
	cp := controlplanetest.Start(t, controlplane.Options{
		ControllerManager: true,
		CRDs:              []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs, controlplane.CertManagerCRDs},
	})
	cp.Config.QPS, cp.Config.WarningHandler = -1, rest.NoWarnings{}
	c := &cluster{cp: cp}
	var err error
	if c.client, err = dynamic.NewForConfig(cp.Config); err != nil {
		t.Fatal(err)
	}
	const platform = "../e2e/testdata/"
	c.kubectl(t, "", "apply", "-f", platform+"platform.yaml")
	c.kubectl(t, endpoint, "apply", "-f", "-")
	file, err := filepath.Abs(platform + "config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c.settings = cfg.Settings()
	sallyport, err := server.Start(t.Context(), cp, server.Options{Config: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", sallyport.Process().LogTail(20))
		}
		if err := sallyport.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// endpoint is one of the egress gateway's, without which no entry is ready.
const endpoint = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: istio-system, name: istio-egressgateway, labels: {kubernetes.io/service-name: istio-egressgateway}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
ports: [{name: http2, port: 8080, protocol: TCP}, {name: https, port: 8443, protocol: TCP}]
`

// kubectl runs a command that must succeed, and returns what it printed on both
// streams.
func (c *cluster) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := c.cp.Kubectl(t.Context(), args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// sets are the files of testdata.
var sets = []string{"plain", "rewrite", "by-hand"}

// read returns a set, with names and hosts for one tool.
func read(t *testing.T, set, tool string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", set+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, strings.ReplaceAll(string(data), "TOOL", tool))
}

func parse(t *testing.T, text string) (objects []*unstructured.Unstructured) {
	t.Helper()
	docs := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		switch err := docs.Decode(o); {
		case errors.Is(err, io.EOF):
			return objects
		case err != nil:
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
}

// manifests is what kubectl reads.
func manifests(t *testing.T, objects ...*unstructured.Unstructured) string {
	t.Helper()
	var out bytes.Buffer
	for _, o := range objects {
		if err := json.NewEncoder(&out).Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func isEntry(o *unstructured.Unstructured) bool { return o.GetKind() == "ServiceEntry" }

// istio are the kinds of the sets, and of what Sallyport writes for them.
var istio = map[string]string{
	"ServiceEntry": "serviceentries", "VirtualService": "virtualservices", "DestinationRule": "destinationrules", "Gateway": "gateways",
}

func resource(kind string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: istio[kind]}
}

func (c *cluster) get(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	live, err := c.client.Resource(resource(o.GetKind())).Namespace(o.GetNamespace()).Get(t.Context(), o.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return live
}

func (c *cluster) list(t *testing.T, of schema.GroupVersionResource) []unstructured.Unstructured {
	t.Helper()
	list, err := c.client.Resource(of).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// converge waits until every egress point of a set's entries is reached through the
// gateway and every entry is open.
func (c *cluster) converge(t *testing.T, set []*unstructured.Unstructured) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		missing := c.missing(t, set)
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(missing)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (c *cluster) missing(t *testing.T, set []*unstructured.Unstructured) string {
	t.Helper()
	m := c.mesh(t)
	for _, o := range set {
		entry, ok := m.Get(mesh.Ref{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}).(*mesh.ServiceEntry)
		if !ok {
			continue
		}
		if slices.Contains(entry.ExportTo, "~") {
			return fmt.Sprintf("%s is held: %s", entry.Ref, entry.Annotations[mesh.StatusAnnotation])
		}
		for _, port := range entry.Ports {
			if p := m.Paths(entry.Namespace, entry.Hosts[0], port.Number); p.Verdict != mesh.Via {
				return fmt.Sprintf("%s:%d is %s: %+v", p.Host, p.Port, p.Verdict, p.Because)
			}
		}
	}
	return ""
}

// mesh is the cluster as the model sees it: read by the test, not by the server.
func (c *cluster) mesh(t *testing.T) *mesh.Mesh {
	t.Helper()
	kinds := []schema.GroupVersionResource{{Version: "v1", Resource: "namespaces"}, {Version: "v1", Resource: "services"}}
	for kind := range istio {
		kinds = append(kinds, resource(kind))
	}
	var objects []mesh.Object
	for _, kind := range kinds {
		for _, item := range c.list(t, kind) {
			raw, err := item.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			o, err := mesh.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, o)
		}
	}
	return mesh.New(c.settings, objects...)
}

// changesNothing applies a set again, and reports what of it that changes, or others
// change in consequence. The first time that may be the field managers: whoever
// applies what another has set as well owns it again.
func (c *cluster) changesNothing(t *testing.T, what string, set []*unstructured.Unstructured, apply func()) {
	t.Helper()
	generations := c.settled(t, set, (*unstructured.Unstructured).GetGeneration)
	apply()
	if d := cmp.Diff(generations, c.settled(t, set, (*unstructured.Unstructured).GetGeneration)); d != "" {
		t.Errorf("%s changes objects: generations (-before +after):\n%s", what, d)
	}
	versions := c.settled(t, set, version)
	apply()
	if d := cmp.Diff(versions, c.settled(t, set, version)); d != "" {
		t.Errorf("%s changes objects: resource versions (-before +after):\n%s", what, d)
	}
}

func version(o *unstructured.Unstructured) int64 {
	n, _ := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	return n
}

// settled returns a number of each object of a set, once nobody has written any of
// them for a second.
func (c *cluster) settled(t *testing.T, set []*unstructured.Unstructured, number func(*unstructured.Unstructured) int64) map[string]int64 {
	t.Helper()
	look := func(number func(*unstructured.Unstructured) int64) map[string]int64 {
		numbers := make(map[string]int64)
		for _, o := range set {
			numbers[o.GetKind()+" "+o.GetName()] = number(c.get(t, o))
		}
		return numbers
	}
	since, last := time.Now(), look(version)
	for deadline := time.Now().Add(time.Minute); time.Since(since) < time.Second; time.Sleep(100 * time.Millisecond) {
		now := look(version)
		if !maps.Equal(last, now) {
			since, last = time.Now(), now
		}
		if time.Now().After(deadline) {
			t.Fatalf("somebody goes on writing: %v", last)
		}
	}
	return look(number)
}
