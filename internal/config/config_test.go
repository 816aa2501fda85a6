package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestDefaultSettings(t *testing.T) {
	want := mesh.DefaultSettings()
	got := Default().Settings()
	want.Injection = mesh.InjectNew
	less := func(s []string) map[string]bool {
		set := make(map[string]bool)
		for _, e := range s {
			set[e] = true
		}
		return set
	}
	if d := cmp.Diff(less(want.PlatformNamespaces), less(got.PlatformNamespaces)); d != "" {
		t.Errorf("platform namespaces (-want +got):\n%s", d)
	}
	want.PlatformNamespaces, got.PlatformNamespaces = nil, nil
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("an absent file must stand for the model's own defaults (-want +got):\n%s", d)
	}
}

func TestParse(t *testing.T) {
	const full = `apiVersion: sallyport.io/v1alpha1
kind: Config
gateways:
- name: shared
  service: gateways/egress
  selector: {app: egress}
  mutualTLS: false
  wildcards: [{host: "*.Wikipedia.org.", server: www.wikipedia.org}]
- name: second
  service: istio-system/istio-egressgateway
  selector: {istio: egressgateway}
injection: disabled
networkPolicy: staged
walls:
  neighbours: own
  nodeLocalDNS: ["fd00::a"]
  clusterRanges: [198.51.100.0/24]
  destinations:
  - {name: metrics, pods: {namespaceSelector: {team: observability}, selector: {app: prometheus}}, ports: [TCP/9090, UDP/8000-8100, TCP/http]}
  - {name: database, from: [shop], cidrs: [192.0.2.0/24, "2001:db8::/32"], ports: [TCP/5432]}
  - {name: anything, pods: {namespaces: [tools]}}
  gatewayDestinations:
  - {name: line, from: [shared], cidrs: [10.9.0.0/16]}
rootNamespace: mesh
clusterDomain: cluster.example
outboundTrafficPolicy: ALLOW_ANY
dnsCapture: enabled
defaultServiceExportTo: [".", mesh]
defaultVirtualServiceExportTo: ["."]
defaultDestinationRuleExportTo: ["*"]
serviceAccount: guard/sallyport
issuers:
- {kind: ClusterIssuer, name: partner-ca, commonName: shop.example, hosts: [API.partner.com], namespaces: [shop]}
ownership:
  contact: "#egress"
  labelUsers: [root]
  owners:
  - {hosts: [Partner.Example., "*.Partner.example"], namespaces: [payments], namespaceSelector: {team: payments}, contact: "#payments"}
policies:
  directories: [/etc/policies]
  configMaps: enabled
  bundles:
  - {name: platform, url: "https://bundles.example/platform.tar.gz", key: /keys/platform.pem, interval: 30s}
  - {name: local, file: /bundles/local.tar.gz, unsigned: true}
  maxNewDenials: 0
  parameters:
    host-limit: {limit: 3}
`
	c, err := Parse("sallyport.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := mesh.Settings{
		Gateways: []mesh.EgressGateway{
			{
				Name: "shared", Namespace: "gateways", Service: "egress", Selector: map[string]string{"app": "egress"},
				Wildcards: []mesh.Wildcard{{Host: "*.wikipedia.org", Server: "www.wikipedia.org"}},
			},
			{Name: "second", Namespace: "istio-system", Service: "istio-egressgateway", Selector: map[string]string{"istio": "egressgateway"}, MutualTLS: true},
		},
		PlatformNamespaces: []string{"cert-manager", "gateways", "guard", "istio-system", "kube-system", "mesh"},
		IstioNamespace:     "mesh",
		Overrides: mesh.Overrides{
			RootNamespace: "mesh", ClusterDomain: "cluster.example", Outbound: "ALLOW_ANY", DNSCapture: new(true),
			Exports: mesh.DefaultExports{Services: []string{".", "mesh"}, VirtualServices: []string{"."}, DestinationRules: []string{"*"}},
		},
		RootNamespace: "mesh",
		TrustDomain:   "cluster.local",
		ClusterDomain: "cluster.example",
		Injection:     mesh.InjectNone,
		AllowAny:      true,
		Outbound:      "ALLOW_ANY",
		DNSCapture:    true,
		DefaultExports: mesh.DefaultExports{
			Services: []string{".", "mesh"}, VirtualServices: []string{"."}, DestinationRules: []string{"*"},
		},
		Grants: []mesh.Grant{{
			Issuer: mesh.Issuer{Kind: "ClusterIssuer", Name: "partner-ca", CommonName: "shop.example"},
			Hosts:  []string{"api.partner.com"}, Namespaces: []string{"shop"},
		}},
		Ownership: mesh.NewOwnership([]mesh.Owner{{
			Hosts: []string{"partner.example", "*.partner.example"}, Namespaces: []string{"payments"},
			Labels: map[string]string{"team": "payments"}, Contact: "#payments",
		}}, "#egress", mesh.Subjects{Users: []string{"root"}, Groups: []string{"system:masters"}}),
		Walls: mesh.Walls{
			Staged:        true,
			OwnOnly:       true,
			NodeLocalDNS:  []string{"fd00::a"},
			ClusterRanges: []string{"198.51.100.0/24"},
			Destinations: []mesh.WallDestination{
				{
					Name: "metrics", NamespaceLabels: map[string]string{"team": "observability"}, PodLabels: map[string]string{"app": "prometheus"},
					Ports: []mesh.WallPort{{Protocol: "TCP", Port: "9090"}, {Protocol: "UDP", Port: "8000", EndPort: 8100}, {Protocol: "TCP", Port: "http"}},
				},
				{
					Name: "database", From: []string{"shop"}, CIDRs: []string{"192.0.2.0/24", "2001:db8::/32"},
					Ports: []mesh.WallPort{{Protocol: "TCP", Port: "5432"}},
				},
				{Name: "anything", Namespaces: []string{"tools"}},
			},
			GatewayDestinations: []mesh.WallDestination{{Name: "line", From: []string{"shared"}, CIDRs: []string{"10.9.0.0/16"}}},
		},
	}
	if d := cmp.Diff(want, c.Settings()); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	if got, want := c.User(), "system:serviceaccount:guard:sallyport"; got != want {
		t.Errorf("User() = %q, want %q", got, want)
	}
	wantPolicies := Policies{
		Directories: []string{"/etc/policies"},
		ConfigMaps:  Enabled,
		Bundles: []Bundle{
			{
				Name: "platform", URL: "https://bundles.example/platform.tar.gz", Interval: "30s",
				Key: "/keys/platform.pem", KeyID: "default", Algorithm: "RS256",
			},
			{Name: "local", File: "/bundles/local.tar.gz", Interval: "1m", KeyID: "default", Algorithm: "RS256", Unsigned: true},
		},
		MaxNewDenials: new(0),
		Parameters:    map[string]any{"host-limit": map[string]any{"limit": 3}},
	}
	if d := cmp.Diff(wantPolicies, c.Policies); d != "" {
		t.Errorf("policies (-want +got):\n%s", d)
	}
}

// TestWallsAndAuthorization checks the switches that another position turns on.
func TestWallsAndAuthorization(t *testing.T) {
	c, err := Parse("f", []byte("apiVersion: sallyport.io/v1alpha1\nkind: Config\nnetworkPolicy: enabled\nwalls: {form: istio-task}\nauthorization: enabled\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Settings()
	if !s.NetworkPolicy || s.Walls.Staged || !s.Walls.IstioTask || s.Walls.OwnOnly || !s.Authorization {
		t.Errorf("NetworkPolicy %t, Staged %t, IstioTask %t, OwnOnly %t, Authorization %t",
			s.NetworkPolicy, s.Walls.Staged, s.Walls.IstioTask, s.Walls.OwnOnly, s.Authorization)
	}
}

// TestPlatformNamespacesAsWritten checks that an explicit list is not added to.
func TestPlatformNamespacesAsWritten(t *testing.T) {
	c, err := Parse("f", []byte("apiVersion: sallyport.io/v1alpha1\nkind: Config\nplatformNamespaces: [only]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"only"}, c.Settings().PlatformNamespaces); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestErrors reads testdata/errors.txtar: each NAME.yaml is followed by
// NAME.err, the complete message.
func TestErrors(t *testing.T) {
	golden := filepath.Join("testdata", "errors.txtar")
	ar, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	out := &txtar.Archive{Comment: ar.Comment}
	want := make(map[string]string)
	for _, f := range ar.Files {
		if name, ok := strings.CutSuffix(f.Name, ".err"); ok {
			want[name] = string(f.Data)
		}
	}
	for _, f := range ar.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c, err := Parse(f.Name, f.Data)
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			got := err.Error() + "\n"
			out.Files = append(out.Files, f, txtar.File{Name: name + ".err", Data: []byte(got)})
			if d := cmp.Diff(want[name], got); d != "" && !*update {
				t.Errorf("message (-want +got):\n%s", d)
			}
		})
	}
	if *update {
		if err := os.WriteFile(golden, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad(t *testing.T) {
	if c, err := Load(""); err != nil || cmp.Diff(Default(), c) != "" {
		t.Errorf("Load of no file = %+v, %v; want the defaults", c, err)
	}
	_, err := Load(filepath.Join(t.TempDir(), "absent.yaml"))
	if err == nil || !strings.Contains(err.Error(), "absent.yaml") || !strings.Contains(err.Error(), "--config") {
		t.Errorf("an absent file: %v; want its name and the remedy", err)
	}
}

// FuzzParse checks that no input makes the parser panic, and that what it
// accepts is complete.
func FuzzParse(f *testing.F) {
	f.Add([]byte("apiVersion: sallyport.io/v1alpha1\nkind: Config\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("gateways: [null]\nkind: [1, {}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz", data)
		if err == nil && (len(c.Settings().Gateways) == 0 || c.IstioNamespace == "") {
			t.Errorf("accepted %q without defaults: %+v", data, c)
		}
	})
}
