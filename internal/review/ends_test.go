package review_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

const (
	endEntry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {namespace: shop, name: api, uid: entry, META}
spec:
  hosts: [api.example.com]
  exportTo: [".", istio-system]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
`
	endRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {namespace: shop, name: api, uid: route, META}
spec:
  hosts: [api.example.com]
  gateways: [mesh, istio-system/all]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - match: [{gateways: [istio-system/all]}]
    route: [{destination: {host: api.example.com, port: {number: 80}}}]
`
	endStraight = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {namespace: shop, name: api, uid: route, META}
spec:
  hosts: [api.example.com]
  http:
  - route: [{destination: {host: api.example.com, port: {number: 80}}}]
`
	endGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {namespace: istio-system, name: all}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
`
	endNamespace = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}, META}
`
	endPod = `
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: p, META}
spec: {containers: [{name: app, image: app}]}
`
	goingNow = `deletionTimestamp: "2026-11-01T00:00:00Z", deletionGracePeriodSeconds: 0`
	going    = goingNow + `, finalizers: [shop.example/keep]`
	goingTwo = goingNow + `, finalizers: [shop.example/keep, shop.example/keep-too]`
)

// with gives an object more metadata.
func with(o, meta string) string { return strings.ReplaceAll(o, ", META", ", "+meta) }

func plainYAML(o string) string { return strings.ReplaceAll(o, ", META", "") }

func ownedBy(refs ...string) string { return "ownerReferences: [" + strings.Join(refs, ", ") + "]" }

func ownerRef(apiVersion, kind, name, uid string) string {
	return "{apiVersion: " + apiVersion + ", kind: " + kind + ", name: " + name + ", uid: " + uid + "}"
}

// TestEnds: whatever lets an object go is judged as its deletion, and nothing else
// is.
func TestEnds(t *testing.T) {
	const networking = "networking.istio.io/v1"
	elsewhere := func(o string) string { return strings.Replace(o, "namespace: shop", "namespace: other", 1) }
	shared := strings.Replace(elsewhere(endEntry), `exportTo: [".", istio-system]`, `exportTo: ["*"]`, 1)
	tests := []struct {
		name        string
		state       []string
		operation   string
		old, object string
		propagation string
		allowAny    bool
		denied      string // part of the denial; empty where the write is admitted
	}{
		{
			name: "an entry for a route that is being deleted", state: []string{with(endRoute, going)},
			operation: "CREATE", object: endEntry, denied: "VirtualService/shop/api metadata.deletionTimestamp",
		},
		{
			name: "an entry for a route in a namespace that is being deleted", state: []string{with(endNamespace, goingNow), elsewhere(endEntry), endRoute},
			operation: "CREATE", object: strings.Replace(shared, "name: api,", "name: too,", 1), denied: "its namespace is being deleted",
		},
		{
			name: "the last finalizer of the route", state: []string{endEntry, with(endRoute, going)},
			operation: "UPDATE", old: with(endRoute, going), object: with(endRoute, goingNow), denied: "api.example.com:80",
		},
		{
			name: "the last finalizer, with a spec that will never be read", state: []string{endEntry, with(endRoute, going)},
			operation: "UPDATE", old: with(endRoute, going), object: with(endStraight, goingNow), denied: "Delete ServiceEntry/shop/api first",
		},
		{
			name: "the last finalizer of a route that nobody needs", state: []string{with(endRoute, going)},
			operation: "UPDATE", old: with(endRoute, going), object: with(endRoute, goingNow),
		},
		{
			name: "the last finalizer of the entry", state: []string{with(endEntry, going), endRoute},
			operation: "UPDATE", old: with(endEntry, going), object: with(endEntry, goingNow),
		},
		{
			name: "one finalizer of two", state: []string{endEntry, with(endRoute, goingTwo)},
			operation: "UPDATE", old: with(endRoute, goingTwo), object: with(endRoute, going),
		},
		{
			name: "a label of a route that is being deleted", state: []string{endEntry, with(endRoute, going)},
			operation: "UPDATE", old: with(endRoute, going), object: with(endRoute, going+", labels: {a: b}"),
		},
		{
			name: "another spec of a route that is being deleted", state: []string{endEntry, with(endRoute, going)},
			operation: "UPDATE", old: with(endRoute, going), object: with(endStraight, going), denied: "api.example.com",
		},
		{
			name: "another host of an entry that is being deleted", state: []string{with(endEntry, going), endRoute},
			operation: "UPDATE", old: with(endEntry, going), object: strings.Replace(with(endEntry, going), "api.example.com", "other.example.com", 1), denied: "other.example.com:80",
		},
		{
			name: "the route of an entry that is being deleted", state: []string{with(endEntry, going), endRoute},
			operation: "DELETE", old: endRoute, denied: "api.example.com:80",
		},
		{
			name: "a pod that goes in its own time is written like any other", state: []string{endNamespace},
			operation: "UPDATE", old: with(endPod, `deletionTimestamp: "2026-11-01T00:00:00Z", deletionGracePeriodSeconds: 30`),
			object: with(endPod, `deletionTimestamp: "2026-11-01T00:00:00Z", deletionGracePeriodSeconds: 30, labels: {istio: egressgateway}`), denied: "egress",
		},
		{name: "an entry where unknown hosts are let out", state: []string{endEntry, endRoute}, allowAny: true, operation: "DELETE", old: endEntry},

		{
			name: "an owner that does not exist", state: []string{endEntry, endRoute}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "nobody", "x"))), denied: "its owner ServiceEntry/shop/nobody does not exist",
		},
		{
			name: "an owner of another life", state: []string{endEntry, endRoute}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "api", "x"))), denied: `not the one with the uid "x"`,
		},
		{
			name: "an owner in another namespace", state: []string{endEntry, endRoute, elsewhere(strings.Replace(endEntry, "name: api,", "name: there,", 1))}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "there", "entry"))), denied: "its owner ServiceEntry/shop/there does not exist",
		},
		{
			name: "an owner that is being deleted", state: []string{endEntry, endRoute, strings.Replace(with(endStraight, going), "name: api, uid: route", "name: dying, uid: dying", 1)}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef(networking, "VirtualService", "dying", "dying"))), denied: "is being deleted",
		},
		{
			name: "two owners, both of them none", state: []string{endEntry, endRoute}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "nobody", "x"), ownerRef(networking, "Gateway", "nobody", "x"))), denied: "does not exist",
		},
		{
			name: "two owners, one of them there", state: []string{endEntry, endRoute}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "nobody", "x"), ownerRef(networking, "ServiceEntry", "api", "entry"))),
		},
		{
			name: "an owner that the model does not hold", state: []string{endEntry, endRoute}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef("apps/v1", "Deployment", "nobody", "x"))),
		},
		{
			name: "no owner for what nobody needs", state: []string{endRoute}, operation: "UPDATE", old: endRoute,
			object: with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "nobody", "x"))),
		},
		{
			name: "an object that nobody owns any more is edited", state: []string{endEntry, endRoute}, operation: "UPDATE",
			old:    with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "nobody", "x"))),
			object: with(endRoute, "labels: {a: b}, "+ownedBy(ownerRef(networking, "ServiceEntry", "nobody", "x"))),
		},

		{
			name: "in the foreground, before its route", state: []string{endEntry, with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "api", "entry")))},
			operation: "DELETE", old: endEntry, propagation: "Foreground", denied: "--cascade=background",
		},
		{
			name: "in the foreground by a finalizer", state: []string{endEntry, with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "api", "entry")))},
			operation: "DELETE", old: with(endEntry, "finalizers: [foregroundDeletion]"), denied: "--cascade=background",
		},
		{
			name: "in the background, before its route", state: []string{endEntry, with(endRoute, ownedBy(ownerRef(networking, "ServiceEntry", "api", "entry")))},
			operation: "DELETE", old: with(endEntry, "finalizers: [foregroundDeletion]"), propagation: "Background",
		},
		{name: "in the foreground, and nothing is its own", state: []string{endEntry, endRoute}, operation: "DELETE", old: endEntry, propagation: "Foreground"},

		{
			name: "the namespace of a route that others need", state: []string{endNamespace, shared, endRoute},
			operation: "DELETE", old: endNamespace, denied: "Delete ServiceEntry/other/api first",
		},
		{name: "a namespace that nobody else needs", state: []string{endNamespace, endEntry, endRoute}, operation: "DELETE", old: endNamespace},
		{name: "a namespace, once more", state: []string{with(endNamespace, goingNow), shared, endRoute}, operation: "DELETE", old: with(endNamespace, goingNow)},
		{
			name: "a route in a namespace that goes, before its entry", state: []string{with(endNamespace, goingNow), endEntry, endRoute},
			operation: "DELETE", old: endRoute, denied: "api.example.com:80",
		},
		{name: "an entry in a namespace that goes", state: []string{with(endNamespace, goingNow), endEntry, endRoute}, operation: "DELETE", old: endEntry},
		{name: "a route in a namespace that was let go", state: []string{with(endNamespace, goingNow), shared, endRoute}, operation: "DELETE", old: endRoute},
		{
			name: "a namespace whose owner does not exist", state: []string{endNamespace, shared, endRoute}, operation: "UPDATE", old: endNamespace,
			object: with(endNamespace, ownedBy(ownerRef("v1", "Namespace", "nobody", "x"))), denied: "api.example.com:80",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			decode := func(doc string) (raw []byte, o mesh.Object) {
				if doc == "" {
					return nil, nil
				}
				raw, err := yaml.YAMLToJSON([]byte(plainYAML(doc)))
				if err != nil {
					t.Fatal(err)
				}
				if o, err = mesh.Decode(raw); err != nil {
					t.Fatal(err)
				}
				return raw, o
			}
			settings, off := mesh.DefaultSettings(), false
			settings.InjectionOverride, settings.AllowAny = &off, tt.allowAny
			m := mesh.New(settings)
			for _, doc := range append(tt.state, endGateway) {
				_, o := decode(doc)
				m = m.With(o)
			}
			w := review.Write{Request: rules.Request{Operation: tt.operation, User: "jane"}, Propagation: tt.propagation}
			w.OldObject, _ = decode(tt.old)
			w.Object, _ = decode(tt.object)
			out, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), m, w)
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, f := range out.Findings {
				if f.Severity == rules.Deny {
					said = append(said, f.Message+"\n"+f.Fix)
				}
			}
			if out.Denied() != (tt.denied != "") || !strings.Contains(strings.Join(said, "\n"), tt.denied) {
				t.Errorf("denied: %q, want %q", said, tt.denied)
			}
		})
	}
}

// TestOwnersTellNothingOfNamespaces names a namespace of somebody else as an owner: the
// answer is the same whether there is one or not, is another one or about to go.
func TestOwnersTellNothingOfNamespaces(t *testing.T) {
	other := strings.Replace(endNamespace, "name: shop", "name: rival, uid: rival", 1)
	answers := map[string][]string{}
	for name, state := range map[string]string{"none": "", "another": strings.Replace(other, "uid: rival", "uid: reborn", 1), "going": with(other, goingNow)} {
		settings, off := mesh.DefaultSettings(), false
		settings.InjectionOverride = &off
		m := mesh.New(settings)
		raw := func(doc string) []byte {
			raw, err := yaml.YAMLToJSON([]byte(plainYAML(doc)))
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		for _, doc := range []string{endEntry, endRoute, endNamespace, endGateway, state} {
			if doc == "" {
				continue
			}
			o, err := mesh.Decode(raw(doc))
			if err != nil {
				t.Fatal(err)
			}
			m = m.With(o)
		}
		out, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), m, review.Write{
			Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: raw(endRoute),
			Object: raw(with(endRoute, ownedBy(ownerRef("v1", "Namespace", "rival", "rival")))),
		})
		if err != nil || !out.Denied() {
			t.Fatalf("%s: denied %v, %v", name, out.Denied(), err)
		}
		var said strings.Builder
		for _, f := range out.Findings {
			said.WriteString(f.Message + "\n" + f.Fix + "\n")
		}
		answers[said.String()] = append(answers[said.String()], name)
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %q", answers)
	}
}
