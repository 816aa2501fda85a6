package rules

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var gatewayHopHijack = &Rule{
	Name: "gateway-hop-hijack",
	Doc: `at the gateway a host goes to itself, not to a tenant's pick

VirtualServices that are bound to the egress gateway share it. HTTP routes of one
host are appended to each other, and of two rules for one SNI the older wins,
whatever namespaces they are from. A tenant's rule at an egress gateway that
sends a host which another namespace registered to any other host is denied,
and warned about where no server of the gateway lets the rule in.

Servers that name the namespace they are for ("namespace/host") keep others
from binding to them.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"V-19", "V-20", "B-G1"},
	Kinds:    []string{"VirtualService"},
	Check: On(func(p *Pass, vs *mesh.VirtualService) {
		var found []Finding
		var taken []string
		for _, d := range p.destinations(vs) {
			if d.dropped || !slices.ContainsFunc(d.gateways, func(g string) bool { return atEgress(p.After, g, vs.Namespace) }) {
				continue
			}
			target := mesh.ResolveHost(d.Host, vs.Namespace, p.After.Settings().ClusterDomain)
			if egressGateway(p.After, target) != nil {
				continue // a loop, not a theft
			}
			for _, host := range matchedHosts(p, vs, d) {
				if mesh.HostCovers(host, target) {
					continue
				}
				if foreign := foreignEntries(p.After, host, vs.Namespace); len(foreign) > 0 {
					severity := Warn
					if letIn(p.After, vs, d, host) {
						severity = Deny
					}
					found = append(found, Finding{
						Path:     d.path,
						Severity: severity,
						Told:     told.F("at the egress gateway, sends host %q, which %s registered, to %q", told.Host(host), foreign[0].Ref, told.Host(target)),
						Words:    told.F("Leave host %q to %s.\n", told.Host(host), told.InNamespace(foreign[0].Namespace)),
					})
					if severity == Deny {
						taken = append(taken, d.route())
					}
					break
				}
			}
		}
		for _, f := range found {
			if f.ToldFix = f.Words; f.Severity == Deny {
				f.ToldFix = p.pruned(vs.Ref, f.Words, taken...)
			}
			p.Report(f)
		}
	}),
}

// atEgress reports whether a VirtualService of the namespace that names the
// gateway is bound to an approved egress gateway. A Gateway that is not there
// yet counts where it would be in a gateway's namespace.
func atEgress(m *mesh.Mesh, name, namespace string) bool {
	m.Spend(lookupSteps)
	gw := boundGateway(m, name, namespace)
	if gw == nil {
		return m.Settings().GatewayNamespace(mesh.BoundGateway(name, namespace).Namespace)
	}
	return selectsEgress(m, gw.Selector) != nil
}

// letIn reports whether the gateway follows the VirtualService for the host: its
// namespace sees it, and a server admits it.
func letIn(m *mesh.Mesh, vs *mesh.VirtualService, d destination, host string) bool {
	for _, name := range d.gateways {
		m.Spend(lookupSteps + len(vs.ExportTo)>>2)
		gw := boundGateway(m, name, vs.Namespace)
		if gw == nil {
			continue
		}
		g := selectsEgress(m, gw.Selector)
		if g == nil || len(vs.ExportTo) > 0 && g.Namespace != vs.Namespace && !slices.Contains(vs.ExportTo, "*") && !slices.Contains(vs.ExportTo, g.Namespace) {
			continue
		}
		if slices.ContainsFunc(gw.Servers, func(s mesh.Server) bool {
			m.Spend(hostSteps * len(s.Hosts))
			return slices.ContainsFunc(s.Hosts, func(h string) bool { return serverCovers(h, gw.Namespace, host, vs.Namespace) })
		}) {
			return true
		}
	}
	return false
}

// matchedHosts are the hosts whose traffic a destination gets at a gateway: by
// SNI where the rule matches it, else those of the VirtualService.
func matchedHosts(p *Pass, vs *mesh.VirtualService, d destination) []string {
	hosts := vs.Hosts
	if d.section == "tls" {
		hosts = nil
		for _, m := range vs.TLS[d.rule].Match {
			p.Spend(1)
			hosts = append(hosts, m.SNIHosts...)
		}
	}
	var canonical []string
	for _, h := range hosts {
		canonical = append(canonical, p.canonical(h))
	}
	return canonical
}
