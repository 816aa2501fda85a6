package companion

import (
	"net/netip"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// indistinct refuses a TCP port that a sidecar cannot tell from that of another
// host. It knows such traffic by the address alone, where the entry has none by
// the port alone, and of several hosts it takes the oldest one's way for all:
// what is meant for one would reach another (the listener conflicts of
// buildSidecarOutboundTCPListenerOpts in Istio's pilot/pkg/networking/core).
// Where sidecars answer for DNS, a host without addresses has one of Istio's.
func indistinct(m *mesh.Mesh, entry *mesh.ServiceEntry, host string, ports []upstream) *Refusal {
	for _, u := range ports {
		m.Spend(1)
		if u.class() != mesh.TCPLike || len(entry.Addresses) == 0 && m.Settings().DNSCapture {
			continue
		}
		other, of := before(m, entry, host, u.port)
		if other == "" {
			continue
		}
		which := "both have the same"
		if len(entry.Addresses) == 0 {
			which = "neither has one"
		}
		r := &Refusal{
			Entry: entry.Ref, Path: "spec.addresses",
			Told: told.F("port %d of %s is TCP, which a sidecar tells from that of %s by its address alone, and %s: all of it would reach %s",
				u.port, told.Host(host), told.Host(other), told.Plain(which), told.Host(other)),
			ToldFix: "Give each host an entry of its own, with its addresses in spec.addresses; or another port.",
		}
		if of != entry.Ref {
			r.With = of
			r.ToldReverse = told.F("port %d is TCP, which a sidecar tells by its address alone from that of %s (%s), which has none or the same: all of it would come here",
				u.port, told.Host(host), entry.Ref)
			r.ReversePath = "spec.addresses"
			r.Told += told.F(" (%s)", of)
		}
		return r
	}
	return nil
}

// before returns a host that takes the traffic for a TCP port of another, and
// the entry that registers it.
func before(m *mesh.Mesh, entry *mesh.ServiceEntry, host string, port int) (string, mesh.Ref) {
	if h := mesh.CanonicalHost(entry.Hosts[0]); h != host {
		return h, entry.Ref
	}
	for o := range m.In("ServiceEntry", entry.Namespace) {
		other := o.(*mesh.ServiceEntry)
		m.Spend(1 + hostSteps*len(entry.Addresses)*len(other.Addresses) + len(other.Ports)>>2)
		if other.Ref == entry.Ref || Is(other.Ref) || byAge(other, entry) >= 0 || !sameAddress(entry.Addresses, other.Addresses) ||
			!slices.ContainsFunc(other.Ports, func(p mesh.ServicePort) bool { return p.Number == port && mesh.ClassOf(p.Protocol) == mesh.TCPLike }) {
			continue
		}
		for _, h := range other.Hosts {
			if h = mesh.CanonicalHost(h); h != host {
				return h, other.Ref
			}
		}
	}
	return "", mesh.Ref{}
}

func sameAddress(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b) // an address goes before none
	}
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return canonicalAddress(x) == canonicalAddress(y) })
	})
}

func canonicalAddress(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}
