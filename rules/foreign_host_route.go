package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var foreignHostRoute = &Rule{
	Name: "foreign-host-route",
	Doc: `no tenant routes the hosts of others for others

A VirtualService that sidecars follow and that other namespaces see changes
where their traffic goes, for any host, in the mesh or outside (Istio calls this
expected: ISTIO-SECURITY-2026-002). A tenant's is denied where it routes a
Service of another namespace, or sends an external host that another namespace
registered to something inside the mesh that is not an egress gateway. Where it
sends such a host through the gateway it is warned about; where it opens a direct
path, direct-path denies it.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"V-2", "V-3", "V-4", "V-5", "V-17", "V-21"},
	Kinds:    []string{"VirtualService"},
	Check: On(func(p *Pass, vs *mesh.VirtualService) {
		if !exportsBeyond(vs.ExportTo, vs.Namespace) || !slices.Contains(vs.Gateways, "mesh") {
			return
		}
		domain := p.After.Settings().ClusterDomain
		relay := relayDestination(p, vs)
		for i, h := range vs.Hosts {
			p.Spend(hostSteps + len(h)>>3)
			host := mesh.ResolveHost(h, vs.Namespace, domain)
			path := fmt.Sprintf("spec.hosts[%d]", i)
			if strings.HasSuffix(host, ".svc."+domain) {
				if !strings.HasSuffix(host, "."+vs.Namespace+".svc."+domain) {
					p.Report(Finding{Path: path, Told: told.F("host %q is a Service of another namespace, whose traffic every namespace that sees this object would send where it says", h), ToldFix: ownNamespaceOnly, Words: leaveHost})
				}
				continue
			}
			owner, ok := foreignOwner(p, host, vs.Namespace)
			switch {
			case !ok:
			case relay != nil && strings.HasSuffix(mesh.ResolveHost(relay.Host, vs.Namespace, domain), ".svc."+domain):
				p.Report(Finding{Path: relay.path, Told: told.F("sends host %q, which %s registered, to %s inside the mesh, for other namespaces too", h, owner, relay.Host), ToldFix: ownNamespaceOnly, Words: leaveHost})
			default:
				p.Report(Finding{Path: path, Severity: Warn, Told: told.F("host %q is registered by %s; this object routes it for other namespaces too", h, owner), ToldFix: ownNamespaceOnly, Words: leaveHost})
			}
		}
	}),
}

// ownNamespaceOnly has an object act on its own namespace alone, and leaveHost says
// what else there is.
const (
	ownNamespaceOnly told.Text = "spec:\n  exportTo: [\".\"]\n"
	leaveHost        told.Text = "Leave the host to the namespace that has it, or confine the object to its own: spec.exportTo: [\".\"].\n"
)

// foreignOwner returns an entry of another namespace that registers a host
// which the pattern overlaps.
func foreignOwner(p *Pass, pattern, namespace string) (mesh.Ref, bool) {
	for _, path := range p.Paths {
		p.Spend(1)
		if !mesh.HostsOverlap(pattern, path.Host) {
			continue
		}
		if foreign := foreignEntries(p.After, path.Host, namespace); len(foreign) > 0 {
			return foreign[0].Ref, true
		}
	}
	return mesh.Ref{}, false
}

// relayDestination returns a mesh destination of the VirtualService that is
// neither outside nor an egress gateway, or nil.
func relayDestination(p *Pass, vs *mesh.VirtualService) *destination {
	domain := p.After.Settings().ClusterDomain
	for _, d := range p.destinations(vs) {
		if !d.mesh || d.dropped || egressGateway(p.After, mesh.ResolveHost(d.Host, vs.Namespace, domain)) != nil {
			continue
		}
		if _, external := externalHost(p.After, d.Host, vs.Namespace); !external {
			return &d
		}
	}
	return nil
}
