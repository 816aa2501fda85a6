package netpol

import (
	"cmp"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// insideV4 and insideV6 are where a gateway has no business to connect on any
// cluster: private, shared, link-local (and with it the metadata services of
// clouds), loopback, multicast and the like, and the forms in which IPv6
// dresses IPv4 addresses. Pods, Services and nodes lie in them on nearly every
// cluster.
// https://www.iana.org/assignments/iana-ipv4-special-registry
var (
	insideV4 = []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	}
	insideV6 = []string{
		// ::/64 holds ::1 and the IPv4-mapped addresses, which the API server
		// does not take as a range of their own.
		"::/64", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8",
	}
)

// never are the ranges of inside that no host can need: link-local addresses,
// with the credentials that metadata services hand out, and loopback.
var never = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fd00:ec2::/32"),
}

// inside are the ranges into which the gateways of one cluster have no business
// to connect.
type inside struct {
	ranges  []netip.Prefix
	of      map[netip.Prefix]bool // the ranges
	lengths []bits                // that ranges have: few, however many ranges there are
}

// bits is a length of ranges of one family.
type bits struct {
	v4     bool
	length int
}

// insideOf adds to the ranges of every cluster those of this one that lie
// elsewhere: what the administrator names, the ranges of pods and addresses
// that Nodes tell, those of Services, and Services whose addresses lie in none
// of them. A range within another is left out.
func insideOf(m *mesh.Mesh) *inside {
	var found []netip.Prefix
	add := func(cidrs ...string) {
		for _, cidr := range cidrs {
			if p, err := netip.ParsePrefix(cidr); err == nil && p.Bits() > 0 {
				found = append(found, p.Masked())
			}
		}
	}
	address := func(addresses ...string) {
		for _, a := range addresses {
			if cidr, ok := single(a); ok {
				add(cidr)
			}
		}
	}
	add(m.Settings().Walls.ClusterRanges...)
	for o := range m.All("Node") {
		node := o.(*mesh.Node)
		add(node.PodCIDRs...)
		address(node.Addresses...)
	}
	for o := range m.All("ServiceCIDR") {
		add(o.(*mesh.ServiceCIDR).CIDRs...)
	}
	for o := range m.All("Service") {
		address(o.(*mesh.Service).ClusterIPs...) // "None" is no address
	}
	// The widest first, and the same whatever the order of the objects.
	slices.SortFunc(found, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	out := &inside{of: map[netip.Prefix]bool{}}
	for _, cidr := range slices.Concat(insideV4, insideV6) {
		out.add(netip.MustParsePrefix(cidr))
	}
	for _, p := range found {
		if !out.contains(p.Addr()) {
			out.add(p)
		}
	}
	return out
}

func (i *inside) add(p netip.Prefix) {
	i.ranges = append(i.ranges, p)
	i.of[p] = true
	if length := (bits{p.Addr().Is4(), p.Bits()}); !slices.Contains(i.lengths, length) {
		i.lengths = append(i.lengths, length)
	}
}

// contains reports whether the address, which is not an IPv4 address in the
// clothes of IPv6, lies inside.
func (i *inside) contains(address netip.Addr) bool {
	return slices.ContainsFunc(i.lengths, func(b bits) bool {
		if b.v4 != address.Is4() {
			return false
		}
		p, err := address.Prefix(b.length)
		return err == nil && i.of[p]
	})
}

// world is every address of both families that is not inside.
func (i *inside) world() []networkingv1.NetworkPolicyPeer {
	var v4, v6 []string
	for _, p := range i.ranges {
		if p.Addr().Is4() {
			v4 = append(v4, p.String())
		} else {
			v6 = append(v6, p.String())
		}
	}
	return []networkingv1.NetworkPolicyPeer{block("0.0.0.0/0", v4...), block("::/0", v6...)}
}

func forbidden(address netip.Addr) bool {
	return slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(address) })
}
