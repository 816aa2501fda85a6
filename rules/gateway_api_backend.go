package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var gatewayAPIBackend = &Rule{
	Name: "gateway-api-backend",
	Doc: `a route of the Gateway API names the gateway, never the host

A route whose parent is a ServiceEntry or a Service is followed by sidecars, and
one in the client's own namespace is preferred to the platform's. A backend of
kind Hostname, or one that is a ServiceEntry, then sends traffic straight out; since
Istio 1.32 so does an XBackend, whose host needs no entry.
Mirrors count as well. Where Istio does not follow the route (other routes win,
or it is for another protocol), it is warned about.`,
	Severity: Deny,
	Rows:     []string{"V-24", "V-10", "V-27"},
	Kinds:    []string{"GRPCRoute", "HTTPRoute", "TCPRoute", "TLSRoute", "XBackend"},
	Check: Each(On(func(p *Pass, r *mesh.Route) {
		if !followedBySidecars(r) {
			return
		}
		for i, rule := range r.Rules {
			for j, b := range rule.BackendRefs {
				if b.Weight != nil && *b.Weight == 0 {
					continue
				}
				reportBackend(p, r, fmt.Sprintf("spec.rules[%d].backendRefs[%d]", i, j), "routes", b)
			}
			for _, b := range rule.Mirrors {
				reportBackend(p, r, fmt.Sprintf("spec.rules[%d].filters", i), "mirrors", b)
			}
		}
	}), On(reportXBackend)),
}

// reportXBackend is about an XBackend that a route leads to already.
func reportXBackend(p *Pass, x *mesh.XBackend) {
	if x.ExternalHostname.Hostname == "" {
		return
	}
	for r := range p.After.RoutesTo(x) {
		if !followedBySidecars(r) {
			continue
		}
		p.Report(Finding{
			Path: "spec.externalHostname.hostname", Severity: atBackend(p),
			Told:    told.F("%s leads mesh traffic here, and so straight to %s, past the egress gateway", r.Ref, told.Host(x.ExternalHostname.Hostname)),
			ToldFix: namesGateway,
		})
		return
	}
}

// namesGateway is what mends a backend.
const namesGateway = "Name the egress gateway's Service as the backend, and route from the gateway to the host by a second route whose parent is the gateway.\n"

// atBackend is how grave it is that a route leads to an XBackend: an Istio that
// does not know the kind has the route fail, until it is a later one.
func atBackend(p *Pass) Severity {
	if !p.After.FollowsBackends() {
		return Warn
	}
	return Deny
}

// backendHost is the host that a backend of a route stands for; empty for one
// that is none to sidecars.
func backendHost(p *Pass, r *mesh.Route, b mesh.BackendRef) string {
	namespace := b.Namespace
	if namespace == "" {
		namespace = r.Namespace
	}
	switch {
	case b.Group == "networking.istio.io" && b.Kind == "Hostname":
		return b.Name
	case b.Group == "networking.istio.io" && b.Kind == "ServiceEntry":
		if se, ok := p.After.Get(mesh.Ref{Kind: "ServiceEntry", Namespace: namespace, Name: b.Name}).(*mesh.ServiceEntry); ok && len(se.Hosts) > 0 {
			return se.Hosts[0]
		}
	case b.Group == "" && (b.Kind == "" || b.Kind == "Service"):
		return p.After.ServiceHost(namespace, b.Name)
	}
	if x := p.After.Backend(r, b); x != nil {
		return x.ExternalHostname.Hostname
	}
	return ""
}

func reportBackend(p *Pass, r *mesh.Route, path, verb string, b mesh.BackendRef) {
	name := backendHost(p, r, b)
	if name == "" {
		return
	}
	host, external := externalHost(p.After, name, r.Namespace)
	described := p.After.Backend(r, b) != nil
	if !external && !described {
		return
	}
	f := Finding{
		Path:  path,
		Told:  told.F("%s mesh traffic straight to %s, past the egress gateway", told.Plain(verb), told.Host(host)),
		Words: "Name the egress gateway's Service as the backend here, and route from the gateway to the host by a second route whose parent is the gateway.\n",
	}
	f.ToldFix = p.pruned(r.Ref, f.Words, path)
	if described {
		f.Told += "; an XBackend needs no entry"
		f.Severity = atBackend(p)
	} else if idleRoute(p, r) {
		f.Severity = Warn
		f.Told += ": no traffic takes that route today"
	}
	p.Report(f)
}

// idleRoute reports whether the model has followed every host of the route's
// parents, with their entries open, and found that the route opens no path.
// One that a companion keeps from doing so is in wait, as with [idle].
func idleRoute(p *Pass, r *mesh.Route) bool {
	for _, parent := range r.ParentRefs {
		namespace := parent.Namespace
		if namespace == "" {
			namespace = r.Namespace
		}
		se, ok := p.After.Get(mesh.Ref{Kind: "ServiceEntry", Namespace: namespace, Name: parent.Name}).(*mesh.ServiceEntry)
		if !ok || len(se.Hosts) == 0 {
			return false // the entry may be the next object of the same apply
		}
		for _, h := range se.Hosts {
			host := mesh.CanonicalHost(h)
			judged := slices.ContainsFunc(p.Paths, func(path mesh.Path) bool { return mesh.HostsOverlap(host, path.Host) })
			if !judged || managedRoute(p, r.Namespace, host) {
				return false
			}
		}
	}
	return !opens(p, r.Ref)
}

// followedBySidecars reports whether a parent of the route is a Service or a
// ServiceEntry, rather than a gateway.
func followedBySidecars(r *mesh.Route) bool {
	for _, parent := range r.ParentRefs {
		if parent.IsEntry() || parent.Kind == "Service" || parent.Kind == "Hostname" {
			return true
		}
	}
	return false
}
