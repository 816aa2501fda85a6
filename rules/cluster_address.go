package rules

import (
	"fmt"
	"net/netip"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var clusterAddress = &Rule{
	Name: "cluster-address",
	Doc: `addresses of a host are not those of the cluster

By its addresses an entry captures traffic, whatever name the client asked for.
Where one is that of a Service, a node, a gateway or a waypoint, the entry takes
their traffic; in ambient mode an entry with a waypoint's own address has ended
istiod (GHSA-7p2q-4xvg-vxc6). A range that holds such an address does the same.`,
	Severity: Deny,
	Remedy:   "Leave the addresses of the cluster out: list those of the external host, or none at all.",
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		for i, a := range se.Addresses {
			prefix, err := netip.ParsePrefix(a)
			if err != nil {
				ip, err := netip.ParseAddr(a)
				if err != nil {
					continue
				}
				prefix = netip.PrefixFrom(ip, ip.BitLen())
			}
			for ip, o := range p.Live.AddressesIn(prefix) {
				// Whose it is says the log of the platform, not this answer: to a
				// tenant the addresses of others are no business.
				p.Report(Finding{
					Path:     fmt.Sprintf("spec.addresses[%d]", i),
					Severity: p.WarnInPlatform(),
					Told:     told.F("address %s is in use in the cluster, by a %s", ip.String(), told.Plain(inWords(o))),
				})
				break // one is enough
			}
		}
	}),
}

// inWords is what has an address of the cluster.
func inWords(o mesh.Object) string {
	switch o.(type) {
	case *mesh.K8sGateway:
		return "gateway or waypoint"
	case *mesh.Node:
		return "node"
	default:
		return "Service"
	}
}
