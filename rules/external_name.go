package rules

import (
	"cmp"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var externalName = &Rule{
	Name: "external-name",
	Doc: `external hosts are registered, not aliased

A Service of type ExternalName gives an external host a name in the cluster.
Sidecars treat it as an alias of the host where a ServiceEntry knows it, and its
traffic then takes the host's route; a client without sidecar just follows the
DNS name. A VirtualService that routes to it is judged by the host it stands
for. Where a route or an endpoint leads to the Service already, it would go
straight to that host: then the Service is denied, and the platform's warned about.`,
	Severity: Warn,
	Rows:     []string{"K-9", "V-16"},
	Kinds:    []string{"Service"},
	Check: On(func(p *Pass, svc *mesh.Service) {
		if svc.Type != "ExternalName" {
			return
		}
		host, external := externalHost(p.After, svc.ExternalName, svc.Namespace)
		if !external {
			return
		}
		f := Finding{
			Path:    "spec.externalName",
			Told:    told.F("is an alias in the cluster for external host %q", told.Host(host)),
			ToldFix: "Register the host with a ServiceEntry, and call it by its own name.\n",
		}
		switch ref, ok := leadsTo(p, svc); {
		case ok:
			f.Told += told.F(", to which %s leads mesh traffic", ref)
			if !p.Platform() {
				f.Severity = Deny
			}
		case p.Platform():
			return
		}
		p.Report(f)
	}),
}

// leadsTo returns an object that sends the traffic of sidecars to the Service:
// a VirtualService, a route of the Gateway API, or an entry with the Service for
// an endpoint. The latter two are looked for one by one: few writes are of an
// ExternalName.
func leadsTo(p *Pass, svc *mesh.Service) (mesh.Ref, bool) {
	domain := p.After.Settings().ClusterDomain
	// The Service, and those that stand for it.
	names := []string{p.After.ServiceHost(svc.Namespace, svc.Name)}
	for i := 0; i < len(names) && len(names) < 8; i++ {
		for alias := range p.After.AliasesOf(names[i]) {
			names = append(names, p.After.ServiceHost(alias.Namespace, alias.Name))
		}
	}
	for _, name := range names {
		for vs := range p.After.LeadingTo(name) {
			if slices.Contains(vs.Gateways, "mesh") || len(relaysOf(p, vs)) > 0 {
				return vs.Ref, true
			}
		}
	}
	is := func(host, namespace string) bool {
		host = mesh.ResolveHost(host, namespace, domain)
		return slices.Contains(names, host) || slices.Contains(names, host+"."+domain)
	}
	for _, kind := range gatewayAPIBackend.Kinds {
		for o := range p.After.All(kind) {
			r := o.(*mesh.Route)
			if parent, severity := relayParent(p, r); !followedBySidecars(r) && (parent == "" || severity != Deny) {
				continue
			}
			for _, b := range backendsOf(r) {
				switch {
				case b.Group == "" && (b.Kind == "" || b.Kind == "Service"):
					if is(b.Name+"."+cmp.Or(b.Namespace, r.Namespace)+".svc", r.Namespace) {
						return r.Ref, true
					}
				case b.Kind == "Hostname" && is(b.Name, r.Namespace):
					return r.Ref, true
				}
			}
		}
	}
	for o := range p.After.All("ServiceEntry") {
		se := o.(*mesh.ServiceEntry)
		if slices.ContainsFunc(se.Endpoints, func(e mesh.Endpoint) bool { return is(e.Address, se.Namespace) }) {
			return se.Ref, true
		}
	}
	for o := range p.After.All("WorkloadEntry") {
		if we := o.(*mesh.WorkloadEntry); is(we.Address, we.Namespace) {
			return we.Ref, true
		}
	}
	return mesh.Ref{}, false
}

// backendsOf are the backends of a route, mirrors included.
func backendsOf(r *mesh.Route) []mesh.BackendRef {
	var all []mesh.BackendRef
	for _, rule := range r.Rules {
		all = append(append(all, rule.BackendRefs...), rule.Mirrors...)
	}
	return all
}
