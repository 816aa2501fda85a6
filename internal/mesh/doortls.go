package mesh

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

// enterTLS is for traffic in the client proxy's own TLS: the server is found
// by the name that the proxy sends.
func (d *door) enterTLS() outcome {
	sni := d.a.sni()
	if sni == "" {
		return d.fail(d.a.setBy.reason().at(".sni"), "the proxy sends the name of a cluster as SNI, which no server of the gateway expects")
	}
	h, ok := d.serverFor(sni)
	if !ok {
		return d.fail(d.a.setBy.reason().at(".sni"), "gateway %s has no TLS server for %s on port %d", told.Plain(d.a.gateway.Name), told.Host(sni), d.a.port)
	}
	s := h.server()
	if problem := d.shadowed(h); problem != nil {
		return *problem
	}
	if want := s.TLS.Mode; s.passthrough() {
		return d.fail(h.reason(".tls.mode"), "the server passes TLS through, but the client's proxy speaks %s to the gateway itself", keyword(d.a.tls.Mode))
	} else if (want == "ISTIO_MUTUAL") != (d.a.tls.Mode == "ISTIO_MUTUAL") {
		return d.fail(h.reason(".tls.mode"), "the server's mode is %s, but the client's proxy speaks %s", keyword(want), keyword(d.a.tls.Mode))
	}
	if !s.routesHTTP() {
		return d.routeTCP(h)
	}
	if d.a.class != HTTPLike {
		return d.fail(h.reason(".port.protocol"), "the server expects HTTP inside, but the traffic is not HTTP")
	}
	return d.routeHTTP([]hostedServer{h})
}

// at extends the path of a reason.
func (r Reason) at(field string) Reason {
	if r.Path != "" {
		r.Path += field
	}
	return r
}

// serverFor returns the TLS server for a name: the one that lists it, else the
// one with the most specific wildcard.
func (d *door) serverFor(sni string) (hostedServer, bool) {
	if h, ok := d.oldestTLS(sni); ok {
		return h, true
	}
	for p := range d.m.servers.patterns(sni) {
		if h, ok := d.oldestTLS(p); ok {
			return h, true
		}
	}
	return hostedServer{}, false
}

// oldestTLS returns the oldest TLS server that lists a host, of those that
// make a filter chain if any does.
func (d *door) oldestTLS(host string) (hostedServer, bool) {
	var found hostedServer
	for _, p := range d.ports {
		for h := range d.m.serversFor(d.index, p, host) {
			d.m.Spend(hostSteps)
			switch s := h.server(); {
			case s.plain() || s.Bind != "":
			// Whether a server makes a chain matters only beside another one.
			case found.gateway == nil || d.goesBefore(h, found, host):
				found = h
			}
		}
	}
	return found, found.gateway != nil
}

// goesBefore reports whether a server, and not another one, serves a host that
// both list.
func (d *door) goesBefore(h, other hostedServer, host string) bool {
	if a, b := d.hasChain(h, host), d.hasChain(other, host); a != b {
		return a
	}
	return older(h, other)
}

// maxServerHosts bounds how many hosts of one server are looked up in others.
const maxServerHosts = 128

// shadowed explains why a TLS server is not served: an older one on the port
// lists one of its hosts, or expects plain text. Two that list the same host
// under different namespaces ("a/host", "host") can give Envoy the same match
// twice, which it refuses.
func (d *door) shadowed(h hostedServer) *outcome {
	if plain, ok := d.first(true); ok && d.plainOpen(plain) {
		o := d.fail(plain.reason(".port"), "this server is older and expects plain text on the port, so %s is not served", h.gateway.Ref)
		return &o
	}
	hosts := h.server().Hosts
	if len(hosts) > maxServerHosts {
		hosts = hosts[:maxServerHosts]
	}
	for _, entry := range hosts {
		d.m.Spend(lookupSteps)
		_, host := serverHost(entry, h.gateway.Namespace)
		for _, p := range d.ports {
			for other := range d.m.serversFor(d.index, p, host) {
				d.m.Spend(1 + len(h.server().Hosts) + len(other.server().Hosts))
				if other == h || other.server().plain() || other.server().Bind != "" {
					continue
				}
				if sameEntry(other, h, host) && older(other, h) || !sameEntry(other, h, host) && d.collides(other, h, host) {
					o := d.fail(other.reason(".hosts"), "another server on the port lists %s, which collides with %s", told.Host(host), h.gateway.Ref)
					return &o
				}
			}
		}
	}
	return nil
}

// collides reports whether another server makes a filter chain for the very
// name. Those of two passthrough servers are told apart by their routes.
func (d *door) collides(other, h hostedServer, host string) bool {
	return !(other.server().passthrough() && h.server().passthrough()) && d.hasChain(other, host)
}

// hasChain reports whether a TLS server makes a filter chain for a name. Those
// that end HTTPS always do, others only with a rule that leads on
// (createGatewayTCPFilterChainOpts).
func (d *door) hasChain(h hostedServer, name string) bool {
	s := h.server()
	if !s.passthrough() {
		return s.routesHTTP() || d.tcpRule(h) != nil
	}
	for vs := range d.m.snis.exactly(name) {
		if len(d.visible([]*VirtualService{vs}, h.name())) == 0 {
			continue
		}
		for i := range vs.TLS {
			d.m.Spend(1)
			if d.takes(&vs.TLS[i], vs, h, name) {
				return true
			}
		}
	}
	return false
}

// sameEntry reports whether both servers list a host in the same form.
func sameEntry(a, b hostedServer, host string) bool {
	form := func(h hostedServer) string {
		for _, entry := range h.server().Hosts {
			if from, name := serverHost(entry, h.gateway.Namespace); name == host {
				return from
			}
		}
		return ""
	}
	return form(a) == form(b)
}

// enterPassthrough is for the application's own TLS: the chain is found by the
// SNI of the tls rules of whatever VirtualServices are bound to a passthrough
// server on the port, also such as name other hosts
// (buildGatewayNetworkFiltersFromTLSRoutes).
func (d *door) enterPassthrough() outcome {
	name := d.a.host
	if o, ok := d.passChain(name, d.m.snis.exactly(name)); ok {
		return o
	}
	for p := range d.m.snis.patterns(name) {
		if o, ok := d.passChain(p, d.m.snis.exactly(p)); ok {
			return o
		}
	}
	if h, ok := d.serverFor(name); ok {
		if !h.server().passthrough() {
			return d.fail(h.reason(".tls.mode"), "the server ends TLS of mode %s, which the application's own TLS to %s is not", keyword(h.server().TLS.Mode), told.Host(name))
		}
		if problem := d.shadowed(h); problem != nil {
			return *problem
		}
		return d.fail(h.reason(".hosts"), "no tls rule of a VirtualService bound to %s takes SNI %s", h.gateway.Tell().As(h.name()), told.Host(name))
	}
	return d.fail(d.none(), "gateway %s has no passthrough server for %s on port %d", told.Plain(d.a.gateway.Name), told.Host(name), d.a.port)
}

// passChain follows the tls rule that takes a name, among VirtualServices with
// rules for it: the oldest Gateway's first, then in the order of its
// VirtualServices. Once a name is taken, later rules with it are dropped.
func (d *door) passChain(name string, candidates func(func(*VirtualService) bool)) (outcome, bool) {
	var best hostedServer
	var rule *TLSRoute
	var owner *VirtualService
	path := ""
	found := distinct(slices.Collect(candidates))
	for _, vs := range found {
		for _, g := range vs.Gateways {
			d.m.Spend(lookupSteps)
			gw, ok := d.gateway(gatewayRef(g, vs.Namespace))
			if !ok || best.gateway != nil && compareAge(&best.gateway.Meta, &gw.Meta) < 0 {
				continue
			}
			for n := range gw.Servers {
				d.m.Spend(hostSteps)
				h := hostedServer{gw, n}
				if s := h.server(); s.TLS == nil || s.TLS.Mode != "PASSTHROUGH" || s.plain() || s.Bind != "" || !slices.Contains(d.ports, s.Port.Number) || d.shadowed(h) != nil {
					continue
				}
				if !slices.Contains(d.visible([]*VirtualService{vs}, h.name()), vs) || !d.allows(h, vs) {
					continue
				}
				d.m.Spend(len(vs.TLS))
				i := slices.IndexFunc(vs.TLS, func(r TLSRoute) bool { return d.takes(&r, vs, h, name) })
				if i < 0 || best.gateway == gw && !d.precedes(vs, owner) {
					continue
				}
				best, rule, owner, path = h, &vs.TLS[i], vs, indexed("spec.tls", i)
			}
		}
	}
	if rule == nil {
		return outcome{}, false
	}
	return d.l4(rule.Route, owner, path, best.server().Port.Number), true
}

// precedes reports whether the gateway's proxy considers a before b.
func (d *door) precedes(a, b *VirtualService) bool {
	va, vb := d.m.routeVisibility(a, d.client.namespace), d.m.routeVisibility(b, d.client.namespace)
	if va != vb {
		return va < vb
	}
	return compareAge(&a.Meta, &b.Meta) < 0
}

// takes reports whether a tls rule adds a chain for exactly this name.
func (d *door) takes(r *TLSRoute, vs *VirtualService, h hostedServer, name string) bool {
	if len(r.Route) == 0 {
		return false
	}
	return slices.ContainsFunc(r.Match, func(match TLSMatch) bool {
		d.m.Spend(matchSteps + len(match.Gateways) + len(match.SNIHosts))
		return d.matchesServer(match.Port, match.Gateways, vs, h) &&
			slices.ContainsFunc(match.SNIHosts, func(s string) bool { return CanonicalHost(s) == name })
	})
}

// gateway returns the Gateway of that name, if it is on this gateway's pods.
func (d *door) gateway(name string) (*Gateway, bool) {
	namespace, name, _ := strings.Cut(name, "/")
	gw, ok := d.m.read(Ref{Kind: "Gateway", Namespace: namespace, Name: name}).(*Gateway)
	return gw, ok && d.a.gateway.SelectedBy(gw.Selector)
}

// routeTCP follows the first tcp rule of the first VirtualService of a server
// that has one for its port: tcp rules cannot see hosts
// (buildGatewayNetworkFiltersFromTCPRoutes).
func (d *door) routeTCP(h hostedServer) outcome {
	r := d.tcpRule(h)
	if r == nil {
		return d.fail(h.reason(""), "no tcp rule of a VirtualService is bound to this server, so gateway %s does not serve it", told.Plain(d.a.gateway.Name))
	}
	return d.l4(r.Route, r.owner, r.path, h.server().Port.Number)
}

// tcpRule is a tcp rule and where it stands.
type tcpRule struct {
	*TCPRoute
	owner *VirtualService
	path  string
}

// tcpRule returns the tcp rule in force for a server, or nil.
func (d *door) tcpRule(h hostedServer) *tcpRule {
	for _, vs := range d.bound(h) {
		for i := range vs.TCP {
			rule := &vs.TCP[i]
			if len(rule.Route) == 0 {
				continue
			}
			matched := len(rule.Match) == 0
			d.m.Spend(1)
			for j := range rule.Match {
				d.m.Spend(matchSteps + len(rule.Match[j].Gateways))
				matched = matched || d.matchesServer(rule.Match[j].Port, rule.Match[j].Gateways, vs, h)
			}
			if matched {
				return &tcpRule{rule, vs, indexed("spec.tcp", i)}
			}
		}
	}
	return nil
}

func (d *door) matchesServer(port int, gateways []string, vs *VirtualService, h hostedServer) bool {
	return (port == 0 || port == h.server().Port.Number) && (len(gateways) == 0 || namesGateway(gateways, vs, h.name()))
}

func (d *door) l4(routes []RouteDestination, vs *VirtualService, path string, port int) outcome {
	o, ok := worst(d.client.l4Route(importAll, routes, vs, path, TCPLike, d.a.host, port))
	if !ok {
		return d.fail(Reason{Ref: vs.Ref, Path: path + ".route"}, "the rule has no destination with a share of the traffic")
	}
	return o
}
