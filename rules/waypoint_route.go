package rules

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var waypointRoute = &Rule{
	Name: "waypoint-route",
	Doc: `a route at a waypoint does not lead to a host of others

A waypoint takes the routes of those whose hosts it serves: a VirtualService for
such a host, and a route of the Gateway API whose parent is its ServiceEntry. The
AuthorizationPolicies that are asked there are those of the host that was called.
A route that leads from there to a host of another namespace takes its callers
past the policies of that host. A tenant's route may lead to the hosts that its
own namespace registers; one to a host that nobody registers yet is warned about.
A tenant's entry that is bound to a waypoint is judged with the routes that its
namespace has for it.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"V-19"},
	Kinds:    []string{"GRPCRoute", "HTTPRoute", "ServiceEntry", "TCPRoute", "TLSRoute", "VirtualService"},
	Check: Each(
		On(func(p *Pass, vs *mesh.VirtualService) {
			for _, h := range vs.Hosts {
				host := mesh.ResolveHost(h, vs.Namespace, p.After.Settings().ClusterDomain)
				if atWaypoint(p, host) {
					reportDetours(p, host, detoursOf(p, vs))
					return
				}
			}
		}),
		On(func(p *Pass, r *mesh.Route) {
			for i := range r.ParentRefs {
				se := parentEntry(p, r, &r.ParentRefs[i])
				if se != nil && len(se.Hosts) > 0 && p.After.Waypoint(se) != nil {
					reportDetours(p, mesh.CanonicalHost(se.Hosts[0]), detoursOfRoute(p, r))
					return
				}
			}
		}),
		On(func(p *Pass, se *mesh.ServiceEntry) {
			if p.After.Waypoint(se) == nil {
				return
			}
			for _, h := range se.Hosts {
				host := mesh.CanonicalHost(h)
				for _, vs := range p.After.RoutesFor(host) {
					if vs.Namespace == se.Namespace {
						reportBound(p, host, vs.Ref, detoursOf(p, vs))
					}
				}
			}
			for _, kind := range gatewayAPIBackend.Kinds {
				for o := range p.After.In(kind, se.Namespace) {
					r := o.(*mesh.Route)
					if slices.ContainsFunc(r.ParentRefs, func(parent mesh.ParentRef) bool { return parentEntry(p, r, &parent) == se }) {
						reportBound(p, se.Hosts[0], r.Ref, detoursOfRoute(p, r))
					}
				}
			}
		}),
	),
}

// detour is where a route leads that is for a host of its own.
type detour struct {
	path, host string
	registered bool
}

// atWaypoint reports whether a waypoint serves an entry for the canonical host.
func atWaypoint(p *Pass, host string) bool {
	p.Spend(lookupSteps)
	return slices.ContainsFunc(p.After.EntriesFor(host), func(se *mesh.ServiceEntry) bool { return p.After.Waypoint(se) != nil })
}

func parentEntry(p *Pass, r *mesh.Route, parent *mesh.ParentRef) *mesh.ServiceEntry {
	p.Spend(lookupSteps)
	if !parent.IsEntry() {
		return nil
	}
	se, _ := p.After.Get(mesh.Ref{Kind: "ServiceEntry", Namespace: cmp.Or(parent.Namespace, r.Namespace), Name: parent.Name}).(*mesh.ServiceEntry)
	return se
}

// detoursOf are the destinations of what a VirtualService routes in the mesh that
// its namespace does not register.
func detoursOf(p *Pass, vs *mesh.VirtualService) []detour {
	var all []detour
	for _, d := range p.destinations(vs) {
		if d.mesh && !d.dropped {
			all = appendDetour(p, all, d.path, d.Host, vs.Namespace)
		}
	}
	return all
}

func detoursOfRoute(p *Pass, r *mesh.Route) []detour {
	var all []detour
	for i, rule := range r.Rules {
		p.Spend(1 + len(rule.BackendRefs) + len(rule.Mirrors))
		for j, b := range rule.BackendRefs {
			if b.Weight == nil || *b.Weight != 0 {
				all = appendDetour(p, all, fmt.Sprintf("spec.rules[%d].backendRefs[%d]", i, j), backendHost(p, r, b), r.Namespace)
			}
		}
		for _, b := range rule.Mirrors {
			all = appendDetour(p, all, fmt.Sprintf("spec.rules[%d].filters", i), backendHost(p, r, b), r.Namespace)
		}
	}
	return all
}

func appendDetour(p *Pass, all []detour, path, name, namespace string) []detour {
	if name == "" {
		return all
	}
	host, external := externalHost(p.After, name, namespace)
	if !external {
		return all
	}
	entries := p.After.EntriesFor(host)
	if slices.ContainsFunc(entries, func(se *mesh.ServiceEntry) bool { return se.Namespace == namespace }) {
		return all
	}
	return append(all, detour{path, host, len(entries) > 0})
}

func reportDetours(p *Pass, from string, detours []detour) {
	for _, d := range detours {
		f := Finding{
			Path:    d.path,
			Told:    told.F("leads callers of %s at its waypoint to %s, past the policies of that host", told.Host(from), told.Host(d.host)),
			ToldFix: told.F("Lead to a host that namespace %s registers, or let callers use the other host by its own name.\n", told.Namespace(p.Subject.Metadata().Namespace)),
		}
		if !d.registered {
			f.Severity = Warn
			f.Told += ", which nobody registers yet"
		}
		p.Report(f)
	}
}

func reportBound(p *Pass, host string, route mesh.Ref, detours []detour) {
	for _, d := range detours {
		if d.registered {
			p.Report(Finding{
				Path:    "metadata.labels",
				Told:    told.F("is bound to a waypoint, where %s leads callers of %s to %s, past the policies of that host", route, told.Host(host), told.Host(d.host)),
				ToldFix: told.F("Change %s first.\n", route),
			})
			return
		}
	}
}
