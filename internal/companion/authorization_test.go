package companion_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestAuthorization checks whom the gateway keeps out of a host's lanes.
func TestAuthorization(t *testing.T) {
	const host = "api.partner.com"
	entry := func(namespace, annotations, exportTo string, ports ...string) string {
		return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: %s, annotations: {%s}, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [%s]
  ports: [%s]
  resolution: DNS
  exportTo: [%q]
`, namespace, annotations, host, strings.Join(ports, ", "), exportTo)
	}
	const (
		tls   = "{number: 443, name: tls, protocol: TLS}"
		http  = "{number: 80, name: http, protocol: HTTP}"
		tcp   = "{number: 5432, name: tcp, protocol: TCP}"
		third = "{number: 443, name: tls, protocol: TLS}, {number: 9443, name: tls-alt, protocol: TLS}"
	)
	accounts := func(list string) string { return "sallyport.io/service-accounts: " + list }
	platform := "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: egress-cfg, labels: {sallyport.io/injection: enabled}}\n"
	partners := "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: billing, labels: {sallyport.io/gateway: partners}}\n"
	without := "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: legacy, labels: {sallyport.io/injection: disabled}}\n"
	tests := []struct {
		name, objects string
		want          []string // namespace: who is let in; by which names
		refused       string
	}{
		{
			name:    "one tenant",
			objects: entry("shop", "", ".", http, tls, tcp),
			want:    []string{"istio-system: [shop] []; [api.partner.com p5432.6fba8ea29af716a4c1a2.sallyport.internal]"},
		},
		{
			name:    "two tenants",
			objects: entry("shop", "", ".", tls) + "---\n" + entry("billing", "", ".", tls),
			want:    []string{"istio-system: [billing shop] []; [api.partner.com]"},
		},
		{
			name:    "service accounts",
			objects: entry("shop", accounts(`" web , worker"`), ".", tls) + "---\n" + entry("billing", "", ".", tls),
			want:    []string{"istio-system: [billing] [*/ns/shop/sa/web */ns/shop/sa/worker]; [api.partner.com]"},
		},
		{
			name:    "for everybody",
			objects: entry("egress-cfg", "", "*", tls) + platform,
		},
		{
			name:    "for some",
			objects: entry("egress-cfg", "", "shop", tls) + platform,
			want:    []string{"istio-system: [shop] []; [api.partner.com]"},
		},
		{
			name:    "at two gateways",
			objects: entry("shop", "", ".", tls) + "---\n" + entry("billing", "", ".", tls) + partners,
			want: []string{
				"egress-partners: [billing] []; [api.partner.com]",
				"istio-system: [shop] []; [api.partner.com]",
			},
		},
		{
			name:    "who routes by himself may use the same gateway",
			objects: entry("shop", "", ".", tls) + "---\n" + entry("legacy", "", ".", tls) + without,
			want:    []string{"istio-system: [legacy shop] []; [api.partner.com]"},
		},
		{
			name:    "who is refused is not let in",
			objects: entry("billing", "", ".", tls) + "---\n" + entry("shop", "", ".", http, "{number: 443, name: plain, protocol: TCP}"),
			want:    []string{"istio-system: [billing] []; [api.partner.com]"},
			refused: "spec.ports[1]",
		},
		{
			name:    "an account is no name",
			objects: entry("shop", accounts(`"web, ../sa/root"`), ".", tls),
			refused: `metadata.annotations["sallyport.io/service-accounts"]`,
		},
		{
			name:    "no account",
			objects: entry("shop", accounts(`" , "`), ".", tls),
			refused: `metadata.annotations["sallyport.io/service-accounts"]`,
		},
		{
			name:    "any account",
			objects: entry("shop", accounts(`"*"`), ".", tls),
			refused: `metadata.annotations["sallyport.io/service-accounts"]`,
		},
		{
			name:    "accounts of an entry for others",
			objects: entry("egress-cfg", accounts("web"), "*", tls) + platform,
			refused: `metadata.annotations["sallyport.io/service-accounts"]`,
		},
		{
			name:    "several TLS ports",
			objects: entry("shop", "", ".", third),
			want:    []string{"istio-system: [shop] []; [api.partner.com p9443.6fba8ea29af716a4c1a2.sallyport.internal]"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := settings(true)
			s.Authorization = true
			set := companion.For(mesh.New(s, decode(t, []byte(tt.objects))...), host)
			var got []string
			for _, o := range set.Objects {
				p, ok := o.(*mesh.AuthorizationPolicy)
				if !ok {
					continue
				}
				r := p.Rules[0]
				got = append(got, fmt.Sprintf("%s: %v %v; %v", p.Namespace, r.From[0].Source.NotNamespaces, r.From[0].Source.NotPrincipals, r.When[0].Values))
				if p.Action != "DENY" || r.When[0].Key != "connection.sni" || len(p.Selector.MatchLabels) == 0 || !companion.Is(p.Ref) {
					t.Errorf("policy %+v", p)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("policies (-want +got):\n%s", d)
			}
			refused := ""
			for _, r := range set.Refused {
				refused = r.Path
			}
			if refused != tt.refused {
				t.Errorf("refused %v, want %q", set.Refused, tt.refused)
			}
		})
	}
}

// TestNoAuthorization checks that nobody is kept out unasked, nor by a gateway that cannot tell who calls, and that an
// entry does not get less than it asks for.
func TestNoAuthorization(t *testing.T) {
	const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, annotations: {%s}}
spec: {hosts: [api.partner.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, exportTo: ["."]}
`
	for _, mutualTLS := range []bool{true, false} {
		s := settings(mutualTLS)
		s.Authorization = !mutualTLS
		set := companion.For(mesh.New(s, decode(t, fmt.Appendf(nil, entry, ""))...), "api.partner.com")
		if len(set.Objects) == 0 {
			t.Fatal("there are no companions: the test proves nothing")
		}
		for _, o := range set.Objects {
			if o.Metadata().Kind == "AuthorizationPolicy" {
				t.Errorf("mutual TLS %t: %s", mutualTLS, o.Metadata().Ref)
			}
		}
	}
	set := companion.For(mesh.New(settings(true), decode(t, fmt.Appendf(nil, entry, "sallyport.io/service-accounts: web"))...), "api.partner.com")
	if len(set.Objects) != 0 || len(set.Refused) != 1 || !strings.Contains(set.Refused[0].Fix, "authorization: enabled") {
		t.Errorf("%d companions, refused %+v", len(set.Objects), set.Refused)
	}
}
