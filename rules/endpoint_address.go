package rules

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sallyport-io/sallyport/internal/address"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/metadata"
	"github.com/sallyport-io/sallyport/internal/told"
)

var endpointAddress = &Rule{
	Name: "endpoint-address",
	Doc: `endpoints are not the platform's own addresses

A ServiceEntry makes the client, or the egress gateway, dial the addresses it
names: the node's loopback interface, a kubelet, a unix socket; of metadata services
speaks metadata-service. Istio accepts them all. Link-local, loopback, unspecified and
multicast addresses, unix sockets, and the ports of the kubelet and the API
server on private addresses are denied to tenants, and so is a range in
addresses that is wider than /24 (IPv6: /64), for the entry captures all of it.
Other private addresses are warned about.`,
	Severity: Deny,
	Remedy:   "Write the name or the public address of the external host.",
	Rows:     []string{"S-5", "S-6", "S-8"},
	Kinds:    []string{"ServiceEntry", "WorkloadEntry"},
	Check: Each(
		On(func(p *Pass, se *mesh.ServiceEntry) {
			plain := targetPorts(se, nil)
			for i, h := range se.Hosts {
				reportAddress(p, fmt.Sprintf("spec.hosts[%d]", i), h, plain)
			}
			for i, a := range se.Addresses {
				reportRange(p, fmt.Sprintf("spec.addresses[%d]", i), a)
			}
			for i, e := range se.Endpoints {
				ports := plain
				if len(e.Ports) > 0 {
					p.Spend(2 * len(se.Ports))
					ports = targetPorts(se, e.Ports)
				}
				reportAddress(p, fmt.Sprintf("spec.endpoints[%d].address", i), e.Address, ports)
			}
		}),
		On(func(p *Pass, we *mesh.WorkloadEntry) {
			var ports []int
			for _, n := range we.Ports {
				ports = append(ports, n)
			}
			reportAddress(p, "spec.address", we.Address, ports)
		}),
	),
}

// nodePorts are those of the kubelet and the API server.
var nodePorts = map[int]string{10250: "kubelet", 10255: "kubelet", 6443: "API server", 2379: "etcd"}

// targetPorts are the ports that are dialled at an endpoint.
func targetPorts(se *mesh.ServiceEntry, endpoint map[string]int) []int {
	var ports []int
	for _, sp := range se.Ports {
		switch {
		case endpoint[sp.Name] != 0:
			ports = append(ports, endpoint[sp.Name])
		case sp.TargetPort != 0:
			ports = append(ports, sp.TargetPort)
		default:
			ports = append(ports, sp.Number)
		}
	}
	return ports
}

func reportAddress(p *Pass, path, written string, ports []int) {
	p.Spend(2 * hostSteps)
	if strings.HasPrefix(written, "unix://") {
		p.Report(Finding{Path: path, Severity: p.WarnInPlatform(), Told: told.F("address %q is a socket inside the proxy's own pod", written)})
		return
	}
	// A resolver takes a name for an address in more spellings than Istio does.
	ip, ok := address.Parse(written)
	if !ok {
		return
	}
	if _, ok := metadata.Address(ip); ok {
		return // metadata-service says so
	}
	reached := address.Embedded(ip)
	for _, ip := range reached {
		if what := forbidden(ip); what != "" {
			p.Report(Finding{Path: path, Severity: p.WarnInPlatform(), Told: told.F("address %s is %s", written, told.Plain(what))})
			return
		}
	}
	ip = reached[0]
	if !ip.IsPrivate() {
		return
	}
	p.Spend(len(ports))
	for _, port := range ports {
		if who := nodePorts[port]; who != "" {
			p.Report(Finding{Path: path, Severity: p.WarnInPlatform(), Told: told.F("address %s port %d is where a %s listens", written, port, told.Plain(who))})
			return
		}
	}
	p.Report(Finding{Path: path, Severity: Warn, Told: told.F("address %s is private: the entry reaches into the network of the cluster or the company", written)})
}

func reportRange(p *Pass, path, address string) {
	p.Spend(2 * hostSteps)
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		if ip, err := netip.ParseAddr(address); err == nil {
			if _, ok := metadata.Address(ip); ok {
				return // metadata-service says so
			}
			if what := forbidden(ip.Unmap()); what != "" {
				p.Report(Finding{Path: path, Severity: p.WarnInPlatform(), Told: told.F("address %s is %s", address, told.Plain(what))})
			}
		}
		return
	}
	if _, ok := metadata.Range(prefix); ok && prefix.Bits() > 0 {
		return // metadata-service says so
	}
	narrow := 24
	if prefix.Addr().Is6() {
		narrow = 64
	}
	switch what := forbidden(prefix.Addr().Unmap()); {
	case prefix.Bits() < narrow:
		p.Report(Finding{
			Path: path, Severity: p.WarnInPlatform(),
			Told:    told.F("range %s is wider than /%d: the entry captures traffic for all of it", address, narrow),
			ToldFix: "List the addresses of the host, each by itself.\n",
		})
	case what != "":
		p.Report(Finding{Path: path, Severity: p.WarnInPlatform(), Told: told.F("range %s is %s", address, told.Plain(what))})
	}
}

// forbidden says what is wrong with an address that no external host can
// have, and "" where nothing is.
func forbidden(ip netip.Addr) string {
	if m, ok := metadata.Address(ip); ok {
		return "a metadata service (" + m.Service.Cloud + ")"
	}
	switch {
	case ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast():
		return "link-local: the node's own network"
	case ip.IsLoopback():
		return "the loopback of whoever dials it"
	case ip.IsUnspecified():
		return "unspecified: it stands for every address"
	case ip.IsMulticast() || ip.IsInterfaceLocalMulticast():
		return "multicast"
	default:
		return ""
	}
}
