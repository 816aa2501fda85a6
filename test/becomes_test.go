package test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

var update = flag.Bool("update", false, "rewrite what is generated in README.md")

const (
	heading = "## What a ServiceEntry becomes\n"
	host    = "api.partner.com"
)

// TestReadmeSaysWhatAnEntryBecomes holds the README's table to what package
// companion computes; -update writes it.
func TestReadmeSaysWhatAnEntryBecomes(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(readme), heading)
	if !found {
		t.Fatalf("README.md has no section %q", heading)
	}
	start := strings.Index(rest, "\n|") + 1
	end := start + strings.Index(rest[start:], "\n\n") + 1
	want := becomes(t)
	if *update {
		if err := os.WriteFile("../README.md", []byte(before+heading+rest[:start]+want+rest[end:]), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(want, rest[start:end]); diff != "" {
		t.Errorf("README.md's table is stale; run go test ./test -run %s -update (-want +got):\n%s", t.Name(), diff)
	}
}

// form is a way to write a port.
type form struct {
	host, ports, annotation string
	port                    int // that the row is about
}

// classes are the rows of the table, each for the forms of which the same
// becomes.
var classes = []struct {
	name  string
	forms []form
}{
	{"`HTTP`", []form{{host, "{number: 80, protocol: HTTP}", "", 80}}},
	{"`HTTP2`, `GRPC`", []form{{host, "{number: 50051, protocol: GRPC}", "", 50051}}},
	{"`HTTP` with `targetPort: 443`, or beside `HTTP` on 443, or with `originate-tls: \"true\"`", []form{
		{host, "{number: 80, protocol: HTTP, targetPort: 443}", "", 80},
		{host, "{number: 80, protocol: HTTP}, {number: 443, protocol: HTTP}", "", 80},
		{host, "{number: 80, protocol: HTTP}", `sallyport.io/originate-tls: "true"`, 80},
	}},
	{"the same with `client-certificate` or `issuer`", []form{
		{host, "{number: 80, protocol: HTTP, targetPort: 443}", "sallyport.io/client-certificate: partner", 80},
		{host, "{number: 80, protocol: HTTP, targetPort: 443}", "sallyport.io/issuer: partner-ca", 80},
	}},
	{"`TLS`, `HTTPS` on 443", []form{{host, "{number: 443, protocol: TLS}", "", 443}, {host, "{number: 443, protocol: HTTPS}", "", 443}}},
	{"`TLS`, `HTTPS` on another port", []form{{host, "{number: 8443, protocol: TLS}", "", 8443}, {host, "{number: 8443, protocol: HTTPS}", "", 8443}}},
	{"`TCP`, `MONGO`, `MYSQL`, `REDIS`", []form{
		{host, "{number: 5432, protocol: TCP}", "", 5432},
		{host, "{number: 5432, protocol: MONGO}", "", 5432},
		{host, "{number: 5432, protocol: MYSQL}", "", 5432},
		{host, "{number: 5432, protocol: REDIS}", "", 5432},
	}},
	{"`TLS` to `*.` and a domain whose server is configured", []form{{"*.partner.com", "{number: 443, protocol: TLS}", "", 443}}},
	{"any port of another wildcard", []form{
		{"*.example.com", "{number: 443, protocol: TLS}", "", 443},
		{"*.example.com", "{number: 80, protocol: HTTP}", "", 80},
	}},
	{"no protocol", []form{{host, "{number: 8080}", "", 8080}}},
}

func becomes(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| port | sidecar to gateway | server of the Gateway | gateway to host | with `mutualTLS: false` |\n|---|---|---|---|---|\n")
	for _, c := range classes {
		row := ""
		for _, f := range c.forms {
			if got := rowOf(t, f); row == "" {
				row = got
			} else if got != row {
				t.Errorf("what becomes of %s: %s is\n%s\nand not, as of %s,\n%s", c.name, f.ports, got, c.forms[0].ports, row)
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, row)
	}
	return b.String()
}

func rowOf(t *testing.T, f form) string {
	t.Helper()
	hop, server, out := becomesWith(t, true, f)
	plainHop, plain, _ := becomesWith(t, false, f)
	if plainHop == "refused" && hop != "refused" {
		plain = "refused"
	}
	return strings.Join([]string{hop, server, out, plain}, " | ")
}

// becomesWith says what becomes of one port of an entry.
func becomesWith(t *testing.T, mutualTLS bool, f form) (hop, server, out string) {
	t.Helper()
	settings := mesh.DefaultSettings()
	settings.Gateways[0].MutualTLS = mutualTLS
	settings.Gateways[0].Wildcards = []mesh.Wildcard{{Host: "*.partner.com", Server: "www.partner.com"}}
	settings.Credentials = []mesh.Credential{{Name: "partner", Hosts: []string{f.host}, Namespaces: []string{"shop"}, Secret: "partner"}}
	settings.Grants = []mesh.Grant{{
		Issuer: mesh.Issuer{Kind: "ClusterIssuer", Name: "partner-ca", CommonName: "shop"}, Hosts: []string{f.host}, Namespaces: []string{"shop"},
	}}
	raw, err := yaml.YAMLToJSON([]byte(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, annotations: {` + f.annotation + `}}
spec: {hosts: ["` + f.host + `"], ports: [` + f.ports + `], resolution: DNS, exportTo: [.]}`))
	if err != nil {
		t.Fatal(err)
	}
	entry, err := mesh.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	set := companion.For(mesh.New(settings, entry), f.host)
	if len(set.Refused) > 0 {
		return "refused", "", ""
	}
	s := becoming{host: f.host, port: f.port}
	for _, o := range set.Objects {
		switch o := o.(type) {
		case *mesh.Gateway:
			s.gateways = append(s.gateways, o)
		case *mesh.DestinationRule:
			s.rules = append(s.rules, o)
		case *mesh.ServiceEntry:
			s.registration = o
		case *mesh.VirtualService:
			if companion.MeshHop(o.Ref) {
				s.mesh = o
			} else {
				s.gateway = o
			}
		}
	}
	return s.describe(t)
}

// becoming are the companions of one host, and the port that is looked at.
type becoming struct {
	host          string
	port          int
	gateways      []*mesh.Gateway
	rules         []*mesh.DestinationRule
	registration  *mesh.ServiceEntry
	mesh, gateway *mesh.VirtualService
}

func (s becoming) describe(t *testing.T) (hop, server, out string) {
	t.Helper()
	kind, to := s.meshRule()
	tls := s.policy(to.Subset, to.Port.Number)
	hop = fmt.Sprintf("`%s` rule to port %d", kind, to.Port.Number)
	if tls != nil && tls.TLS != nil {
		hop += ", SNI " + s.name(tls.TLS.SNI)
	}
	if tls != nil && tls.ConnectionPool != nil {
		hop += ", HTTP/2"
	}
	for _, g := range s.gateways {
		for _, srv := range g.Servers {
			if g.Name != to.Subset || srv.Port.Number != to.Port.Number {
				continue
			}
			server = "`" + srv.Port.Protocol + "`"
			if srv.TLS != nil {
				server += " `" + srv.TLS.Mode + "`"
			} else {
				server += fmt.Sprintf(" on port %d", srv.Port.Number)
			}
		}
	}
	at, ok := s.gatewayRule(to)
	if !ok {
		t.Fatalf("the gateway has no rule for port %d of %s", s.port, s.host)
	}
	i := slices.IndexFunc(s.registration.Ports, func(p mesh.ServicePort) bool { return p.Number == at })
	p := s.registration.Ports[i]
	out = fmt.Sprintf("`%s` to %d", p.Protocol, cmp.Or(p.TargetPort, p.Number))
	if len(s.registration.Endpoints) > 0 {
		out += " of that server"
	}
	switch {
	case p.Protocol == "TLS":
		out += ", the application's own"
	case s.originates(at) != nil && s.originates(at).CredentialName != "":
		out += " in TLS, server verified, client certificate"
	case s.originates(at) != nil:
		out += " in TLS, server verified"
	}
	return hop, server, out
}

// name abbreviates a server name.
func (s becoming) name(sni string) string {
	if sni == s.host {
		return "the host"
	}
	first, _, _ := strings.Cut(sni, ".")
	return "`" + first + ".….sallyport.internal`"
}

func (s becoming) meshRule() (kind string, to mesh.Destination) {
	for _, r := range s.mesh.HTTP {
		if r.Match[0].Port == s.port {
			return "http", r.Route[0].Destination
		}
	}
	for _, r := range s.mesh.TLS {
		if r.Match[0].Port == s.port {
			return "tls", r.Route[0].Destination
		}
	}
	for _, r := range s.mesh.TCP {
		if r.Match[0].Port == s.port {
			return "tcp", r.Route[0].Destination
		}
	}
	return "no", mesh.Destination{Port: &mesh.PortSelector{}}
}

// gatewayRule returns the port of the registration that the gateway routes to.
func (s becoming) gatewayRule(from mesh.Destination) (int, bool) {
	mine := func(gateways []string) bool {
		return slices.ContainsFunc(gateways, func(g string) bool { return strings.HasSuffix(g, "/"+from.Subset) })
	}
	for _, r := range s.gateway.HTTP {
		if h, ok := r.Match[0].Headers["x-sallyport-port"]; ok && mine(r.Match[0].Gateways) && *h.Exact == fmt.Sprint(s.port) {
			return r.Route[0].Destination.Port.Number, true
		}
	}
	for _, r := range s.gateway.TLS {
		if mine(r.Match[0].Gateways) {
			return r.Route[0].Destination.Port.Number, true
		}
	}
	for _, r := range s.gateway.TCP {
		if mine(r.Match[0].Gateways) {
			return r.Route[0].Destination.Port.Number, true
		}
	}
	return 0, false
}

func (s becoming) policy(subset string, port int) *mesh.PortPolicy {
	for _, dr := range s.rules {
		for _, sub := range dr.Subsets {
			if sub.Name != subset || sub.TrafficPolicy == nil {
				continue
			}
			for i, p := range sub.TrafficPolicy.PortLevelSettings {
				if p.Port.Number == port {
					return &sub.TrafficPolicy.PortLevelSettings[i]
				}
			}
		}
	}
	return nil
}

func (s becoming) originates(port int) *mesh.ClientTLS {
	for _, dr := range s.rules {
		if dr.TrafficPolicy == nil {
			continue
		}
		for _, p := range dr.TrafficPolicy.PortLevelSettings {
			if p.Port.Number == port {
				return p.TLS
			}
		}
	}
	return nil
}
