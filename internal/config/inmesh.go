package config

import (
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// InMesh is what belongs to the mesh where addresses and names do not tell: an
// entry with location MESH_INTERNAL whose endpoints are all of it registers no way
// out, and needs no gateway. Private addresses and the cluster's own names are taken
// for inside without it.
type InMesh struct {
	// Networks are names of networks, as in an endpoint's field network. List one
	// only where istiod knows its east-west gateway: without, Istio dials the
	// address that the entry has.
	//
	// Default: none.
	Networks []string `json:"networks,omitempty"`
	// Ranges are public addresses of machines that joined the mesh, and of
	// east-west gateways: 203.0.113.5, 203.0.113.0/28.
	//
	// Default: none.
	Ranges []string `json:"ranges,omitempty"`
	// Suffixes are domains whose names lead to other meshes, by federation:
	// mesh2.example. They count where such a name is what is dialled, not for an
	// entry with other endpoints.
	//
	// Default: none.
	Suffixes []string `json:"suffixes,omitempty"`
}

func (i InMesh) check(fail failure) {
	for n, network := range i.Networks {
		if strings.TrimSpace(network) == "" {
			fail(fmt.Sprintf("inMesh.networks[%d]", n), "must not be empty: an endpoint without a network is in that of whoever dials it")
		}
	}
	for n, r := range i.Ranges {
		if _, err := parseRange(r); err != nil {
			fail(fmt.Sprintf("inMesh.ranges[%d]", n), "%q is neither an address nor a range of them", r)
		}
	}
	for n, s := range i.Suffixes {
		name := mesh.CanonicalHost(s)
		for _, msg := range content.IsDNS1123Subdomain(name) {
			fail(fmt.Sprintf("inMesh.suffixes[%d]", n), "%q is not a domain: %s", s, msg)
		}
	}
}

func (i InMesh) settings() mesh.InMesh {
	out := mesh.InMesh{Networks: i.Networks}
	for _, r := range i.Ranges {
		if p, err := parseRange(r); err == nil {
			out.Ranges = append(out.Ranges, p)
		}
	}
	for _, s := range i.Suffixes {
		out.Suffixes = append(out.Suffixes, mesh.CanonicalHost(s))
	}
	return out
}

func parseRange(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}
