package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var hostOwner = &Rule{
	Name: "host-owner",
	Doc: `what belongs to others is registered and routed by them

The configuration may say which namespaces own a host, or all names below a
domain (ownership). Nobody else registers one of them, nor a pattern that covers
one, in the mesh or outside; nobody else routes one for other namespaces or at an
egress gateway. The answer says whom to ask. A route in one's own namespace for
one's own clients is not restricted.

An entry that stood before may be edited, but not so that it registers more. The
platform's namespaces may register any host.`,
	Severity: Deny,
	For:      Tenants,
	Kinds:    []string{"GRPCRoute", "HTTPRoute", "ServiceEntry", "TCPRoute", "TLSRoute", "VirtualService"},
	Check: Each(
		On(func(p *Pass, se *mesh.ServiceEntry) {
			if p.Reserved {
				return
			}
			old, _ := p.Old.(*mesh.ServiceEntry)
			for i, h := range se.Hosts {
				host := mesh.CanonicalHost(h)
				if p.After.Title(se.Namespace, host) != mesh.Stranger {
					continue
				}
				f := Finding{
					Path:    fmt.Sprintf("spec.hosts[%d]", i),
					Told:    told.F("%s, and namespace %s is none of them", told.Host(host).As(ownedBy(host)), told.Namespace(se.Namespace)),
					ToldFix: told.F("Ask %s for the host.\n", told.Plain(p.After.Contact(se.Namespace, host))),
					About:   claimOf(se),
				}
				if old != nil && claimedBefore(old, se, host) {
					f.Severity = Warn
				}
				p.Report(f)
			}
		}),
		On(func(p *Pass, vs *mesh.VirtualService) {
			if p.Reserved {
				return
			}
			for i, h := range vs.Hosts {
				host := mesh.ResolveHost(h, vs.Namespace, p.After.Settings().ClusterDomain)
				if p.After.Title(vs.Namespace, host) != mesh.Stranger {
					continue
				}
				where := routedForOthers(p, vs)
				if where == "" {
					return
				}
				p.Report(Finding{
					Path:    fmt.Sprintf("spec.hosts[%d]", i),
					Told:    told.F("%s, namespace %s is none of them, and this object routes it %s", told.Host(host).As(ownedBy(host)), told.Namespace(vs.Namespace), told.Plain(where)),
					ToldFix: told.F("Write exportTo: [\".\"] and gateways: [mesh], for the clients of your own namespace, or ask %s.\n", told.Plain(p.After.Contact(vs.Namespace, host))),
				})
			}
		}),
		On(func(p *Pass, r *mesh.Route) {
			if !slices.ContainsFunc(r.ParentRefs, func(parent mesh.ParentRef) bool {
				p.Spend(1)
				return (parent.Kind == "" || parent.Kind == "Gateway") && approved(p.After, cmp.Or(parent.Namespace, r.Namespace), parent.Name)
			}) {
				return
			}
			hosts, path := r.Hostnames, "spec.hostnames[%d]"
			if len(hosts) == 0 {
				hosts, path = []string{"*"}, "spec.parentRefs"
			}
			for i, h := range hosts {
				host := mesh.CanonicalHost(h)
				if p.After.Title(r.Namespace, host) != mesh.Stranger {
					continue
				}
				at := path
				if len(r.Hostnames) > 0 {
					at = fmt.Sprintf(path, i)
				}
				p.Report(Finding{
					Path:    at,
					Told:    told.F("%s, namespace %s is none of them, and this object routes it at an egress gateway", told.Host(host).As(ownedBy(host)), told.Namespace(r.Namespace)),
					ToldFix: told.F("Leave the host out, or ask %s.\n", told.Plain(p.After.Contact(r.Namespace, host))),
				})
			}
		}),
	),
}

func ownedBy(host string) string {
	if mesh.IsWildcard(host) {
		return fmt.Sprintf("%q covers hosts that have owners", host)
	}
	return fmt.Sprintf("host %q has owners", host)
}

// claimOf says what an entry registers of a host: one that registers another
// thing is another claim.
func claimOf(se *mesh.ServiceEntry) string {
	return fmt.Sprint(se.Ports, se.ExportTo, se.Annotations[mesh.ExportAnnotation], se.Resolution, se.Endpoints, se.WorkloadLabels)
}

// claimedBefore reports whether an entry registered as much of a host before
// as it does now.
func claimedBefore(old, se *mesh.ServiceEntry, host string) bool {
	if !slices.ContainsFunc(old.Hosts, func(h string) bool { return mesh.CanonicalHost(h) == host }) {
		return false
	}
	narrower := *se
	narrower.Ports = old.Ports
	return claimOf(&narrower) == claimOf(old) &&
		!slices.ContainsFunc(se.Ports, func(port mesh.ServicePort) bool { return !slices.Contains(old.Ports, port) })
}

// routedForOthers says where a VirtualService routes the traffic of others,
// empty where it does not.
func routedForOthers(p *Pass, vs *mesh.VirtualService) string {
	if exportsBeyond(vs.ExportTo, vs.Namespace) && slices.Contains(vs.Gateways, "mesh") {
		return "for other namespaces too"
	}
	bound := slices.Clone(vs.Gateways)
	for _, d := range p.destinations(vs) {
		if !d.dropped {
			bound = append(bound, d.gateways...)
		}
	}
	if slices.ContainsFunc(bound, func(g string) bool {
		return g != "mesh" && strings.TrimSpace(g) != "" && atEgress(p.After, g, vs.Namespace)
	}) {
		return "at an egress gateway"
	}
	return ""
}
