package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestFix denies an entry for its direct paths and applies the YAML that the
// denial offers, as it stands: then every path of the entry is via.
func TestFix(t *testing.T) {
	const (
		http = "{number: 80, name: http, protocol: HTTP}"
		tls  = "{number: 443, name: tls, protocol: TLS}"
		tcp  = "{number: 5432, name: tcp, protocol: TCP}"
		more = "{number: 8080, name: http-8080, protocol: HTTP}"
		tls2 = "{number: 8443, name: tls-8443, protocol: TLS}"
	)
	platformGateway := `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: all, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: ["*.example.com"]
    tls: {mode: PASSTHROUGH}
`
	shadow := `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: door, namespace: shop}
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
`
	for _, ports := range []string{http, tls, tcp, http + ", " + tls, http + ", " + tls + ", " + tcp, http + ", " + more, tls + ", " + tls2} {
		for _, mutual := range []bool{true, false} {
			if !mutual && (strings.Contains(ports, tcp) && strings.Contains(ports, tls) || strings.Contains(ports, more)) {
				continue // the gateway's Service has not as many ports as that needs
			}
			for exportTo, clients := range map[string][]string{
				`["*"]`:                     {"shop", mesh.AnyClient},
				`[".", istio-system]`:       {"shop"},
				`[".", bank, istio-system]`: {"shop", "bank"},
			} {
				for worldName, world := range map[string]string{"empty": "", "a gateway is there": platformGateway, "a DestinationRule hides the gateway's": shadow} {
					t.Run(fmt.Sprintf("%s/mutual=%t/%s/%s", ports, mutual, exportTo, worldName), func(t *testing.T) {
						s := withoutInjection()
						s.Gateways[0].MutualTLS = mutual
						m := mesh.New(s, decode(t, world)...)
						entry := document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop}
spec: {hosts: [pay.example.com], addresses: [198.51.100.7], resolution: DNS, exportTo: %s, ports: [%s]}
`, exportTo, ports))
						judge := &review.Judge{Rules: rules.All}
						out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: entry})
						if err != nil {
							t.Fatal(err)
						}
						fix := ""
						for _, f := range out.Findings {
							if f.Rule == "direct-path" && f.Severity == rules.Deny {
								fix = f.Fix
							}
						}
						if fix == "" {
							t.Fatalf("no fix: %+v", out.Findings)
						}
						m = m.With(decode(t, fix)...)
						out, err = judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: entry})
						if err != nil || out.Denied() {
							t.Errorf("still denied, error %v: %+v", err, out.Findings)
						}
						open := m.With(decode(t, string(entry))...)
						for _, point := range open.Points(open.Get(out.Ref)) {
							for _, client := range clients {
								// A DestinationRule in shop is for shop alone: elsewhere the
								// subset in it is missing.
								if p := open.Paths(client, point.Host, point.Port); p.Verdict != mesh.Via && (world != shadow || client == "shop") {
									t.Errorf("%s:%d from %s is %s: %v\n%s", p.Host, p.Port, client, p.Verdict, p.Because, fix)
								}
							}
						}
					})
				}
			}
		}
	}
}
