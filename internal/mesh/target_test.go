package mesh_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

const targetsMesh = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec: {hosts: [api.partner.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: via, namespace: shop}
spec:
  hosts: [via.partner.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local}]
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: api.partner.com}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{port: 9080, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: shop}
spec: {http: [{route: [{destination: {host: api.partner.com, port: {number: 80}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
  hosts: [www.partner.com]
  gateways: [mesh, istio-system/egress]
  http:
  - match: [{gateways: [istio-system/egress]}]
    route: [{destination: {host: api.partner.com}}]
  - match: [{uri: {prefix: /a}}]
    delegate: {name: leaf}
  - route:
    - {destination: {host: reviews}, weight: 50}
    - {destination: {host: nobody.example}, weight: 50}
    - {destination: {host: api.partner.com}, weight: 0}
    mirror: {host: alias}
  tls:
  - match: [{sniHosts: [www.partner.com]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: s, port: {number: 443}}}]
  tcp:
  - route: [{destination: {host: via.partner.com}}]
`

func TestTargets(t *testing.T) {
	m := mesh.New(mesh.DefaultSettings(), decodeYAML(t, "targets", []byte(targetsMesh))...)
	vs := m.Get(mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "v"}).(*mesh.VirtualService)
	classes := map[mesh.TargetClass]string{
		mesh.TargetUnknown: "unknown", mesh.TargetGateway: "gateway", mesh.TargetExternal: "external",
		mesh.TargetAlias: "alias", mesh.TargetInMesh: "in mesh",
	}
	var got []string
	for _, x := range m.Targets(vs) {
		got = append(got, fmt.Sprintf("%s %s: %s:%d %q %s%s mirror=%t mesh=%t", x.Owner.Name, x.Path, x.Host, x.Port, x.Subset, classes[x.Class], x.Gateway, x.Mirror, x.Mesh))
	}
	want := []string{
		`v spec.http[0].route[0].destination: api.partner.com:0 "" external mirror=false mesh=false`,
		`leaf spec.http[0].route[0].destination: api.partner.com:80 "" external mirror=false mesh=true`,
		`v spec.http[2].route[0].destination: reviews.shop.svc.cluster.local:0 "" in mesh mirror=false mesh=true`,
		`v spec.http[2].route[1].destination: nobody.example:0 "" unknown mirror=false mesh=true`,
		`v spec.http[2].mirror: api.partner.com:0 "" alias mirror=true mesh=true`,
		`v spec.tls[0].route[0].destination: istio-egressgateway.istio-system.svc.cluster.local:443 "s" gatewayistio-egressgateway mirror=false mesh=true`,
		`v spec.tcp[0].route[0].destination: via.partner.com:0 "" gatewayistio-egressgateway mirror=false mesh=true`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPassthrough(t *testing.T) {
	tests := []struct {
		name, sidecar string
		want          bool
	}{
		{"REGISTRY_ONLY", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}", false},
		{"an empty policy is REGISTRY_ONLY", "{outboundTrafficPolicy: {}}", false},
		{"no policy", "{egress: [{hosts: ['./*']}]}", false},
		{"ALLOW_ANY", "{outboundTrafficPolicy: {mode: ALLOW_ANY}}", true},
		{"ALLOW_ANY for some workloads", "{workloadSelector: {labels: {app: a}}, outboundTrafficPolicy: {mode: ALLOW_ANY}}", true},
		{"egressProxy", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: squid.example}}}", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: shop}\nspec: " + tt.sidecar
			m := mesh.New(mesh.DefaultSettings(), decodeYAML(t, tt.name, []byte(doc))...)
			got, because := m.Passthrough("shop")
			if got != tt.want || got != (len(because) > 0) {
				t.Errorf("Passthrough = %t, %v; want %t", got, because, tt.want)
			}
			if other, _ := m.Passthrough("elsewhere"); other {
				t.Error("a Sidecar lets traffic of another namespace through")
			}
		})
	}
	settings := mesh.DefaultSettings()
	settings.AllowAny = true
	if got, _ := mesh.New(settings).Passthrough(mesh.AnyClient); !got {
		t.Error("ALLOW_ANY of the mesh lets nothing through")
	}
}
