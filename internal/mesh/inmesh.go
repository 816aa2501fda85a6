package mesh

import (
	"net/netip"
	"slices"
	"strings"
)

// InMesh is what the platform says is part of the mesh, where addresses and names
// do not tell: machines with public addresses, and east-west gateways with those
// who are behind them. It counts for entries with location MESH_INTERNAL.
type InMesh struct {
	Networks []string       // of endpoints, behind an east-west gateway that istiod knows
	Ranges   []netip.Prefix // of addresses
	Suffixes []string       // of canonical names, without the dot before them
}

func (i InMesh) address(ip netip.Addr) bool {
	return slices.ContainsFunc(i.Ranges, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func (i InMesh) name(host string) bool {
	return slices.ContainsFunc(i.Suffixes, func(s string) bool { return inDomain(host, s) })
}

// OfNamespace reports whether a canonical host is the name of a Service of the
// namespace, whether there is one or not, or one below it.
func (m *Mesh) OfNamespace(host, namespace string) bool {
	rest, ok := strings.CutSuffix(host, "."+namespace+m.names.suffix)
	return ok && rest != "" && namespace != "" && !IsWildcard(rest)
}
