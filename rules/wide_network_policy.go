package rules

import (
	"context"
	"net/netip"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/told"
)

var wideNetworkPolicy = &Rule{
	Name: "wide-network-policy",
	Doc: `no policy undoes the NetworkPolicy that confines

NetworkPolicies are additive: what one allows, no other takes back. In a
namespace that Sallyport confines, a tenant's policy opens what the kept policy
closes where one of its egress rules names no peer, an address range, or
namespaces outside the mesh. IPv4 and IPv6 are looked at alike. A range within
the private networks is a warning: a database may be there, or a way out.

Such a policy may stand already when the wall goes up, or is staged: the write of
the Namespace that brings that about says which policies undo the wall.`,
	Severity: Deny,
	Rows:     []string{"K-12", "K-8"},
	Kinds:    []string{"NetworkPolicy", "Namespace"},
	Check: func(_ context.Context, p *Pass) error {
		if ns, ok := p.Subject.(*mesh.Namespace); ok {
			return wallUndone(p, ns)
		}
		np, ok := p.Subject.(*mesh.NetworkPolicy)
		if !ok || p.Platform() {
			return nil
		}
		return netpol.EachOpening(p.After, np, func(o netpol.Opening) {
			f := Finding{
				Path:    o.Path,
				Told:    o.Says() + ", in addition to what Sallyport's policy allows",
				ToldFix: "Name the pods and namespaces of the mesh that are called: to: [{namespaceSelector: {...}, podSelector: {...}}].\n",
			}
			if privateRange(o.CIDR) {
				f.Severity = Warn
			}
			p.Report(f)
		})
	},
}

// wallUndone reports the policies that a new wall would stand beside in vain.
// Whoever puts up the wall is told, not stopped: a wall with a hole is better than
// none.
func wallUndone(p *Pass, ns *mesh.Namespace) error {
	if p.After.Settings().GatewayNamespace(ns.Name) {
		return nil
	}
	was, stage := netpol.Off, netpol.StageOf(p.After, ns.Name)
	if old, ok := p.Old.(*mesh.Namespace); ok {
		was = netpol.StageOf(p.After.With(old), ns.Name)
	}
	if stage == was || stage == netpol.Off {
		return nil
	}
	wall := "the wall that goes up"
	if stage == netpol.Staged {
		wall = "the wall that is staged"
	}
	return netpol.EachHole(p.After, ns.Name, func(o netpol.Opening) {
		p.Report(Finding{
			Severity: Warn,
			Path:     labelPath(mesh.NetworkPolicyLabel),
			Told:     told.F("%s undoes %s: at %s it %s", o.Ref, told.Plain(wall), o.Tell().Detail(o.Path), o.Says()),
			ToldFix:  told.F("Delete or narrow it: kubectl -n %s edit networkpolicy %s\n", told.Namespace(o.Namespace), o.Tell().As(o.Name)),
		})
	})
}

// privateRange reports whether every address of the range is private.
func privateRange(cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && slices.ContainsFunc(privateRanges, func(r netip.Prefix) bool {
		return r.Addr().BitLen() == prefix.Addr().BitLen() && r.Bits() <= prefix.Bits() && r.Contains(prefix.Addr())
	})
}

// privateRanges are those of RFC 1918 and RFC 4193.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}
