package companion_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

const rewriteEntry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.partner.com]
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 443}
  - {number: 8443, name: tls, protocol: TLS}
  - {number: 5432, name: tcp, protocol: TCP}
  resolution: DNS
  exportTo: [.]`

const rewriteRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: shop, annotations: {sallyport.io/rewrite: "true"}}
spec:
  hosts: [api.partner.com]
  http:
  - match: [{uri: {prefix: /slow}, port: 80}]
    timeout: 30s
    retries: {attempts: 5}
    route:
    - {destination: {host: api.partner.com, port: {number: 80}}, headers: {request: {set: {x-a: b}, remove: [x-c]}, response: {add: {x-d: e}}}, weight: 90}
    - {destination: {host: api.partner.com, port: {number: 80}}, weight: 10}
  - timeout: 1s
    route: [{destination: {host: api.partner.com, port: {number: 80}}}]
  tls:
  - match: [{port: 8443, sniHosts: [api.partner.com]}]
    route: [{destination: {host: api.partner.com, port: {number: 8443}}}]
  tcp:
  - match: [{port: 5432}]
    route: [{destination: {host: api.partner.com, port: {number: 5432}}}]`

// TestRewrite: a route straight to a host becomes the mesh hop of two, and
// keeps all else that it says.
func TestRewrite(t *testing.T) {
	objects := decode(t, []byte(rewriteEntry+"\n---\n"+rewriteRoute))
	m := mesh.New(settings(true), objects[0])
	edits := companion.Rewrite(m, objects[1].(*mesh.VirtualService))
	got := apply(t, rewriteRoute, edits)

	key := companion.Key("api.partner.com")
	want := strings.NewReplacer("GATEWAY", "istio-egressgateway.istio-system.svc.cluster.local", "KEY", key).Replace(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: shop, annotations: {sallyport.io/rewrite: "true"}}
spec:
  hosts: [api.partner.com]
  http:
  - match: [{uri: {prefix: /slow}, port: 80}]
    timeout: 30s
    retries: {attempts: 5}
    route:
    - destination: {host: GATEWAY, subset: KEY, port: {number: 80}}
      headers: {request: {set: {x-a: b, x-sallyport-port: "80"}, remove: [x-c]}, response: {add: {x-d: e}}}
      weight: 90
    - destination: {host: GATEWAY, subset: KEY, port: {number: 80}}
      headers: {request: {set: {x-sallyport-port: "80"}}}
      weight: 10
  - timeout: 1s
    route:
    - destination: {host: GATEWAY, subset: KEY, port: {number: 80}}
      headers: {request: {set: {x-sallyport-port: "80"}}}
  tls:
  - match: [{port: 8443, sniHosts: [api.partner.com]}]
    route: [{destination: {host: GATEWAY, subset: KEY-p8443, port: {number: 443}}}]
  tcp:
  - match: [{port: 5432}]
    route: [{destination: {host: GATEWAY, subset: KEY-p5432, port: {number: 443}}}]`)
	if diff := cmp.Diff(normal(t, want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// It leads to the companions' gateway side, so ours is not in its way; and
	// there is nothing left to rewrite.
	rewritten := decode(t, []byte(got))[0]
	after, sets := companion.Apply(m.With(rewritten), "api.partner.com")
	for _, o := range sets[0].Objects {
		if ref := o.Metadata().Ref; companion.MeshHop(ref) && !companion.Spare(ref) {
			t.Errorf("%s would hide the VirtualService", o.Metadata().Ref)
		}
	}
	for _, port := range []int{80, 8443, 5432} {
		if path := after.Paths("shop", "api.partner.com", port); path.Verdict != mesh.Via {
			t.Errorf("port %d is %s: %+v", port, path.Verdict, path.Because)
		}
	}
	if again := companion.Rewrite(m.With(rewritten), rewritten.(*mesh.VirtualService)); len(again) > 0 {
		t.Errorf("rewritten again: %+v", again)
	}
}

// TestRewriteLeaves: what has no two-hop form, or did not ask, stays.
func TestRewriteLeaves(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"not asked": func(s string) string { return strings.ReplaceAll(s, `"true"`, `"false"`) },
		"another host": func(s string) string {
			return strings.ReplaceAll(s, "host: api.partner.com", "host: other.partner.com")
		},
		"a subset of the host": func(s string) string {
			return strings.ReplaceAll(s, "{host: api.partner.com,", "{host: api.partner.com, subset: v1,")
		},
		"an unknown port":   strings.NewReplacer("{number: 80}", "{number: 81}", "{number: 8443}", "{number: 81}", "{number: 5432}", "{number: 81}").Replace,
		"another namespace": func(s string) string { return strings.ReplaceAll(s, "namespace: shop", "namespace: billing") },
		"for a gateway":     func(s string) string { return strings.ReplaceAll(s, "  http:", "  gateways: [mesh, ingress]\n  http:") },
	} {
		t.Run(name, func(t *testing.T) {
			changed := change(rewriteRoute)
			if changed == rewriteRoute {
				t.Fatal("the case changes nothing")
			}
			objects := decode(t, []byte(rewriteEntry+"\n---\n"+changed))
			if edits := companion.Rewrite(mesh.New(settings(true), objects[0]), objects[1].(*mesh.VirtualService)); len(edits) > 0 {
				t.Errorf("edits: %+v", edits)
			}
		})
	}
	t.Run("authority", func(t *testing.T) {
		changed := strings.ReplaceAll(rewriteRoute, "    timeout: 30s", "    rewrite: {authority: evil.com}\n    timeout: 30s")
		objects := decode(t, []byte(rewriteEntry+"\n---\n"+changed))
		for _, e := range companion.Rewrite(mesh.New(settings(true), objects[0]), objects[1].(*mesh.VirtualService)) {
			if strings.HasPrefix(e.Pointer, "/spec/http/0") {
				t.Errorf("edit: %+v", e)
			}
		}
	})
}

// apply applies the edits and returns the object in a normal form.
func apply(t *testing.T, manifest string, edits []companion.Edit) string {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &o); err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		raw, err := json.Marshal(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			t.Fatal(err)
		}
		var at any = o
		steps := strings.Split(e.Pointer, "/")[1:]
		for i, step := range steps {
			switch node := at.(type) {
			case map[string]any:
				if i == len(steps)-1 {
					node[step] = value
				}
				at = node[step]
			case []any:
				n, err := strconv.Atoi(step)
				if err != nil {
					t.Fatal(err)
				}
				at = node[n]
			default:
				t.Fatalf("%s: nothing at %s", e.Pointer, step)
			}
		}
	}
	out, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func normal(t *testing.T, manifest string) string { return apply(t, manifest, nil) }
