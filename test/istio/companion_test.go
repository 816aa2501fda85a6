package istio_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

const (
	plaintext  = "plaintext"
	originated = "tls sni= certs=[] ca=file-root:system"
)

// TestCompanions proves by Istio what companions are for: one ServiceEntry of
// every protocol class, with what Sallyport computes for it, has no direct
// path from any client, and every port leaves by the gateway's cluster for
// exactly this host and port, with the right TLS.
func TestCompanions(t *testing.T) {
	for _, tc := range []struct {
		name    string
		entries []string
		want    map[string]string // client, host and port: the exit and its TLS
	}{
		{
			name:    "http",
			entries: []string{entry("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP}")},
			want:    map[string]string{"shop api.partner.com:80": plaintext},
		},
		{
			name: "http2 and grpc",
			entries: []string{entry("shop", "api.partner.com",
				"{number: 8080, name: h2, protocol: HTTP2}", "{number: 50051, name: grpc, protocol: GRPC}")},
			want: map[string]string{"shop api.partner.com:8080": plaintext, "shop api.partner.com:50051": plaintext},
		},
		{
			name:    "tls",
			entries: []string{entry("shop", "api.partner.com", "{number: 443, name: tls, protocol: TLS}")},
			want:    map[string]string{"shop api.partner.com:443": plaintext},
		},
		{
			name: "https on two ports",
			entries: []string{entry("shop", "api.partner.com",
				"{number: 443, name: https, protocol: HTTPS}", "{number: 8443, name: https-alt, protocol: HTTPS}")},
			want: map[string]string{"shop api.partner.com:443": plaintext, "shop api.partner.com:8443": plaintext},
		},
		{
			name: "http and https",
			entries: []string{entry("shop", "api.partner.com",
				"{number: 80, name: http, protocol: HTTP}", "{number: 443, name: https, protocol: HTTPS}")},
			want: map[string]string{"shop api.partner.com:80": plaintext, "shop api.partner.com:443": plaintext},
		},
		{
			name:    "tcp with address",
			entries: []string{entry("shop", "db.partner.com", "{number: 5432, name: tcp, protocol: TCP}") + "  addresses: [198.51.100.7]\n"},
			want:    map[string]string{"shop db.partner.com:5432": plaintext},
		},
		{
			name:    "tcp without address",
			entries: []string{entry("shop", "db.partner.com", "{number: 5432, name: tcp, protocol: TCP}")},
			want:    map[string]string{"shop db.partner.com:5432": plaintext},
		},
		{
			name: "databases",
			entries: []string{
				entry("shop", "mongo.partner.com", "{number: 27017, name: mongo, protocol: MONGO}") + "  addresses: [198.51.100.8]\n",
				entry("billing", "mysql.partner.com", "{number: 3306, name: mysql, protocol: TCP}") + "  addresses: [198.51.100.9]\n",
			},
			want: map[string]string{"shop mongo.partner.com:27017": plaintext, "billing mysql.partner.com:3306": plaintext},
		},
		{
			name:    "several hosts in one entry",
			entries: []string{entry("shop", "a.partner.com, b.partner.com", "{number: 80, name: http, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}")},
			want: map[string]string{
				"shop a.partner.com:80": plaintext, "shop a.partner.com:443": plaintext,
				"shop b.partner.com:80": plaintext, "shop b.partner.com:443": plaintext,
			},
		},
		{
			name:    "origination by targetPort",
			entries: []string{entry("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP, targetPort: 443}")},
			want:    map[string]string{"shop api.partner.com:80": originated},
		},
		{
			name:    "origination by an HTTP port 443",
			entries: []string{entry("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP}", "{number: 443, name: http-443, protocol: HTTP}")},
			want: map[string]string{
				"shop api.partner.com:80":  originated + " by outbound|443||api.partner.com", // the seed page's form
				"shop api.partner.com:443": originated,
			},
		},
		{
			name: "origination by annotation",
			entries: []string{strings.Replace(entry("shop", "api.partner.com", "{number: 8080, name: http, protocol: HTTP}"),
				"namespace: shop}", `namespace: shop, annotations: {sallyport.io/originate-tls: "true"}}`, 1)},
			want: map[string]string{"shop api.partner.com:8080": originated},
		},
		{
			name:    "IPv6",
			entries: []string{entry("shop", "db.partner.com", "{number: 5432, name: tcp, protocol: TCP}") + "  addresses: [\"2001:db8::7\"]\n"},
			want:    map[string]string{"shop db.partner.com:5432": plaintext},
		},
		{
			name: "two tenants, one host",
			entries: []string{
				entry("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}"),
				entry("billing", "api.partner.com", "{number: 443, name: https, protocol: TLS}"),
			},
			want: map[string]string{"shop api.partner.com:80": plaintext, "shop api.partner.com:443": plaintext, "billing api.partner.com:443": plaintext},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			manifests := withCompanions(t, mesh.DefaultSettings(), strings.Join(tc.entries, "---\n"))
			if diff := cmp.Diff(tc.want, exits(t, manifests)); diff != "" {
				t.Errorf("exits (-want +got):\n%s\n%s", diff, manifests)
			}
		})
	}
}

// TestCompanionsWithoutMutualTLS proves the same of a gateway that sidecars
// speak plaintext to.
func TestCompanionsWithoutMutualTLS(t *testing.T) {
	settings := mesh.DefaultSettings()
	settings.Gateways[0].MutualTLS = false
	for _, tc := range []struct {
		name, entry string
		want        map[string]string
	}{
		{
			name: "http and https",
			entry: entry("shop", "api.partner.com",
				"{number: 80, name: http, protocol: HTTP}", "{number: 443, name: https, protocol: HTTPS}"),
			want: map[string]string{"shop api.partner.com:80": plaintext, "shop api.partner.com:443": plaintext},
		},
		{
			name:  "origination",
			entry: entry("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP, targetPort: 443}"),
			want:  map[string]string{"shop api.partner.com:80": originated},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			manifests := withCompanions(t, settings, tc.entry)
			if diff := cmp.Diff(tc.want, exits(t, manifests)); diff != "" {
				t.Errorf("exits (-want +got):\n%s\n%s", diff, manifests)
			}
		})
	}
}

// TestCompanionsWithPrivateDefaults proves the same in a mesh that keeps
// objects to their own namespace where they do not say otherwise.
func TestCompanionsWithPrivateDefaults(t *testing.T) {
	const config = `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    defaultServiceExportTo: ["."]
    defaultVirtualServiceExportTo: ["."]
    defaultDestinationRuleExportTo: ["."]
`
	undecided := strings.Replace(entry("billing", "b.partner.com", "{number: 80, name: http, protocol: HTTP}"), "  exportTo: [\".\"]\n", "", 1)
	manifests := strings.Join([]string{
		config, undecided,
		entry("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP, targetPort: 443}", "{number: 443, name: tls, protocol: TLS}"),
	}, "---\n")
	settings := mesh.DefaultSettings()
	want := map[string]string{
		"shop api.partner.com:80": originated, "shop api.partner.com:443": plaintext, "billing b.partner.com:80": plaintext,
	}
	if diff := cmp.Diff(want, exits(t, withCompanions(t, settings, manifests))); diff != "" {
		t.Errorf("exits (-want +got):\n%s", diff)
	}
}

// TestCompanionsDoNotMix registers many hosts at once, of all classes and in
// two namespaces: each must leave by its own cluster.
func TestCompanionsDoNotMix(t *testing.T) {
	const hosts = 50
	var entries []string
	want := map[string]string{}
	for i := range hosts {
		ns := []string{"shop", "billing"}[i%2]
		host := fmt.Sprintf("h%d.partner.com", i)
		ports := [][]string{
			{"{number: 80, name: http, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}"},
			{"{number: 5432, name: tcp, protocol: TCP}"},
			{"{number: 80, name: http, protocol: HTTP, targetPort: 443}"},
		}[i%3]
		e := entry(ns, host, ports...)
		switch i % 3 {
		case 0:
			want[fmt.Sprintf("%s %s:80", ns, host)], want[fmt.Sprintf("%s %s:443", ns, host)] = plaintext, plaintext
		case 1:
			want[fmt.Sprintf("%s %s:5432", ns, host)] = plaintext
			e += fmt.Sprintf("  addresses: [198.51.100.%d]\n", i)
		default:
			want[fmt.Sprintf("%s %s:80", ns, host)] = originated
		}
		entries = append(entries, e)
	}
	if diff := cmp.Diff(want, exits(t, withCompanions(t, mesh.DefaultSettings(), strings.Join(entries, "---\n")))); diff != "" {
		t.Errorf("exits (-want +got):\n%s", diff)
	}
}

// entry is a ServiceEntry as a tenant's stands once it is open.
func entry(ns, hosts string, ports ...string) string {
	first, _, _ := strings.Cut(hosts, ",")
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: %s}
spec:
  hosts: [%s]
  exportTo: ["."]
  resolution: DNS
  ports: [%s]
`, strings.ReplaceAll(first, ".", "-"), ns, hosts, strings.Join(ports, ", "))
}

// withCompanions adds what Sallyport would keep for the entries' hosts.
func withCompanions(t *testing.T, settings mesh.Settings, entries string) string {
	t.Helper()
	m, err := load(settings, entries)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append([]string{entries}, planned(t, m, companion.For)...), "---\n")
}

// planned are the manifests of what Sallyport plans for each host of the entries, none
// of which may be refused.
func planned(t *testing.T, m *mesh.Mesh, plan func(*mesh.Mesh, string) companion.Set) (docs []string) {
	t.Helper()
	seen := map[string]bool{}
	for o := range m.All("ServiceEntry") {
		for _, host := range o.(*mesh.ServiceEntry).Hosts {
			if seen[host] {
				continue
			}
			seen[host] = true
			set := plan(m, host)
			for _, r := range set.Refused {
				t.Errorf("%s is refused: %s", host, r.Message)
			}
			for _, o := range set.Objects {
				doc, err := companion.Manifest(o)
				if err != nil {
					t.Fatal(err)
				}
				docs = append(docs, string(doc))
			}
		}
	}
	return docs
}

// exits returns, for each client and point that goes via the gateway, the TLS
// of the cluster by which it leaves, which has to be that of the very point.
// A leak or a missing cluster is an error.
func exits(t *testing.T, manifests string) map[string]string {
	t.Helper()
	clients, err := oracle.Clients(manifests)
	if err != nil {
		t.Fatal(err)
	}
	world, err := oracle.Ask(manifests, clients...)
	if err != nil {
		t.Fatal(err)
	}
	checkWhole(t, world)
	return ways(world)
}

// checkWhole finds leaks, clusters that are missing, and listeners that Envoy
// would not take.
func checkWhole(t *testing.T, world *oracle.World) {
	t.Helper()
	if missing := world.Gateway.Missing(); len(missing) > 0 {
		t.Errorf("the gateway lacks the clusters %v", missing)
	}
	for name, why := range world.Gateway.Refused {
		t.Errorf("Envoy refuses the gateway's listener %s: %s", name, why)
	}
	for _, c := range world.Clients {
		if leaks := c.Leaks(); len(leaks) > 0 {
			t.Errorf("%s leaks: %v", c, leaks)
		}
		if missing := c.Missing(); len(missing) > 0 {
			t.Errorf("%s lacks the clusters %v", c, missing)
		}
	}
}

// ways returns, for each client and point that is not blocked, the TLS of the
// cluster by which it leaves, or what becomes of it instead.
func ways(world *oracle.World) map[string]string {
	got := map[string]string{}
	for _, c := range world.Clients {
		for _, p := range world.Points() {
			name := fmt.Sprintf("%s %s:%d", c, p.Host, p.Port)
			switch verdict, why := world.Verdict(c, p); verdict {
			case oracle.Blocked:
				continue
			case oracle.Via:
			default:
				got[name] = fmt.Sprintf("%s: %s", verdict, why)
				continue
			}
			var ways []string
			for _, cl := range world.Exits(c, p) {
				way := cl.TLS.String()
				if cl.Host != p.Host || cl.Port != int(p.Port) {
					way += " by " + cl.Name
				}
				ways = append(ways, way)
			}
			slices.Sort(ways)
			got[name] = strings.Join(ways, "; ")
		}
	}
	return got
}
