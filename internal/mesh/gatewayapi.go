package mesh

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

// Istio turns Gateway API routes that are attached to a ServiceEntry into
// VirtualServices of the mesh, with rules of their own ("gateway semantics"),
// and so does this model (pilot/pkg/config/kube/gateway). Such a value keeps
// the Ref of its route.

// isRoute reports whether the value stands for a Gateway API route.
func (vs *VirtualService) isRoute() bool { return strings.HasSuffix(vs.Kind, "Route") }

// attachedTo returns the VirtualServices that stand for the routes attached to
// the entries of a host and of hosts that share a name with it.
func (m *Mesh) attachedTo(host string) []*VirtualService {
	if m.attached.empty() {
		return nil
	}
	var out []*VirtualService
	for _, se := range distinct(m.entries.overlapping(host)) {
		for _, h := range se.Hosts {
			if h = m.canonical(h); !HostsOverlap(h, host) {
				continue
			}
			for r := range m.attached.under("ServiceEntry" + sep + se.Namespace + sep + se.Name + sep) {
				if m.Bundle(r.Kind).TooOld() {
					continue
				}
				for _, p := range r.ParentRefs {
					m.Spend(1)
					if p.IsEntry() && p.Name == se.Name && orDefault(p.Namespace, r.Namespace) == se.Namespace {
						out = append(out, m.routeVirtual(r, h, p.Port))
					}
				}
			}
		}
	}
	return out
}

// IsEntry reports whether a parent is a ServiceEntry: a kind without Istio's
// group is nothing to Istio, and the route is attached to nothing.
func (p *ParentRef) IsEntry() bool { return p.Kind == "ServiceEntry" && p.Group == groupIstio }

// joins reports whether two routes become one VirtualService: Istio merges
// those of one kind and namespace for one host.
func (vs *VirtualService) joins(other *VirtualService) bool {
	return vs.isRoute() && vs.Kind == other.Kind && vs.Namespace == other.Namespace
}

// routeVirtual is the VirtualService that Istio makes of one route for one
// host of its parent. A zero port stands for every port.
func (m *Mesh) routeVirtual(r *Route, host string, port int) *VirtualService {
	vs := &VirtualService{Meta: r.Meta, Hosts: []string{host}, Gateways: meshOnly}
	for i := range r.Rules {
		rule := &r.Rules[i]
		m.Spend(8 + 4*(len(rule.BackendRefs)+len(rule.Mirrors)))
		routes := m.backends(r, rule.BackendRefs)
		switch r.Kind {
		case "TLSRoute":
			match := TLSMatch{Port: port, SNIHosts: r.Hostnames}
			if len(match.SNIHosts) == 0 {
				match.SNIHosts = []string{host}
			}
			vs.TLS = append(vs.TLS, TLSRoute{Match: []TLSMatch{match}, Route: routes})
		case "TCPRoute":
			t := TCPRoute{Route: routes}
			if port != 0 {
				t.Match = []TCPMatch{{Port: port}}
			}
			vs.TCP = append(vs.TCP, t)
		default:
			h := HTTPRoute{Route: routes}
			if port != 0 || rule.HasMatches {
				match := HTTPMatch{Port: port}
				if rule.HasMatches {
					match.URI = &StringMatch{} // some condition on the request
				}
				h.Match = []HTTPMatch{match}
			}
			for _, b := range m.backends(r, rule.Mirrors) {
				h.Mirrors = append(h.Mirrors, HTTPMirror{Destination: &b.Destination})
			}
			vs.HTTP = append(vs.HTTP, h)
		}
	}
	return vs
}

// unknownService is the destination that Istio gives a route for a backend of a
// kind that is none.
const unknownService = "UnknownService"

// backends are the destinations of a rule (buildDestination).
func (m *Mesh) backends(r *Route, refs []BackendRef) []RouteDestination {
	out := make([]RouteDestination, 0, len(refs))
	for _, b := range refs {
		d := RouteDestination{Weight: 1, Destination: Destination{Port: &PortSelector{Number: b.Port}}}
		if b.Weight != nil {
			d.Weight = *b.Weight
		}
		switch {
		case b.Group == groupIstio && b.Kind == "Hostname":
			d.Destination.Host = b.Name
		case b.isXBackend():
			d.Destination.Host = unknownService
			if x := m.Backend(r, b); x != nil && x.ExternalHostname.Hostname != "" && m.settings.anyIstio(backendSince) {
				d.Destination = Destination{Host: x.ExternalHostname.Hostname, Port: &PortSelector{Number: x.Port.Port}}
			}
		case b.Group == "" && (b.Kind == "" || b.Kind == "Service"):
			d.Destination.Host = m.ServiceHost(orDefault(b.Namespace, r.Namespace), b.Name)
		default:
			d.Destination.Host = unknownService
		}
		out = append(out, d)
	}
	return out
}

// rulePath is the JSON path of a rule of one section.
func (vs *VirtualService) rulePath(section string, i int) string {
	if vs.isRoute() {
		return indexed("spec.rules", i)
	}
	return indexed("spec."+section, i)
}

// destinationPath is the path of a destination within a rule.
func (vs *VirtualService) destinationPath(j int) string {
	if vs.isRoute() {
		return indexed(".backendRefs", j)
	}
	return indexed(".route", j) + ".destination"
}

// deployed returns the Gateway API Gateway that Istio deployed an approved
// gateway for: its Service is called after it. It is nil where there is none.
func (m *Mesh) deployed(g *EgressGateway) *K8sGateway {
	name, ok := strings.CutSuffix(g.Service, "-istio")
	if !ok {
		return nil
	}
	k, _ := m.read(Ref{Kind: "K8sGateway", Namespace: g.Namespace, Name: name}).(*K8sGateway)
	if k == nil || m.settings.isWaypoint(k) {
		return nil
	}
	return k
}

// enterListener is for gateways of the Gateway API: a listener of the port
// takes the traffic, and a route attached to the Gateway leads it out.
func (d *door) enterListener(k *K8sGateway) outcome {
	name, kinds := d.a.authority, []string{"HTTPRoute", "GRPCRoute"}
	if d.a.class != HTTPLike {
		name, kinds = d.a.host, []string{"TLSRoute", "TCPRoute"}
	}
	at := Reason{Ref: k.Ref, Path: "spec.listeners"}
	d.m.Spend(len(k.Listeners))
	i := slices.IndexFunc(k.Listeners, func(l K8sListener) bool {
		return l.Port == d.a.port && (l.Hostname == "" || HostCovers(CanonicalHost(l.Hostname), name)) && l.takes(d.a.class)
	})
	if i < 0 {
		return d.fail(at, "no listener on port %d takes %s", d.a.port, told.Host(name))
	}
	if d.a.encrypted() {
		return d.fail(d.a.setBy.reason(), "the client's proxy speaks TLS of its own, which the listener does not expect")
	}
	for _, r := range d.routesOf(k, name) {
		if !slices.Contains(kinds, r.Kind) || d.m.Bundle(r.Kind).TooOld() {
			continue
		}
		vs := d.m.routeVirtual(r, name, 0)
		var outcomes []outcome
		for j := range r.Rules {
			for n, b := range d.m.backends(r, r.Rules[j].BackendRefs) {
				if b.Weight == 0 {
					continue
				}
				t := traffic{class: d.a.class, host: d.a.host, authority: d.a.authority, port: b.Destination.Port.Number}
				reason := Reason{Ref: r.Ref, Path: vs.rulePath("", j) + vs.destinationPath(n)}
				outcomes = append(outcomes, d.client.follow(importAll, t, CanonicalHost(b.Destination.Host), "", reason))
			}
		}
		if o, ok := worst(outcomes); ok {
			return o
		}
	}
	at.Path = indexed(at.Path, i)
	return d.fail(at, "no route attached to the Gateway takes %s", told.Host(name))
}

func (l K8sListener) takes(class Class) bool {
	switch class {
	case HTTPLike:
		return l.Protocol == "HTTP"
	case TLSLike:
		return l.Protocol == "TLS" && l.TLSMode == "Passthrough" || l.Protocol == "TCP"
	default:
		return l.Protocol == "TCP"
	}
}

// routesOf returns the routes attached to a Gateway that take a name: those
// that list it, those with a wildcard over it, and those for every name.
func (d *door) routesOf(k *K8sGateway, name string) []*Route {
	parent := "Gateway" + sep + k.Namespace + sep + k.Name + sep
	names := []string{reversed(name)}
	for i := range name {
		if name[i] == '.' {
			names = append(names, reversed("*"+name[i:]))
		}
	}
	var out []*Route
	for _, n := range append(names, "") {
		out = slices.AppendSeq(out, d.m.attached.under(parent+n+sep))
	}
	return out
}
