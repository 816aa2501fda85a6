package mesh

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/sallyport-io/sallyport/internal/told"
)

// visitAddresses puts an object into the index of the addresses that the
// cluster uses.
func (x *index) visitAddresses(o Object, addresses []string, i indexer) {
	slices.Sort(addresses)
	for _, a := range slices.Compact(addresses) {
		if ip, err := netip.ParseAddr(a); err == nil { // "None", or a name
			key := ip.Unmap().As16()
			put(i, &x.addresses, o, string(key[:]), objectKey(o.Metadata().Ref))
		}
	}
}

// ofCluster are the addresses under which the cluster itself is reached: those
// of Services, of nodes, and of gateways and waypoints of the Gateway API.
func ofCluster(o Object) []string {
	switch o := o.(type) {
	case *Service:
		return append(slices.Clone(o.ExternalIPs), o.ClusterIPs...)
	case *K8sGateway:
		return slices.Clone(o.Addresses)
	case *Node:
		return slices.Clone(o.Addresses)
	default:
		return nil
	}
}

// AddressesIn yields the objects of the cluster (Services, nodes, gateways and
// waypoints of the Gateway API) that are reached under an address of the range,
// by address. The range is to be narrow: each of its addresses that is in use
// is looked at.
func (m *Mesh) AddressesIn(p netip.Prefix) iter.Seq2[netip.Addr, Object] {
	return func(yield func(netip.Addr, Object) bool) {
		p = netip.PrefixFrom(p.Addr().Unmap(), prefixBits(p)).Masked()
		if !p.IsValid() {
			return
		}
		first := p.Addr().As16()
		whole := p.Bits() / 8 // bytes that every address of the range begins with
		if p.Addr().Is4() {
			whole += 12
		}
		for key, o := range m.addresses.prefixed(string(first[:whole])) {
			ip := netip.AddrFrom16([16]byte([]byte(key[:16]))).Unmap()
			if p.Contains(ip) && !yield(ip, o) {
				return
			}
		}
	}
}

// prefixBits is the length of a prefix of IPv4 that is written as IPv6 too.
func prefixBits(p netip.Prefix) int {
	if p.Addr().Is4In6() {
		return max(0, p.Bits()-96)
	}
	return p.Bits()
}

// WideRange is the index of the first of the entry's addresses that stands for more
// than one, or -1.
func (se *ServiceEntry) WideRange() int {
	return slices.IndexFunc(se.Addresses, func(a string) bool {
		p, err := netip.ParsePrefix(a)
		return err == nil && !p.IsSingleIP()
	})
}

// RangeFix is what helps with an entry for a range of addresses that a gateway
// cannot serve.
const RangeFix told.Text = "Register every server by an entry of its own, with its DNS name, its one address under spec.addresses, and resolution: DNS. Where the servers have no names, the platform team can register each beside the gateway, with its address under spec.endpoints.\n"
