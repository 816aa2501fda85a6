package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestAddressesIn compares the index with a look at every object, for ranges
// of both families and every length, whole bytes or not.
func TestAddressesIn(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	address := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, 96, byte(r.IntN(2)), byte(r.IntN(256))})
		}
		return netip.AddrFrom16([16]byte{0xfd, 0, 15: byte(r.IntN(256))})
	}
	var objects []Object
	for i := range 200 {
		meta := Meta{Ref: Ref{Namespace: "n", Name: fmt.Sprint(i)}}
		switch a := address().String(); i % 3 {
		case 0:
			meta.Kind = "Service"
			objects = append(objects, &Service{Meta: meta, ClusterIPs: []string{a, "None"}, ExternalIPs: []string{a, address().String()}})
		case 1:
			meta.Kind = "K8sGateway"
			objects = append(objects, &K8sGateway{Meta: meta, Addresses: []string{a, "a.host.example"}})
		default:
			meta.Kind = "Node"
			objects = append(objects, &Node{Meta: meta, Addresses: []string{a}})
		}
	}
	m := New(DefaultSettings(), objects...).Without(objects[0].Metadata().Ref)
	objects = objects[1:]
	for range 500 {
		ip := address()
		p := netip.PrefixFrom(ip, r.IntN(ip.BitLen()+1))
		if ip.Is4() && r.IntN(3) == 0 { // the same, written as IPv6
			p = netip.PrefixFrom(netip.AddrFrom16(ip.As16()), p.Bits()+96)
		}
		var want, got []string
		plain := netip.PrefixFrom(ip, prefixBits(p)).Masked()
		for _, o := range objects {
			addresses := ofCluster(o)
			slices.Sort(addresses)
			for _, a := range slices.Compact(addresses) {
				if in, err := netip.ParseAddr(a); err == nil && plain.Contains(in) {
					want = append(want, fmt.Sprint(in, o.Metadata().Ref))
				}
			}
		}
		for a, o := range m.AddressesIn(p) {
			got = append(got, fmt.Sprint(a, o.Metadata().Ref))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Fatalf("%s: got %v, want %v", p, got, want)
		}
	}
	for range m.AddressesIn(netip.Prefix{}) {
		t.Error("the zero prefix has an address")
	}
}
