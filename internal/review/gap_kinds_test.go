package review_test

import (
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// routedByHand is an entry with a way through the gateway that Sallyport has not
// written, but for the hop to the gateway.
const routedByHand = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: by-hand, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: ["*/api.partner.com"], tls: {mode: PASSTHROUGH}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: by-hand, namespace: istio-system}
spec: {hosts: [api.partner.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, exportTo: [.]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gateway, namespace: istio-system}
spec:
  hosts: [api.partner.com]
  gateways: [by-hand]
  tls: [{match: [{sniHosts: [api.partner.com]}], route: [{destination: {host: api.partner.com, port: {number: 443}}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: istio-egressgateway, namespace: istio-system}
spec: {ports: [{name: tls, port: 443}], selector: {istio: egressgateway}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, uid: u1}
spec: {hosts: [api.partner.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, exportTo: [.]}
`

func hopByHand(namespace string) string {
	return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: own, namespace: ` + namespace + `}
spec:
  hosts: [api.partner.com]
  tls: [{match: [{sniHosts: [api.partner.com]}], route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 443}}}]}]
`
}

// TestNoKindOpensAMoment takes the hop to the gateway away by an object of every
// kind that can: where the companions that take its place are not there yet, it is
// refused, and admitted once the entry has asked for them.
func TestNoKindOpensAMoment(t *testing.T) {
	const hopByTLSRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: own, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}]
  rules: [{backendRefs: [{name: istio-egressgateway, namespace: istio-system, port: 443}]}]
`
	const elsewhere = `
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: own, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: another}]
  rules: [{backendRefs: [{name: istio-egressgateway, namespace: istio-system, port: 443}]}]
`
	const hidesPlatform = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {egress: [{hosts: ["./*", istio-system/istio-egressgateway.istio-system.svc.cluster.local]}]}
`
	judge := &review.Judge{Rules: rules.All}
	for name, c := range map[string]struct{ hop, old, object string }{
		"VirtualService deleted":            {hopByHand("shop"), hopByHand("shop"), ""},
		"platform's VirtualService deleted": {hopByHand("istio-system"), hopByHand("istio-system"), ""},
		"TLSRoute deleted":                  {hopByTLSRoute, hopByTLSRoute, ""},
		"TLSRoute changed":                  {hopByTLSRoute, hopByTLSRoute, elsewhere},
		"Sidecar created":                   {hopByHand("istio-system"), "", hidesPlatform},
	} {
		t.Run(name, func(t *testing.T) {
			on := true
			settings := mesh.DefaultSettings()
			settings.InjectionOverride = &on
			before := mesh.New(settings, decode(t, routedByHand+"---"+c.hop)...)
			w := review.Write{Request: rules.Request{User: "jane"}}
			after := func(m *mesh.Mesh) *mesh.Mesh {
				if c.object == "" {
					return m.Without(decode(t, c.old)[0].Metadata().Ref)
				}
				return m.With(decode(t, c.object)...)
			}
			switch {
			case c.object == "":
				w.Request.Operation, w.OldObject = "DELETE", document(t, c.old)
			case c.old == "":
				w.Request.Operation, w.Object = "CREATE", document(t, c.object)
			default:
				w.Request.Operation, w.OldObject, w.Object = "UPDATE", document(t, c.old), document(t, c.object)
			}
			if directNow(before, "api.partner.com") != "" || directNow(after(before), "api.partner.com") == "" {
				t.Fatal("the write does not open a moment: the test tests nothing")
			}
			out, err := judge.Review(t.Context(), before, w)
			if err != nil {
				t.Fatal(err)
			}
			if findingOf(out, "open-gap") == nil || !out.Denied() {
				t.Fatalf("not refused: %+v", out.Findings)
			}

			entry := *before.Get(mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "api"}).(*mesh.ServiceEntry)
			entry.Annotations = map[string]string{mesh.SpareAnnotation: "true"}
			asked := before.With(&entry)
			asked = asked.With(companion.For(asked, "api.partner.com").Objects...)
			if direct := directNow(after(asked), "api.partner.com"); direct != "" {
				t.Errorf("with the companions there, %s", direct)
			}
			if out, err = judge.Review(t.Context(), asked, w); err != nil || out.Denied() {
				t.Errorf("with the companions there: %v %+v", err, out.Findings)
			}
		})
	}
}
