package istio_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// byHand is a host that the platform leads through the same gateway by
// objects of its own, which no companion is to touch.
const byHand = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: by-hand, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 443, name: https-by-hand, protocol: HTTPS}
    hosts: [istio-system/hand.example.com]
    tls: {mode: ISTIO_MUTUAL}
  - port: {number: 443, name: tls-by-hand, protocol: TLS}
    hosts: [istio-system/raw.example.com]
    tls: {mode: PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: by-hand, namespace: istio-system}
spec:
  hosts: [hand.example.com, raw.example.com]
  gateways: [istio-system/by-hand]
  http: [{match: [{gateways: [istio-system/by-hand], port: 443}], route: [{destination: {host: hand.example.com, port: {number: 80}}}]}]
  tls: [{match: [{gateways: [istio-system/by-hand], port: 443, sniHosts: [raw.example.com]}], route: [{destination: {host: raw.example.com, port: {number: 443}}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: by-hand, namespace: istio-system}
spec:
  hosts: [hand.example.com, raw.example.com]
  exportTo: ["."]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
`

// TestAuthorization proves by the gateway's RBAC filters that a host is
// admitted to who registered it and to nobody else, whatever the host's
// protocol is, and that hosts which others lead through the same gateway are
// left alone.
func TestAuthorization(t *testing.T) {
	settings := mesh.DefaultSettings()
	settings.Authorization = true
	withAccounts := strings.Replace(entry("shop", "db.partner.com", "{number: 5432, name: tcp, protocol: TCP}"),
		"namespace: shop}", `namespace: shop, annotations: {sallyport.io/service-accounts: "web, worker"}}`, 1)
	manifests := withCompanions(t, settings, strings.Join([]string{
		entry("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}"),
		entry("billing", "api.partner.com", "{number: 443, name: tls, protocol: TLS}"),
		entry("shop", "only.partner.com", "{number: 80, name: http, protocol: HTTP, targetPort: 443}"),
		withAccounts,
	}, "---\n")) + "---\n" + byHand
	doors, _, err := oracle.Doors(manifests)
	if err != nil {
		t.Fatal(err)
	}
	db := "p5432." + strings.TrimPrefix(companion.Key("db.partner.com"), "sallyport-") + ".sallyport.internal"
	const nobody = ""
	id := func(namespace, account string) string {
		return "spiffe://cluster.local/ns/" + namespace + "/sa/" + account
	}
	tests := []struct {
		who, sni, authority string
		port                uint32
		want                bool
	}{
		{id("shop", "web"), "api.partner.com", "api.partner.com", 8080, true},
		{id("shop", "any"), "api.partner.com", "api.partner.com:80", 8080, true},
		{id("billing", "any"), "api.partner.com", "api.partner.com", 8080, true},
		{id("blog", "web"), "api.partner.com", "api.partner.com", 8080, false},
		{id("blog", "web"), "api.partner.com", "other.example.com", 8080, false},
		{id("shop2", "web"), "api.partner.com", "api.partner.com", 8080, false},
		{nobody, "api.partner.com", "api.partner.com", 8080, false},
		{id("shop", "web"), "api.partner.com", "", 8443, true},
		{id("billing", "web"), "api.partner.com", "", 8443, true},
		{id("blog", "web"), "api.partner.com", "", 8443, false},
		{nobody, "api.partner.com", "", 8443, false},
		{id("shop", "web"), "only.partner.com", "only.partner.com", 8080, true},
		{id("billing", "web"), "only.partner.com", "only.partner.com", 8080, false},
		{id("shop", "web"), db, "", 8443, true},
		{id("shop", "worker"), db, "", 8443, true},
		{"spiffe://other.domain/ns/shop/sa/web", db, "", 8443, true},
		{id("shop", "other"), db, "", 8443, false},
		{id("shop", "my-web"), db, "", 8443, false},
		{id("billing", "web"), db, "", 8443, false},
		{nobody, db, "", 8443, false},
		{id("blog", "web"), "hand.example.com", "hand.example.com", 8443, true},
		{nobody, "raw.example.com", "", 8443, true},
	}
	for _, tt := range tests {
		i := slices.IndexFunc(doors, func(d oracle.Door) bool { return d.Port == tt.port && d.Named(tt.sni) })
		if i < 0 {
			t.Errorf("the gateway has no filter chain for %s on port %d", tt.sni, tt.port)
			continue
		}
		if doors[i].HTTP != (tt.authority != "") {
			t.Errorf("%s on port %d: HTTP %t", tt.sni, tt.port, doors[i].HTTP)
		}
		got, err := doors[i].Admits(oracle.Caller{Principal: tt.who, SNI: tt.sni, Authority: tt.authority})
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("%q at %s (Host %q) on port %d: admitted %t", tt.who, tt.sni, tt.authority, tt.port, got)
		}
	}
}

// TestHostHeaderDoesNotCross proves what makes the server name enough to tell
// hosts apart: behind a host's name, the gateway's HTTP routes know no other
// host.
func TestHostHeaderDoesNotCross(t *testing.T) {
	settings := mesh.DefaultSettings()
	settings.Authorization = true
	manifests := withCompanions(t, settings, strings.Join([]string{
		entry("shop", "a.partner.com", "{number: 80, name: http, protocol: HTTP}"),
		entry("billing", "b.partner.com", "{number: 80, name: http, protocol: HTTP}", "{number: 8080, name: http-alt, protocol: HTTP}"),
	}, "---\n"))
	world, err := oracle.Ask(manifests)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, l := range world.Gateway.Leaves {
		if !l.HTTP || len(l.SNI) != 1 {
			continue
		}
		for _, domain := range l.Domains {
			seen++
			if host, _, _ := strings.Cut(domain, ":"); host != l.SNI[0] {
				t.Errorf("behind %s the gateway routes %s to %s", l.SNI[0], domain, l.Cluster)
			}
		}
	}
	if seen == 0 {
		t.Error("the gateway routes no HTTP: the test proves nothing")
	}
}

// TestAuthorizationGrows measures what docs/authorization.md says of the size
// of the gateway's configuration: it grows with the square of the hosts.
func TestAuthorizationGrows(t *testing.T) {
	size := func(hosts int, authorization bool) int {
		settings := mesh.DefaultSettings()
		settings.Authorization = authorization
		var entries []string
		for i := range hosts {
			entries = append(entries, entry(fmt.Sprintf("team-%d", i%10), fmt.Sprintf("h%d.partner.com", i), "{number: 443, name: tls, protocol: TLS}"))
		}
		_, size, err := oracle.Doors(withCompanions(t, settings, strings.Join(entries, "---\n")))
		if err != nil {
			t.Fatal(err)
		}
		return size
	}
	per := func(hosts int) int { return (size(hosts, true) - size(hosts, false)) / hosts / hosts }
	few, many := per(10), per(40)
	t.Logf("bytes per host and host: %d of 10 hosts, %d of 40", few, many)
	if many < 100 || many > 200 {
		t.Errorf("%d bytes per host and host: docs/authorization.md says about 140", many)
	}
}
