package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var ingressRelay = &Rule{
	Name: "ingress-relay",
	Doc: `only egress gateways lead out of the mesh

Any other gateway that sends traffic to an external host is a way out past the
egress gateway: pod to gateway, gateway to the Internet, with no sidecar's route
asked. That is denied to tenants, whichever object comes last: a VirtualService,
or the delegate of one, bound to a Gateway that does not select an egress gateway;
such a Gateway, where a VirtualService bound to it leads out already; an entry whose
host one of its namespace leads to; a route of the Gateway API whose parent is a
Gateway, or a ListenerSet, outside the platform's namespaces, and one with any other
parent that is no egress gateway is warned about; an Ingress whose backend is an
ExternalName Service. The platform is warned: whether its gateway takes traffic from
inside no object tells.`,
	Severity: Deny,
	Remedy:   "Send it to the egress gateway's Service from there, or ask the platform team to keep the route in one of its own namespaces.",
	Rows:     []string{"V-18", "V-24", "V-25", "W-3"},
	Kinds:    []string{"GRPCRoute", "Gateway", "HTTPRoute", "Ingress", "ServiceEntry", "TCPRoute", "TLSRoute", "VirtualService"},
	Check: Each(
		On(func(p *Pass, vs *mesh.VirtualService) {
			relays := relaysOf(p, vs)
			var taken []string
			for _, r := range relays {
				taken = append(taken, destination{path: r.path}.route())
			}
			for _, r := range relays {
				p.Report(Finding{
					Path: r.path, Severity: p.WarnInPlatform(),
					Told:    told.F("lets %s, which is not an egress gateway, send traffic to external host %q", r.gateway, told.Host(r.host)),
					ToldFix: p.pruned(vs.Ref, byEgress, taken...), Words: byEgress,
				})
			}
		}),
		On(func(p *Pass, gw *mesh.Gateway) {
			if selectsEgress(p.After, gw.Selector) != nil {
				return
			}
			var last *mesh.VirtualService
			for vs := range p.After.BoundTo(gw.Ref) {
				p.Spend(1)
				if vs == last {
					continue
				}
				last = vs
				for _, r := range relaysOf(p, vs) {
					if r.gateway == gw.Ref {
						who := told.Text("a VirtualService of another namespace")
						if vs.Namespace == gw.Namespace {
							who = vs.Tell().Text()
						}
						p.Report(Finding{
							Path: "spec.selector", Severity: p.WarnInPlatform(), About: r.host,
							Told: told.F("makes a way out of a gateway that is not an egress gateway: %s, which is bound to it, sends traffic to an external host", who),
						})
						break
					}
				}
			}
		}),
		On(func(p *Pass, se *mesh.ServiceEntry) {
			if p.Platform() || !p.After.HasPoints(se) {
				return
			}
			for i, h := range se.Hosts {
				for vs := range p.After.LeadingTo(mesh.CanonicalHost(h)) {
					p.Spend(1)
					if vs.Namespace != se.Namespace {
						continue // whose fault it is not
					}
					if relays := relaysOf(p, vs); len(relays) > 0 {
						p.Report(Finding{
							Path: fmt.Sprintf("spec.hosts[%d]", i),
							Told: told.F("%s leads to the host at %s, which is not an egress gateway", vs.Ref, relays[0].gateway),
						})
						break
					}
				}
			}
		}),
		On(func(p *Pass, r *mesh.Route) {
			parent, severity := relayParent(p, r)
			if parent == "" {
				return
			}
			report := func(path, verb string, b mesh.BackendRef) {
				name := backendHost(p, r, b)
				if name == "" {
					return
				}
				if host, external := externalHost(p.After, name, r.Namespace); external {
					p.Report(Finding{Path: path, Severity: severity, Told: told.F("lets %s, which is not an egress gateway, %s traffic to external host %q", told.Plain(parent), told.Plain(verb), told.Host(host))})
				}
			}
			for i, rule := range r.Rules {
				for j, b := range rule.BackendRefs {
					if b.Weight == nil || *b.Weight != 0 {
						report(fmt.Sprintf("spec.rules[%d].backendRefs[%d]", i, j), "send", b)
					}
				}
				for _, b := range rule.Mirrors {
					report(fmt.Sprintf("spec.rules[%d].filters", i), "mirror", b)
				}
			}
		}),
		On(func(p *Pass, o *mesh.Other) {
			if o.Kind != "Ingress" {
				return
			}
			for path, name := range backends(p) {
				p.Spend(lookupSteps)
				svc, _ := p.After.Get(mesh.Ref{Kind: "Service", Namespace: o.Namespace, Name: name}).(*mesh.Service)
				if svc == nil || svc.Type != "ExternalName" {
					continue
				}
				if host, external := externalHost(p.After, svc.ExternalName, o.Namespace); external {
					p.Report(Finding{
						Path: path, Severity: p.WarnInPlatform(),
						Told: told.F("backend %q is an ExternalName Service for %q: the ingress gateway becomes a way out", name, told.Host(host)),
					})
				}
			}
		}),
	),
}

// byEgress is the rule's remedy.
const byEgress told.Text = "Send it to the egress gateway's Service from there, or ask the platform team to keep the route in one of its own namespaces.\n"

// relay is a way from a gateway that is no egress gateway to an external host.
type relay struct {
	path    string // in the VirtualService
	gateway mesh.Ref
	host    string
}

// relaysOf are the ways out that a VirtualService opens at other gateways than
// egress gateways: by its own rules, by those of the VirtualServices that it
// delegates to, and by the rules that others delegate to it.
func relaysOf(p *Pass, vs *mesh.VirtualService) []relay {
	var all []relay
	add := func(path string, d destination, gateways []string, namespace, at string) {
		p.Spend(1 + len(gateways))
		if d.dropped || len(gateways) == 0 {
			return
		}
		host, external := externalHost(p.After, d.Host, namespace)
		if !external {
			return
		}
		for _, name := range gateways {
			if gw := boundGateway(p.After, name, at); gw != nil && selectsEgress(p.After, gw.Selector) == nil {
				all = append(all, relay{path, gw.Ref, host})
			}
		}
	}
	for _, d := range p.destinations(vs) {
		if len(vs.Hosts) > 0 {
			add(d.path, d, d.gateways, vs.Namespace, vs.Namespace)
			continue
		}
		for root := range p.After.Roots(vs) { // a delegate has no gateways of its own
			add(d.path, d, root.Gateways, vs.Namespace, root.Namespace)
		}
	}
	for i, r := range vs.HTTP {
		if r.Delegate == nil || len(vs.Hosts) == 0 {
			continue
		}
		scope := scopeOf(p.After, vs, matchGateways(r.Match, func(m mesh.HTTPMatch) []string { return m.Gateways }))
		leaf, _ := p.After.Get(mesh.Ref{Kind: "VirtualService", Namespace: cmp.Or(r.Delegate.Namespace, vs.Namespace), Name: r.Delegate.Name}).(*mesh.VirtualService)
		if leaf == nil {
			continue
		}
		for _, d := range p.destinations(leaf) {
			add(fmt.Sprintf("spec.http[%d].delegate", i), d, scope.gateways, leaf.Namespace, vs.Namespace)
		}
	}
	return all
}

// relayParent is a parent of the route that is a gateway, and not an egress
// gateway, and how grave it is that the route leads out there; empty where there
// is none.
func relayParent(p *Pass, r *mesh.Route) (parent string, severity Severity) {
	for _, ref := range r.ParentRefs {
		if ref.IsEntry() || ref.Kind == "ServiceEntry" || ref.Kind == "Service" || ref.Kind == "Hostname" {
			continue
		}
		kind, namespace := cmp.Or(ref.Kind, "Gateway"), cmp.Or(ref.Namespace, r.Namespace)
		at := fmt.Sprintf("%s %s/%s", kind, namespace, ref.Name)
		gateway, _ := p.After.Get(mesh.Ref{Kind: "K8sGateway", Namespace: namespace, Name: ref.Name}).(*mesh.K8sGateway)
		switch {
		case kind == "Gateway" && approved(p.After, namespace, ref.Name):
		case !p.After.Settings().Platform(namespace):
			return at, p.WarnInPlatform() // of the route, whoever has the gateway
		case kind == "Gateway" && gateway != nil:
			parent, severity = at, Warn
		}
	}
	return parent, severity
}

// approved reports whether the proxies that Istio deploys for a Gateway of the
// Gateway API are an approved egress gateway: its Service is called after it.
func approved(m *mesh.Mesh, namespace, name string) bool {
	return slices.ContainsFunc(m.Settings().Gateways, func(g mesh.EgressGateway) bool {
		return g.Namespace == namespace && g.Service == name+"-istio"
	})
}

// backends returns the Services that an Ingress sends traffic to, by JSON
// path.
func backends(p *Pass) map[string]string {
	type backend struct {
		Service *struct {
			Name string `json:"name"`
		} `json:"service"`
	}
	var ingress struct {
		Spec struct {
			DefaultBackend *backend `json:"defaultBackend"`
			Rules          []struct {
				HTTP *struct {
					Paths []struct {
						Backend backend `json:"backend"`
					} `json:"paths"`
				} `json:"http"`
			} `json:"rules"`
		} `json:"spec"`
	}
	p.Spend(len(p.Raw) / bytesPerStep)
	if json.Unmarshal(p.Raw, &ingress) != nil {
		return nil // the API server would not have let it through
	}
	found := map[string]string{}
	if b := ingress.Spec.DefaultBackend; b != nil && b.Service != nil {
		found["spec.defaultBackend.service.name"] = b.Service.Name
	}
	for i, r := range ingress.Spec.Rules {
		if r.HTTP != nil {
			p.Spend(lookupSteps * len(r.HTTP.Paths))
		}
		if r.HTTP == nil {
			continue
		}
		for j, path := range r.HTTP.Paths {
			if path.Backend.Service != nil {
				found[fmt.Sprintf("spec.rules[%d].http.paths[%d].backend.service.name", i, j)] = path.Backend.Service.Name
			}
		}
	}
	return found
}
