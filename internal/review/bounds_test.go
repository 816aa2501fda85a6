package review_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestLastHostOfMany has an entry with as many ports as the API takes, and a
// host behind many others that a route of the tenant's sends straight out: no
// number of egress points hides it.
func TestLastHostOfMany(t *testing.T) {
	world := `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out, namespace: shop}
spec: {hosts: [zz.example.com], exportTo: ["."], http: [{route: [{destination: {host: zz.example.com}}]}]}
`
	m := mesh.New(mesh.DefaultSettings(), decode(t, world)...)
	var ports []string
	for i := range 255 {
		ports = append(ports, fmt.Sprintf("{number: %d, name: http-%d, protocol: HTTP}", 8000+i, i))
	}
	judge := &review.Judge{Rules: rules.All}
	for hosts, want := range map[string]string{
		"zz.example.com": "",
		"a.example.com, b.example.com, c.example.com, d.example.com, zz.example.com":                         "too many for one write",
		strings.Repeat("a.example.com, ", 5) + "zz.example.com":                                              "",
		strings.Repeat("a.example.com, ", 5) + "b.example.com, c.example.com, d.example.com, zz.example.com": "too many for one write",
	} {
		out, err := judge.Review(t.Context(), m, review.Write{
			Request: rules.Request{Operation: "CREATE", User: "alice"},
			Object: document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: many, namespace: shop}
spec: {hosts: [%s], resolution: DNS, exportTo: ["."], ports: [%s]}
`, hosts, strings.Join(ports, ", "))),
		})
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || want == "" && !out.Denied() {
			t.Errorf("hosts %s: denied %t, error %v; want a denial or an error with %q", hosts, out.Denied(), err, want)
		}
	}
}

// largeMesh is a mesh of 1,200 egress points of the platform's, and a namespace
// for the writes of a test.
func largeMesh(t *testing.T, labels string) *mesh.Mesh {
	t.Helper()
	var hosts []string
	for i := range 200 {
		hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
	}
	var ports []string
	for i := range 6 {
		ports = append(ports, fmt.Sprintf("{number: %d, name: http-%d, protocol: HTTP}", 8000+i, i))
	}
	return mesh.New(mesh.DefaultSettings(), decode(t, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {%s}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: many, namespace: istio-system}
spec: {hosts: [%s], exportTo: ["~"], resolution: DNS, ports: [%s]}
`, labels, strings.Join(hosts, ", "), strings.Join(ports, ", ")))...)
}

// TestTooManyPoints has writes for more egress points than a write is judged by:
// a tenant's is refused, unless it cannot do harm by that.
func TestTooManyPoints(t *testing.T) {
	everything := func(meta, gateways string) []byte {
		return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: %s}
spec: {hosts: ["*.com"], gateways: [%s], exportTo: ["."], http: [{route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]}]}
`, meta, gateways))
	}
	sidecar := document(t, `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {egress: [{port: {number: 8000, name: tcp, protocol: TCP}, hosts: ["*/*.com"]}, {hosts: ["*/*"]}]}
`)
	create := rules.Request{Operation: "CREATE", User: "alice"}
	for _, test := range []struct {
		name, labels string
		write        review.Write
		refused      bool
	}{
		{name: "a route", write: review.Write{Request: create, Object: everything("shop", "mesh")}, refused: true},
		{name: "a Sidecar", write: review.Write{Request: create, Object: sidecar}, refused: true},
		{name: "where findings are warnings", labels: "sallyport.io/mode: warn", write: review.Write{Request: create, Object: everything("shop", "mesh")}},
		{name: "a route for an ingress gateway", write: review.Write{Request: create, Object: everything("shop", "ingress")}},
		{name: "a route of the platform's", write: review.Write{Request: create, Object: everything("istio-system", "mesh")}},
		{name: "a change of metadata", write: review.Write{
			Request:   rules.Request{Operation: "UPDATE", User: "alice"},
			OldObject: everything("shop", "mesh"), Object: everything("shop, labels: {team: a}", "mesh"),
		}},
		{name: "a deletion", write: review.Write{Request: rules.Request{Operation: "DELETE", User: "alice"}, OldObject: everything("shop", "mesh")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), largeMesh(t, test.labels), test.write)
			if refused := err != nil && strings.Contains(err.Error(), "too many for one write"); refused != test.refused || err != nil && !refused {
				t.Errorf("error %v, want one %t", err, test.refused)
			}
		})
	}
}

// TestReviewEnds ends the context of a review that has much to do.
func TestReviewEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := (&review.Judge{Rules: rules.All}).Review(ctx, mesh.New(mesh.DefaultSettings()), review.Write{
		Request: rules.Request{Operation: "CREATE"}, Object: document(t, entryOf("a.example.com")),
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestTooManyPointsByLabel relabels a WorkloadEntry, so that an entry for many
// hosts selects it: its labels are no mere metadata.
func TestTooManyPointsByLabel(t *testing.T) {
	var hosts []string
	for i := range 1_200 {
		hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
	}
	m := mesh.New(mesh.DefaultSettings(), decode(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: many, namespace: shop}
spec: {hosts: [%s], exportTo: ["~"], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: a}}, ports: [{number: 80, name: http, protocol: HTTP}]}
`, strings.Join(hosts, ", ")))...)
	machine := func(app string) []byte {
		return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine, namespace: shop, labels: {app: %s}}
spec: {address: 203.0.113.9}
`, app))
	}
	_, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), m, review.Write{
		Request: rules.Request{Operation: "UPDATE", User: "alice"}, OldObject: machine("b"), Object: machine("a"),
	})
	if err == nil || !strings.Contains(err.Error(), "too many for one write") {
		t.Errorf("error %v, want that it bears on too much", err)
	}
}
