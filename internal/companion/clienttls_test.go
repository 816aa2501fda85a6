package companion_test

import (
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestTenantTLSIsNotLost has a tenant's DestinationRule speak TLS to a host, in
// every way and at every place that rules have for it: the gateway does the same,
// or the claim is refused. Nothing that was meant for TLS goes on in plain text.
func TestTenantTLSIsNotLost(t *testing.T) {
	const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, uid: u1, annotations: {NOTES}}
spec: {hosts: [api.partner.com], ports: [{number: PORT, name: p, protocol: PROTOCOL}], resolution: DNS, exportTo: ["."]}
`
	policies := map[string]string{
		"for all ports": "trafficPolicy: {tls: TLS}",
		"for the port":  "trafficPolicy: {portLevelSettings: [{port: {number: PORT}, tls: TLS}]}",
		"for others":    "trafficPolicy: {portLevelSettings: [{port: {number: 9}, tls: TLS}]}",
		"for some pods": "workloadSelector: {matchLabels: {app: pay}}, trafficPolicy: {tls: TLS}",
		"for a subset":  "subsets: [{name: s, trafficPolicy: {tls: TLS}}]",
	}
	for tls, want := range map[string]string{
		"{mode: SIMPLE}":                       "taken over",
		"{mode: SIMPLE, sni: api.partner.com}": "taken over",
		"{mode: SIMPLE, sni: api.partner.com, subjectAltNames: [api.partner.com]}":   "taken over",
		"{mode: SIMPLE, sni: other.partner.com}":                                     "refused",
		"{mode: SIMPLE, subjectAltNames: [other.partner.com]}":                       "refused",
		"{mode: SIMPLE, caCertificates: /etc/ca.pem}":                                "refused",
		"{mode: SIMPLE, insecureSkipVerify: true}":                                   "refused",
		"{mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /ca}": "refused",
		"{mode: MUTUAL, credentialName: mine}":                                       "refused",
		"{mode: DISABLE}":                                                            "plain",
	} {
		for place, policy := range policies {
			for _, protocol := range []string{"HTTP", "HTTP2", "GRPC", "TCP", "TLS"} {
				for _, port := range []string{"80", "443", "8080"} {
					name := strings.Join([]string{tls, place, protocol, port}, " ")
					fill := strings.NewReplacer("PORT", port, "PROTOCOL", protocol, "NOTES", "", "TLS}", tls+"}")
					objects := decode(t, []byte(fill.Replace(entry)))
					objects = append(objects, decode(t, []byte(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: shop}
spec: {host: api.partner.com, `+fill.Replace(policy)+`}
`))...)
					set := companion.For(mesh.New(mesh.DefaultSettings(), objects...), "api.partner.com")
					want := want
					if place == "for others" || place == "for a subset" || protocol == "TLS" {
						want = "plain" // nothing of it was for this traffic, or it is TLS already
					}
					if want == "taken over" && protocol == "TCP" {
						want = "refused"
					}
					got := "plain"
					if len(set.Refused) > 0 {
						got = "refused"
					}
					for _, o := range set.Objects {
						if dr, ok := o.(*mesh.DestinationRule); ok && dr.Host == "api.partner.com" {
							got = "taken over"
						}
					}
					if want == "plain" && got == "taken over" && port == "443" && protocol != "TLS" && protocol != "TCP" {
						continue // as the number alone asks for
					}
					if got != want {
						t.Errorf("%s: %s, want %s: %+v", name, got, want, set.Refused)
					}
				}
			}
		}
	}
}
