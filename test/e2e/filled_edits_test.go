package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
)

// edit is a change that somebody makes to an object of testdata/filled.yaml.
type edit struct {
	kind, name string
	path       string // RFC 6901
	value      string // JSON
	refused    string // by this rule; empty where it is admitted
}

// edits are made in every team's namespace. What is refused would open a path
// around the gateway that was not there.
var edits = []edit{
	{"VirtualService", "private", "/spec/http/0/timeout", `"7s"`, ""},
	{"VirtualService", "half", "/spec/http/0/timeout", `"4s"`, ""},
	{"VirtualService", "half", "/spec/http/0/retries", `{"attempts": 3}`, ""},
	{"VirtualService", "app", "/spec/http/0/timeout", `"4s"`, ""},
	{"VirtualService", "ingress", "/spec/http/0/timeout", `"9s"`, ""},
	{"DestinationRule", "app", "/spec/subsets", `[{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}]`, ""},
	{"DestinationRule", "upgraded", "/spec/trafficPolicy/connectionPool", `{"tcp": {"maxConnections": 10}}`, ""},
	{"Gateway", "ingress", "/spec/servers/0/hosts", `["TEAM.example.net", "www.TEAM.example.net"]`, ""},
	{"Sidecar", "workers", "/spec/egress", `[{"hosts": ["./*", "istio-system/*", "shop/*"]}]`, ""},
	{"NetworkPolicy", "egress", "/spec/egress", `[{"ports": [{"port": 443, "protocol": "TCP"}, {"port": 8443, "protocol": "TCP"}]}]`, ""},
	{"Service", "app", "/spec/ports", `[{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}, {"name": "grpc", "port": 90, "protocol": "TCP", "targetPort": 90}]`, ""},
	{"ServiceEntry", "database", "/spec/addresses", `["198.51.100.NUMBER", "198.51.100.10NUMBER"]`, ""},
	{"ServiceEntry", "database", "/spec/endpoints", `[{"address": "203.0.113.NUMBER"}, {"address": "203.0.113.10NUMBER"}]`, ""},
	{"ServiceEntry", "upgraded", "/spec/location", `"MESH_EXTERNAL"`, ""},
	{"ServiceEntry", "nobody", "/spec/ports", `[{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 80, "name": "http", "protocol": "HTTP"}]`, ""},
	{"ServiceEntry", "public", "/spec/ports", `[{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 80, "name": "http", "protocol": "HTTP"}]`, "direct-path"},
	{"ServiceEntry", "hand", "/spec/ports", `[{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 80, "name": "http", "protocol": "HTTP"}]`, "direct-path"},
	{"ServiceEntry", "private", "/spec/hosts", `["private.TEAM.example.com", "more.TEAM.example.com"]`, "direct-path"},
}

// edit makes the edits, and labels or annotates every object of the teams. It
// returns the objects as they are to be.
func (c *cluster) edit(t *testing.T, objects map[string]string) map[string]string {
	t.Helper()
	config := rest.CopyConfig(c.cp.Config)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(objects)
	made := 0
	write := func(ref, path string, value any, refused string) {
		t.Helper()
		made++
		err := patch(t, client, objects[ref], review.PatchOp{Op: "add", Path: path, Value: value})
		switch {
		case refused == "" && err != nil:
			t.Errorf("%s: %s may not be changed: %v", ref, path, err)
		case refused == "":
			want[ref] = patched(t, want[ref], path, value)
		case !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "["+refused+"]"):
			t.Errorf("%s: %s is to be refused by %s: %v", ref, path, refused, err)
		}
	}
	for i, ref := range slices.Sorted(maps.Keys(objects)) {
		if !strings.Contains(objects[ref], `"of": `) {
			continue // the platform's
		}
		write(ref, []string{"/metadata/labels/edited", "/metadata/annotations/edited"}[i%2], "yes", "")
	}
	for i, team := range teams {
		for _, e := range edits {
			var value any
			text := strings.NewReplacer("TEAM", team, "NUMBER", fmt.Sprint(i+1)).Replace(e.value)
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			write(mesh.Ref{Kind: e.kind, Namespace: team, Name: e.name}.String(), e.path, value, e.refused)
		}
	}
	if made < 100 {
		t.Errorf("%d edits are few", made)
	}
	return want
}

var resources = map[string]schema.GroupVersionResource{
	"ServiceEntry":    {Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
	"VirtualService":  {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	"DestinationRule": {Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
	"Gateway":         {Group: "networking.istio.io", Version: "v1", Resource: "gateways"},
	"Sidecar":         {Group: "networking.istio.io", Version: "v1", Resource: "sidecars"},
	"NetworkPolicy":   {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	"Service":         {Version: "v1", Resource: "services"},
}

func patch(t *testing.T, client dynamic.Interface, raw string, op review.PatchOp) error {
	t.Helper()
	var o object
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal([]review.PatchOp{op})
	if err != nil {
		t.Fatal(err)
	}
	resource, ok := resources[o.Kind]
	if !ok {
		t.Fatalf("no resource of kind %s", o.Kind)
	}
	_, err = client.Resource(resource).Namespace(o.Metadata.Namespace).Patch(t.Context(), o.Metadata.Name, types.JSONPatchType, body, metav1.PatchOptions{})
	return err
}

// patched is an object with a field set.
func patched(t *testing.T, raw, path string, value any) string {
	t.Helper()
	out, err := review.Patched([]byte(raw), []review.PatchOp{{Op: "add", Path: path, Value: value}})
	if err != nil {
		t.Fatal(err)
	}
	return lasting(t, out)
}
