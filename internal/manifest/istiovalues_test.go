package manifest

import (
	"strings"
	"testing"
)

// TestIstioValues: what Istio's validating webhook refuses is refused here, at the
// same field, and what it takes is not. Each case changes one thing of an object that
// is fine.
func TestIstioValues(t *testing.T) {
	const (
		entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: shop}
spec:
  exportTo: ["."]
  hosts: [api.partner.example]
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
`
		service = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  exportTo: ["."]
  gateways: [mesh, istio-system/egress]
  hosts: [api.partner.example]
  http: [{match: [{port: 80}], route: [{destination: {host: a.example}}]}]
  tls: [{match: [{port: 443, sniHosts: [api.partner.example]}], route: [{destination: {host: b.example, subset: s}}]}]
  tcp: [{match: [{destinationSubnets: [203.0.113.0/24]}], route: [{destination: {host: c.example}}]}]
`
		rule = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: shop}
spec:
  exportTo: ["."]
  host: api.partner.example
  subsets: [{name: one}, {name: two}]
`
		gateway = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ["./api.partner.example"], tls: {mode: PASSTHROUGH}}
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
`
	)
	for _, tt := range []struct{ object, was, is, path string }{
		{entry, "", "", ""},
		{entry, `["."]`, `["*", "."]`, "spec.exportTo[0]"},
		{entry, `["."]`, `["~", other]`, "spec.exportTo[0]"},
		{entry, `["."]`, `[Not_A_NS]`, "spec.exportTo[0]"},
		{entry, `["."]`, `[".", shop]`, "spec.exportTo[1]"},
		{entry, `["."]`, `["~"]`, ""},
		{entry, `["."]`, `["*"]`, ""},
		{entry, `["."]`, `[".", other]`, ""},
		{entry, "name: tls", "name: TLS_Port", "spec.ports[0].name"},
		{entry, "name: tls", "name: TLS-Port", ""},
		{entry, "name: tls", `name: "a-"`, "spec.ports[0].name"},
		{entry, "protocol: TLS", "protocol: QUIC", "spec.ports[0].protocol"},
		{entry, "protocol: TLS", "protocol: gRPC-Web", ""},
		{entry, ", protocol: TLS", "", ""},
		{entry, "[api.partner.example]", "[a.partner.example, b.partner.example]", ""},
		{entry, "[api.partner.example]\n  resolution: DNS\n  ports: [{number: 443, name: tls, protocol: TLS}]", "[a.b.c, d.b.c]\n  resolution: DNS\n  ports: [{number: 443, name: tcp, protocol: TCP}]", "spec.ports[0]"},
		{entry, "[api.partner.example]\n  resolution: DNS\n  ports: [{number: 443, name: tls, protocol: TLS}]", "[a.b.c, d.b.c]\n  resolution: NONE\n  ports: [{number: 443, name: tcp, protocol: TCP}]", ""},
		{entry, "[api.partner.example]", `["*.partner.example"]`, "spec.hosts[0]"},
		{entry, "resolution: DNS", "resolution: DYNAMIC_DNS", "spec.hosts[0]"},
		{entry, "[api.partner.example]\n  resolution: DNS", "[\"*.partner.example\"]\n  resolution: DYNAMIC_DNS", ""},
		{entry, "[api.partner.example]\n  resolution: DNS", "[\"*.partner.example\"]\n  resolution: DYNAMIC_DNS\n  addresses: [203.0.113.9]", "spec.addresses"},
		{entry, "resolution: DNS", "resolution: STATIC\n  endpoints: [{address: a.example}]", "spec.endpoints[0].address"},
		{entry, "resolution: DNS", "resolution: STATIC\n  endpoints: [{address: 203.0.113.9, ports: {tls: 8443}}]", ""},
		{entry, "resolution: DNS", "resolution: STATIC\n  endpoints: [{address: 203.0.113.9, ports: {http: 8443}}]", `spec.endpoints[0].ports["http"]`},
		{entry, "resolution: DNS", "resolution: DNS\n  endpoints: [{address: '*.example'}]", "spec.endpoints[0].address"},
		{service, "", "", ""},
		{service, `["."]`, `["~"]`, "spec.exportTo[0]"},
		{service, `["."]`, `["*", other]`, "spec.exportTo[0]"},
		{service, "mesh, istio-system/egress", "istio_system/egress", "spec.gateways[0]"},
		{service, "istio-system/egress", "egress", ""},
		{service, "hosts: [api.partner.example]", `hosts: [api.partner.example, "*"]`, "spec.hosts[1]"},
		{service, "hosts: [api.partner.example]", `hosts: [api.partner.example, "*.partner.example"]`, "spec.hosts[1]"},
		{service, "{port: 80}]", "{port: 80, sourceNamespace: a_b}]", "spec.http[0].match[0].sourceNamespace"},
		{service, "{match: [{port: 80}], route: [{destination: {host: a.example}}]}", "{match: [{port: 80}]}", "spec.http[0].route"},
		{service, "{match: [{port: 80}], route: [{destination: {host: a.example}}]}", "{redirect: {uri: /a}}", ""},
		{service, "{match: [{port: 80}], route: [{destination: {host: a.example}}]}", "{redirect: {uri: /a}, rewrite: {uri: /b}}", "spec.http[0].rewrite"},
		{service, "{match: [{port: 80}], route: [{destination: {host: a.example}}]}", "{route: [{destination: {host: a.example}}, {destination: {host: b.example}}]}", "spec.http[0].route"},
		{service, "{match: [{port: 80}], route: [{destination: {host: a.example}}]}", "{route: [{destination: {host: a.example}, weight: 0}, {destination: {host: b.example}, weight: 1}]}", ""},
		{service, "subset: s", "subset: s_1", "spec.tls[0].route[0].destination.subset"},
		{service, "sniHosts: [api.partner.example]", "sniHosts: [other.example]", "spec.tls[0].match[0].sniHosts[0]"},
		{service, "[203.0.113.0/24]", "[203.0.113.0/33]", "spec.tcp[0].match[0].destinationSubnets[0]"},
		{service, "host: c.example", `host: "*"`, "spec.tcp[0].route[0].destination.host"},
		{rule, "", "", ""},
		{rule, `["."]`, `["~"]`, "spec.exportTo[0]"},
		{rule, "name: two", "name: one", "spec.subsets[1].name"},
		{rule, "name: two", "name: two.2", "spec.subsets[1].name"},
		{rule, `["."]`, "[other]\n  workloadSelector: {matchLabels: {a: b}}", "spec.exportTo[0]"},
		{gateway, "", "", ""},
		{gateway, "name: a,", "name: a.b,", "metadata.name"},
		{gateway, "name: http,", "name: tls,", "spec.servers[1].port.name"},
		{gateway, "protocol: HTTP}", "protocol: QUIC}", "spec.servers[1].port.protocol"},
		{gateway, ", tls: {mode: PASSTHROUGH}", "", "spec.servers[0].tls"},
		{gateway, "./api.partner.example", "a_b/api.partner.example", "spec.servers[0].hosts[0]"},
	} {
		if tt.was != "" && !strings.Contains(tt.object, tt.was) {
			t.Fatalf("there is no %q to change", tt.was)
		}
		object := strings.Replace(tt.object, tt.was, tt.is, 1)
		_, err := Reader{Stdin: strings.NewReader(object)}.Read(t.Context(), "-")
		switch {
		case tt.path == "" && err != nil:
			t.Errorf("%q for %q: Istio takes it, and we do not: %v", tt.is, tt.was, err)
		case tt.path != "" && err == nil:
			t.Errorf("%q for %q: Istio refuses it, and we do not", tt.is, tt.was)
		case tt.path != "" && !strings.Contains(err.Error(), ": "+tt.path+": "):
			t.Errorf("%q for %q is refused at another field than %s: %v", tt.is, tt.was, tt.path, err)
		}
		if _, err := (Reader{Stdin: strings.NewReader(object), Stored: true}).Read(t.Context(), "-"); tt.path != "" && err != nil && strings.Contains(tt.path, "exportTo") {
			t.Errorf("%q for %q is stored already, and refused: %v", tt.is, tt.was, err)
		}
	}
}
