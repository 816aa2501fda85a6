package mesh

import (
	"net/netip"
	"testing"
)

// TestInMesh goes through what the platform may say is in the mesh, and what
// somebody may claim of an entry that it does not say.
func TestInMesh(t *testing.T) {
	s := DefaultSettings()
	s.InMesh = InMesh{
		Networks: []string{"mesh2"},
		Ranges:   []netip.Prefix{netip.MustParsePrefix("203.0.113.4/31"), netip.MustParsePrefix("2001:db8::/64")},
		Suffixes: []string{"mesh2.example"},
	}
	endpoint := func(e Endpoint, location string) *ServiceEntry {
		return &ServiceEntry{
			Meta: Meta{Ref: Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "e"}}, Hosts: []string{"a.b.example"}, Location: location, Resolution: "STATIC",
			Ports: []ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}, Endpoints: []Endpoint{e},
		}
	}
	named := func(host, resolution string) *ServiceEntry {
		e := endpoint(Endpoint{}, "MESH_INTERNAL")
		e.Hosts, e.Resolution, e.Endpoints = []string{host}, resolution, nil
		return e
	}
	for _, tt := range []struct {
		name  string
		entry *ServiceEntry
		out   bool
	}{
		{"address", endpoint(Endpoint{Address: "203.0.113.5"}, "MESH_INTERNAL"), false},
		{"mapped address", endpoint(Endpoint{Address: "::ffff:203.0.113.5"}, "MESH_INTERNAL"), false},
		{"address of IPv6", endpoint(Endpoint{Address: "2001:db8::9"}, "MESH_INTERNAL"), false},
		{"next address", endpoint(Endpoint{Address: "203.0.113.6"}, "MESH_INTERNAL"), true},
		{"network", endpoint(Endpoint{Address: "192.0.2.1", Network: "mesh2"}, "MESH_INTERNAL"), false},
		{"network alone", endpoint(Endpoint{Network: "mesh2"}, "MESH_INTERNAL"), false},
		{"another network", endpoint(Endpoint{Address: "192.0.2.1", Network: "mesh3"}, "MESH_INTERNAL"), true},
		{"no network", endpoint(Endpoint{Address: "192.0.2.1"}, "MESH_INTERNAL"), true},
		{"external by its own account", endpoint(Endpoint{Address: "203.0.113.5", Network: "mesh2"}, "MESH_EXTERNAL"), true},
		{"name", endpoint(Endpoint{Address: "gateway.mesh2.example"}, "MESH_INTERNAL"), false},
		{"lookalike", endpoint(Endpoint{Address: "gateway.xmesh2.example"}, "MESH_INTERNAL"), true},
		{"the suffix itself", endpoint(Endpoint{Address: "mesh2.example"}, "MESH_INTERNAL"), true},
		{"host", named("Reviews.mesh2.example.", "DNS"), false},
		{"host that the client resolves", named("reviews.mesh2.example", "NONE"), true},
		{"other host", named("reviews.mesh3.example", "DNS"), true},
		{"host of the suffix with an endpoint elsewhere", func() *ServiceEntry {
			e := endpoint(Endpoint{Address: "192.0.2.1"}, "MESH_INTERNAL")
			e.Hosts = []string{"reviews.mesh2.example"}
			return e
		}(), true},
	} {
		if got := New(s, tt.entry).HasPoints(tt.entry); got != tt.out {
			t.Errorf("%s: leads out %v, want %v", tt.name, got, tt.out)
		}
	}
}

// TestTakesAddress: what a chain before the fallback must be for, so that nothing
// is left for that.
func TestTakesAddress(t *testing.T) {
	for _, tt := range []struct {
		subnet, address string
		want            bool
	}{
		{"198.51.100.7", "198.51.100.7", true},
		{"198.51.100.7/32", "198.51.100.7", true},
		{"198.51.100.0/24", "198.51.100.7", true},
		{"198.51.100.8", "198.51.100.7", false},
		{"198.51.100.0/24", "198.51.100.0/24", true},
		{"198.51.0.0/16", "198.51.100.0/24", false}, // the fallback's range is the narrower one
		{"198.51.100.0/25", "198.51.100.0/24", false},
		{"2001:db8::/32", "198.51.100.7", false},
		{"", "198.51.100.7", false},
		{"198.51.100.7", "nonsense", false},
	} {
		if got := takesAddress(tt.subnet, tt.address); got != tt.want {
			t.Errorf("a chain for %q takes all that is sent to %s: %v, want %v", tt.subnet, tt.address, got, tt.want)
		}
	}
}
