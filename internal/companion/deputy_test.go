package companion_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// mark is in every string of a tenant's entry that is not its namespace or a
// host: nothing that Sallyport writes may be steered by one.
const mark = "tenant0mark"

// hostileEntry is an entry that Sallyport can serve, with a mark in every
// string that the API leaves to the tenant. Istio would refuse some of it; an
// object can be stored from before.
func hostileEntry(r *rand.Rand, host string) map[string]any {
	n := 0
	marked := func() string { n++; return fmt.Sprintf("%s-%d", mark, n) }
	maybe := func(m map[string]any, key string, value any) {
		if r.IntN(8) == 0 { // of many, most entries would be refused
			m[key] = value
		}
	}
	var ports []any
	for i, protocol := range []string{"HTTP", "TLS", "TCP", "GRPC", "HTTPS"} {
		if r.IntN(2) == 0 || i == 1 {
			port := map[string]any{"number": 1000 + i, "name": marked(), "protocol": protocol}
			if protocol == "HTTP" {
				maybe(port, "targetPort", 443)
			}
			ports = append(ports, port)
		}
	}
	spec := map[string]any{"hosts": []any{host}, "ports": ports, "resolution": "DNS"}
	maybe(spec, "exportTo", []any{"."})
	maybe(spec, "subjectAltNames", []any{marked()})
	maybe(spec, "addresses", []any{marked()})
	maybe(spec, "endpoints", []any{map[string]any{
		"address": marked() + ".example.net", "network": marked(), "locality": marked(),
		"serviceAccount": marked(), "labels": map[string]any{marked(): marked()}, "ports": map[string]any{marked(): 443},
	}})
	maybe(spec, "workloadSelector", map[string]any{"labels": map[string]any{marked(): marked()}})
	annotations := map[string]any{marked(): marked()}
	for _, key := range []string{
		mesh.ExportAnnotation, mesh.SpareAnnotation, mesh.RewriteAnnotation, mesh.ClientCertificateAnnotation, mesh.IssuerAnnotation,
		mesh.OriginateTLSAnnotation, mesh.ServiceAccountsAnnotation, mesh.PeersAnnotation, mesh.HostAnnotation, mesh.StatusAnnotation,
		mesh.InjectionLabel, mesh.ModeLabel, mesh.GatewayLabel,
	} {
		maybe(annotations, key, marked())
	}
	labels := map[string]any{marked(): marked()}
	maybe(labels, "istio.io/use-waypoint", marked())
	maybe(labels, "istio.io/use-waypoint-namespace", marked())
	return map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
		"metadata": map[string]any{
			"name": marked(), "namespace": "shop", "uid": marked(), "labels": labels, "annotations": annotations,
			"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": marked(), "name": marked(), "uid": marked()}},
		},
		"spec": spec,
	}
}

// TestNoConfusedDeputy: what a tenant writes never becomes a name, a namespace,
// a kind, a selector, a visibility, a gateway or a credential of what Sallyport
// writes with rights that the tenant has not. Only host and ports come from the
// entry, and its subjectAltNames, addresses, endpoints and service accounts where
// they belong.
func TestNoConfusedDeputy(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	written, ambient := 0, 0
	for i := range 600 {
		host := fmt.Sprintf("h%d.example.com", i)
		raw, err := json.Marshal(hostileEntry(r, host))
		if err != nil {
			t.Fatal(err)
		}
		entry, err := mesh.Decode(raw)
		if err != nil {
			continue
		}
		s := settings(i%2 == 0)
		objects := companion.For(mesh.New(s, entry), host).Objects
		_, m := ambientMesh(t, "testdata/ambient/classes.txtar")
		atWaypoint := companion.ForAmbient(m.With(entry), host).Objects
		ambient += len(atWaypoint)
		for i, o := range append(objects, atWaypoint...) {
			written++
			ref := o.Metadata().Ref
			namespace := s.GatewayNamespace(ref.Namespace) || ref.Namespace == "shop"
			if i >= len(objects) {
				namespace = ref.Namespace == "istio-egress"
			}
			if !companion.Is(ref) || !namespace {
				t.Fatalf("%s is written because of\n%s", ref, raw)
			}
			rendered, err := companion.Render(o)
			if err != nil {
				t.Fatal(err)
			}
			found, err := json.Marshal(rendered)
			if err != nil {
				t.Fatal(err)
			}
			var tree any
			if err := json.Unmarshal(found, &tree); err != nil {
				t.Fatal(err)
			}
			marks(tree, "", func(path, value string) {
				t.Errorf("%s: %s is %q, from the tenant's\n%s", ref, path, value, raw)
			})
		}
	}
	if written < 500 || ambient < 200 {
		t.Errorf("only %d companions were looked at, %d of them at a waypoint", written, ambient)
	}
}

// marks calls f for every marked string that is not where a tenant's may be.
func marks(at any, path string, f func(path, value string)) {
	switch at := at.(type) {
	case map[string]any:
		for key, value := range at {
			if strings.Contains(key, mark) {
				f(path, key)
			}
			marks(value, path+"."+key, f)
		}
	case []any:
		for _, value := range at {
			marks(value, path+"[]", f)
		}
	case string:
		if !strings.Contains(at, mark) {
			return
		}
		switch path {
		case ".spec.subjectAltNames[]", ".spec.endpoints[].address", ".spec.addresses[]":
			return // the gateway's registration of the host is where these belong
		}
		if account, ok := strings.CutPrefix(at, "*/ns/shop/sa/"); ok && path == ".spec.rules[].from[].source.notPrincipals[]" && !strings.ContainsAny(account, "*/") {
			return // whom of its own namespace the tenant admits
		}
		if strings.HasSuffix(path, ".tls.subjectAltNames[]") {
			return // whom the gateway takes for the host
		}
		f(path, at)
	}
}
