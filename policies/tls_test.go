package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// TestTLS checks what the input says about the hops of paths that the model finds: with Sallyport's companions, and with
// routes of a user's own.
func TestTLS(t *testing.T) {
	const (
		tls  = `{"number": 443, "name": "tls", "protocol": "TLS"}`
		http = `{"number": 80, "name": "http", "protocol": "HTTP"}`
		own  = `{"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "own", "namespace": "istio-system"},
			"spec": {"selector": {"istio": "egressgateway"}, "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["api.example.com"]}]}}`
		route = `{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "own", "namespace": "shop"},
			"spec": {"hosts": ["api.example.com"], "gateways": ["mesh", "istio-system/own"], "http": [
				{"match": [{"gateways": ["mesh"], "port": 80}], "route": [{"destination": {"host": "istio-egressgateway.istio-system.svc.cluster.local", "port": {"number": 80}}}]},
				{"match": [{"gateways": ["istio-system/own"], "port": 80}], "route": [{"destination": {"host": "api.example.com", "port": {"number": 80}}}]}]}}`
		disabled = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"sallyport.io/injection": "disabled"}}}`
		rule     = `{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "own", "namespace": "istio-system"},
			"spec": {"host": "api.example.com", "trafficPolicy": {"tls": {"mode": "MUTUAL", "sni": "api.example.com", "credentialName": "client", %s}}}}`
		sidecar = `{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "own", "namespace": "shop"},
			"spec": {"host": "api.example.com", "trafficPolicy": {"tls": {"mode": "SIMPLE", "insecureSkipVerify": true}}}}`
	)
	entry := func(port, annotation string) string {
		return fmt.Sprintf(`{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "api", "namespace": "shop", "annotations": {%s}},
			"spec": {"hosts": ["api.example.com"], "ports": [%s], "resolution": "DNS"}}`, annotation, port)
	}
	tests := []struct {
		name, entry string
		others      []string
		want        string
	}{
		{
			"application TLS by companions", entry(tls, ""), nil,
			`via mutual/application: ISTIO_MUTUAL api.example.com subset; "" [] false ""`,
		},
		{
			"plain HTTP by companions", entry(http, ""), nil,
			`via mutual/none: ISTIO_MUTUAL api.example.com subset; "" [] false ""`,
		},
		{
			"origination by companions", entry(http, `"sallyport.io/originate-tls": "true"`), nil,
			`via mutual/gateway: ISTIO_MUTUAL api.example.com subset; SIMPLE  [] true ""`,
		},
		{
			"a route of one's own in clear text", entry(http, ""),
			[]string{disabled, own, route},
			`via none/none: "" none; "" [] false ""`,
		},
		{
			"origination of one's own", entry(http, ""),
			[]string{disabled, own, route, fmt.Sprintf(rule, `"subjectAltNames": ["api.example.com"]`)},
			`via none/gateway: "" none; MUTUAL api.example.com ["api.example.com"] true "client"`,
		},
		{
			"any certificate will do", entry(http, ""),
			[]string{disabled, own, route, fmt.Sprintf(rule, `"subjectAltNames": []`)},
			`via none/gateway: "" none; MUTUAL api.example.com [] false "client"`,
		},
		{
			"straight out, by the sidecar's TLS", entry(http, ""),
			[]string{disabled, sidecar},
			`direct application/sidecar: "" none; SIMPLE  [] false ""`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			objects := []mesh.Object{decode(t, tt.entry)}
			for _, o := range tt.others {
				objects = append(objects, decode(t, o))
			}
			m, _ := companion.Apply(mesh.New(mesh.DefaultSettings(), objects...), "api.example.com")
			p := rules.Pass{
				Request: rules.Request{Operation: "CREATE", Time: "2026-07-01T12:00:00Z"},
				Subject: objects[0], Raw: []byte(tt.entry), Before: func() *mesh.Mesh { return m }, After: m, Live: m, Memo: new(rules.Memo),
			}
			for _, point := range m.Points(objects[0]) {
				p.Paths = append(p.Paths, m.Paths("shop", point.Host, point.Port))
			}
			v, err := input(&p)
			if err != nil {
				t.Fatal(err)
			}
			find := func(path string) string {
				found, err := v.Find(ast.MustParseRef("input." + path)[1:])
				if err != nil {
					t.Fatalf("input.%s: %v", path, err)
				}
				return found.String()
			}
			plain := func(path string) string { return strings.Trim(find(path), `"`) }
			inner := `""`
			if mode := plain("egress[0].paths[0].tls.mesh.mode"); mode != "" {
				inner = mode + " " + plain("egress[0].paths[0].tls.mesh.sni")
			}
			subset := "none"
			if strings.HasPrefix(plain("egress[0].paths[0].tls.mesh.subset"), "sallyport-") {
				subset = "subset"
			}
			outer := `""`
			if mode := plain("egress[0].paths[0].tls.external.mode"); mode != "" {
				outer = mode + " " + plain("egress[0].paths[0].tls.external.sni")
			}
			got := fmt.Sprintf("%s %s/%s: %s %s; %s %s %s %s", plain("egress[0].paths[0].verdict"), plain("egress[0].tls.mesh"), plain("egress[0].tls.external"),
				inner, subset, outer, find("egress[0].paths[0].tls.external.subjectAltNames"), find("egress[0].paths[0].tls.external.verified"),
				find("egress[0].paths[0].tls.external.credential"))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("hops (-want +got):\n%s\n%v", d, p.Paths)
			}
		})
	}
}
