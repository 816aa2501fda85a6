package main

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/config"
)

// mistaken is a kind with what a good object of it has in its spec, and how it is
// made a bad one. What is empty the kind has none of.
type mistaken struct {
	apiVersion, kind, spec string
	field                  string // one of the spec, whose neighbour and wrong type are tried
	required               string // one that the spec must have
	enum                   string // a field of the spec with a value that is none of its enumeration
}

var mistakenKinds = []mistaken{
	{"networking.istio.io/v1", "ServiceEntry", "{hosts: [a.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}", "endpoints", "hosts", "resolution: SOME"},
	{"networking.istio.io/v1", "VirtualService", "{hosts: [a.example.com], tls: [{match: [{port: 443, sniHosts: [a.example.com]}], route: [{destination: {host: a.example.com}}]}]}", "gateways", "", ""},
	{"networking.istio.io/v1", "DestinationRule", "{host: a.example.com}", "subsets", "", "trafficPolicy: {tls: {mode: SOME}}"},
	{"networking.istio.io/v1", "Gateway", "{selector: {istio: x}, servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: PASSTHROUGH}}]}", "selector", "", ""},
	{"networking.istio.io/v1", "Sidecar", "{egress: [{hosts: [./*]}]}", "ingress", "", "outboundTrafficPolicy: {mode: SOME}"},
	{"networking.istio.io/v1", "WorkloadEntry", "{address: 10.0.0.1}", "serviceAccount", "", ""},
	{"security.istio.io/v1", "AuthorizationPolicy", "{rules: [{}]}", "selector", "", "action: SOME"},
	{"gateway.networking.k8s.io/v1", "HTTPRoute", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: a, port: 80}]}]}", "hostnames", "", ""},
	{"gateway.networking.k8s.io/v1", "GRPCRoute", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: a, port: 80}]}]}", "hostnames", "", ""},
	{"v1", "Service", "{selector: {app: a}, ports: [{port: 80}]}", "externalName", "", ""},
	{"v1", "Pod", "{containers: [{name: a, image: a}]}", "initContainers", "", ""},
	{"networking.k8s.io/v1", "NetworkPolicy", "{podSelector: {}, egress: [{}]}", "ingress", "", ""},
}

// TestParityOfMistakes: what an API server hands on the server and the command line
// answer in the same words, a field of a later release above all. What an API server
// would refuse the command line refuses in its place.
func TestParityOfMistakes(t *testing.T) {
	cfg, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	namespace := []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`)
	other := []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"other"}}`)
	ask := server(t, cfg.Settings(), namespace, other)
	for _, k := range mistakenKinds {
		t.Run(k.kind, func(t *testing.T) {
			object := func(uid string, change func(spec map[string]any)) []byte {
				var spec map[string]any
				if err := yaml.Unmarshal([]byte(k.spec), &spec); err != nil {
					t.Fatal(err)
				}
				change(spec)
				metadata := map[string]any{"namespace": "shop", "name": "a"}
				if uid != "" {
					metadata["uid"] = uid
				}
				raw, err := json.Marshal(map[string]any{"apiVersion": k.apiVersion, "kind": k.kind, "metadata": metadata, "spec": spec})
				if err != nil {
					t.Fatal(err)
				}
				return raw
			}
			// same has both judge an object, beside one that is not of a cluster: of
			// those that all are the command line says how they stand, and not what
			// becomes of their creation.
			same := func(what string, raw []byte, unknown bool) {
				t.Helper()
				theirs := ask(raw)
				ours, err := commandLine(t, [][]byte{namespace}, [][]byte{raw, other})
				if err != nil {
					t.Errorf("%s: the command line refuses it (%v), and the server says %v", what, err, theirs)
					return
				}
				if d := disagreement(theirs, ours[k.kind+"/shop/a"]); d != "" {
					t.Errorf("%s:\n%s", what, d)
				}
				if said := strings.Contains(theirs.String(), "unknown-field"); said != unknown {
					t.Errorf("%s: an unknown field is told of: %v, want %v: %v", what, said, unknown, theirs)
				}
			}
			refused := func(what string, raw []byte, words string) {
				t.Helper()
				ours, err := commandLine(t, [][]byte{namespace}, [][]byte{raw})
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("%s: the command line says %v, %v; want an error with %q", what, ours, err, words)
				}
			}
			set := func(field string, value any) func(map[string]any) {
				return func(spec map[string]any) { spec[field] = value }
			}
			near := k.field[:len(k.field)-1] + "q"
			same("a good one", object("", func(map[string]any) {}), false)
			same("a field of a later release", object("", set("quuxKnobZyx", true)), true)
			same("a field of a later release, handed out", object("1", set("quuxKnobZyx", true)), true)
			same("a near miss that an API server serves", object("1", set(near, true)), true)
			refused("a near miss", object("", set(near, true)), "spec."+near+": unknown field (is "+k.field+" meant?)")
			refused("a wrong type", object("", set(k.field, 1.5)), "spec."+k.field)
			if k.required != "" {
				refused("nothing where something is required", object("", func(spec map[string]any) { delete(spec, k.required) }), k.required)
			}
			if k.enum != "" {
				var values map[string]any
				if err := yaml.Unmarshal([]byte(k.enum), &values); err != nil {
					t.Fatal(err)
				}
				refused("a value that is none", object("", func(spec map[string]any) { maps.Copy(spec, values) }), "SOME")
			}
		})
	}
}
