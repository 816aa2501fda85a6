package istio_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// TestWildcard proves that what is asked for under a wildcard leaves by the
// gateway to the one server that the administrator has named, and that neither
// that server nor a name under the wildcard, registered otherwise by somebody
// else, gets into its way.
func TestWildcard(t *testing.T) {
	const host = "*.wikipedia.org"
	server := "wildcard." + strings.TrimPrefix(companion.Key(host), "sallyport-") + ".sallyport.internal"
	wildcard := func(ports ...string) string {
		e := strings.Replace(entry("shop", "X"+host[1:], ports...), "hosts: [X", `hosts: ["*`, 1)
		return strings.Replace(strings.Replace(e, `.org]`, `.org"]`, 1), "  resolution: DNS\n", "", 1)
	}
	const (
		plain = "{number: 80, name: http, protocol: HTTP}"
		over  = "{number: 80, name: http, protocol: HTTP, targetPort: 443}"
		tls   = "{number: 443, name: tls, protocol: TLS}"
	)
	others := []string{
		entry("billing", "www.wikipedia.org", over, tls),
		entry("billing", "en.wikipedia.org", plain, tls),
	}
	for _, mutualTLS := range []bool{true, false} {
		settings := mesh.DefaultSettings()
		settings.Gateways[0].MutualTLS = mutualTLS
		settings.Gateways[0].Wildcards = []mesh.Wildcard{{Host: host, Server: "www.wikipedia.org"}}
		for name, tc := range map[string]struct {
			entry string
			http  string
		}{
			"plain":       {wildcard(plain, tls), plaintext},
			"origination": {wildcard(over, tls), originated},
		} {
			t.Run(map[bool]string{true: "mutual TLS", false: "without mutual TLS"}[mutualTLS]+"/"+name, func(t *testing.T) {
				manifests := withCompanions(t, settings, strings.Join(append(others, tc.entry), "---\n"))
				want := map[string]string{
					"shop *.wikipedia.org:80":       tc.http + " by outbound|80||" + server,
					"shop *.wikipedia.org:443":      plaintext + " by outbound|443||" + server,
					"billing www.wikipedia.org:80":  originated,
					"billing www.wikipedia.org:443": plaintext,
					"billing en.wikipedia.org:80":   plaintext,
					"billing en.wikipedia.org:443":  plaintext,
				}
				got := exits(t, manifests)
				for point := range got {
					// Names under the wildcard are shop's as well, by whichever
					// server; and the gateway has a name of its own for that.
					if strings.HasPrefix(point, "shop ") && !strings.Contains(point, "*") || strings.Contains(point, server) {
						delete(got, point)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("exits (-want +got):\n%s\n%s", diff, manifests)
				}
				world, err := oracle.Ask(manifests, oracle.Client{Namespace: "shop"})
				if err != nil {
					t.Fatal(err)
				}
				for _, port := range []string{"80", "443"} {
					cl := world.Gateway.Clusters["outbound|"+port+"||"+server]
					if cl == nil || len(cl.Endpoints) != 1 || cl.Endpoints[0].Host != "www.wikipedia.org" {
						t.Errorf("port %s leaves by %+v, want it to dial www.wikipedia.org", port, cl)
					}
				}
			})
		}
	}
}
