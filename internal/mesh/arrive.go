package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// arrival is traffic at the door of an egress gateway.
type arrival struct {
	traffic
	gateway   *EgressGateway
	port      int // of the gateway's Service
	cluster   string
	tls       *ClientTLS // nil: automatic
	tlsReason Reason     // what set it
}

// encrypted reports whether the client's proxy wraps the traffic in TLS of its
// own. Automatic mutual TLS does not count: gateway pods do not ask for it.
func (a *arrival) encrypted() bool {
	return a.tls != nil && a.tls.Mode != "DISABLE"
}

// sni is the server name that the client's proxy sends.
func (a *arrival) sni() string {
	switch {
	case a.tls.SNI != "":
		return CanonicalHost(a.tls.SNI)
	case a.tls.Mode == "ISTIO_MUTUAL":
		return "" // the name of the cluster, which nobody expects
	default:
		return a.authority
	}
}

// arrive follows traffic through an egress gateway: the port must be one of
// its Service, a server must take the traffic, and the server's routes must
// lead out. The reason is why the client's proxy sent it here.
func (m *Mesh) arrive(a arrival, reason Reason, hop Hop) outcome {
	d := &door{m: m, a: &a, index: m.gatewayIndex(a.gateway)}
	d.client = &client{m: m, namespace: a.gateway.Namespace, gateway: a.gateway}
	hop.To += d.describe()
	var o outcome
	if k := m.deployed(a.gateway); k != nil {
		o = d.enterListener(k)
	} else if d.ports = m.serverPorts(a.gateway, a.port); len(d.ports) == 0 {
		o = d.fail(Reason{Ref: reason.Ref, Path: reason.Path}, "the Service of gateway %s has no port %d", a.gateway.Name, a.port)
	} else {
		o = d.enter()
	}
	o.gateway = a.gateway.Name
	o.hops = append([]Hop{hop}, o.hops...)
	via := reason.with("traffic goes to gateway %s, port %d", a.gateway.Name, a.port)
	if o.verdict == Via {
		o.because = append([]Reason{via}, o.because...)
	} else {
		o.because = append(o.because, via)
	}
	return o
}

// door is an egress gateway as one arrival finds it.
type door struct {
	m      *Mesh
	a      *arrival
	client *client // the gateway's own proxy
	index  int     // of the gateway in the settings
	ports  []int   // that servers may name to listen where the traffic arrives
}

func (d *door) describe() string {
	switch {
	case d.a.tls == nil:
		return ""
	case d.a.tls.SNI != "":
		return ", TLS " + d.a.tls.Mode + ", SNI " + d.a.tls.SNI
	default:
		return ", TLS " + d.a.tls.Mode
	}
}

func (d *door) fail(r Reason, format string, args ...any) outcome {
	return outcome{verdict: Broken, because: []Reason{r.with(format, args...)}}
}

// enter finds the server for the arrival, and follows its routes.
func (d *door) enter() outcome {
	if d.a.encrypted() {
		return d.enterTLS()
	}
	if plain, ok := d.first(true); ok && d.plainOpen(plain) {
		return d.enterPlain(plain)
	}
	if d.a.class == TLSLike {
		return d.enterPassthrough()
	}
	if tls, ok := d.first(false); ok {
		return d.fail(tls.reason("", ""), "the servers of gateway %s on port %d expect TLS, but the client's proxy sends plain text there", d.a.gateway.Name, d.a.port)
	}
	return d.fail(d.none(), "gateway %s has no server on port %d", d.a.gateway.Name, d.a.port)
}

// none is the reason where no object is to blame: the gateway's Service.
func (d *door) none() Reason {
	return Reason{Ref: Ref{Kind: "Service", Namespace: d.a.gateway.Namespace, Name: d.a.gateway.Service}, Path: "spec.ports"}
}

// first returns the oldest server that listens where the traffic arrives.
func (d *door) first(plain bool) (hostedServer, bool) {
	var found hostedServer
	for _, p := range d.ports {
		if h, ok := d.m.firstServer(d.index, p, plain); ok && (found.gateway == nil || older(h, found)) {
			found = h
		}
	}
	return found, found.gateway != nil
}

func older(a, b hostedServer) bool {
	if c := compareAge(&a.gateway.Meta, &b.gateway.Meta); c != 0 {
		return c < 0
	}
	return a.n < b.n
}

// plainOpen reports whether plain text servers are served on the port. Plain
// text and TLS do not share one: the oldest server decides (mergeGateways in
// Istio's pilot/pkg/model/gateway.go).
func (d *door) plainOpen(plain hostedServer) bool {
	tls, ok := d.first(false)
	return !ok || older(plain, tls)
}

// enterTLS is for traffic in the client proxy's own TLS: the server is found
// by the name that the proxy sends.
func (d *door) enterTLS() outcome {
	sni := d.a.sni()
	if sni == "" {
		return d.fail(d.a.tlsReason.at(".sni"), "the proxy sends the name of a cluster as SNI, which no server of the gateway expects")
	}
	h, ok := d.serverFor(sni)
	if !ok {
		return d.fail(d.a.tlsReason.at(".sni"), "gateway %s has no TLS server for %s on port %d", d.a.gateway.Name, sni, d.a.port)
	}
	s := h.server()
	if problem := d.shadowed(h); problem != nil {
		return *problem
	}
	if want := s.TLS.Mode; s.passthrough() {
		return d.fail(h.reason(".tls.mode", ""), "the server passes TLS through, but the client's proxy speaks %s to the gateway itself", d.a.tls.Mode)
	} else if (want == "ISTIO_MUTUAL") != (d.a.tls.Mode == "ISTIO_MUTUAL") {
		return d.fail(h.reason(".tls.mode", ""), "the server's mode is %s, but the client's proxy speaks %s", want, d.a.tls.Mode)
	}
	if !s.routesHTTP() {
		return d.routeTCP(h)
	}
	if d.a.class != HTTPLike {
		return d.fail(h.reason(".port.protocol", ""), "the server expects HTTP inside, but the traffic is not HTTP")
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

func (d *door) oldestTLS(host string) (hostedServer, bool) {
	var found hostedServer
	for _, p := range d.ports {
		for h := range d.m.serversFor(d.index, p, host) {
			if s := h.server(); !s.plain() && s.Bind == "" && (found.gateway == nil || older(h, found)) {
				found = h
			}
		}
	}
	return found, found.gateway != nil
}

// shadowed explains why a TLS server is not served: an older one on the port
// lists one of its hosts, or expects plain text. Two that list the same host
// under different namespaces ("a/host", "host") can give Envoy the same match
// twice, which it refuses.
func (d *door) shadowed(h hostedServer) *outcome {
	if plain, ok := d.first(true); ok && d.plainOpen(plain) {
		o := d.fail(plain.reason(".port", ""), "this server is older and expects plain text on the port, so %s is not served", h.gateway.Ref)
		return &o
	}
	for _, entry := range h.server().Hosts {
		_, host := serverHost(entry, h.gateway.Namespace)
		for _, p := range d.ports {
			for other := range d.m.serversFor(d.index, p, host) {
				if other == h || other.server().plain() || other.server().Bind != "" {
					continue
				}
				if sameEntry(other, h, host) && older(other, h) || !sameEntry(other, h, host) && d.collides(other, h, host) {
					o := d.fail(other.reason(".hosts", ""), "another server on the port lists %s, which collides with %s", host, h.gateway.Ref)
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
	s := other.server()
	switch {
	case !s.passthrough():
		return s.routesHTTP() || d.tcpRule(other) != nil
	case h.server().passthrough():
		return false
	}
	for vs := range d.m.snis.exactly(host) {
		if len(d.visible([]*VirtualService{vs}, other.name())) == 0 {
			continue
		}
		for i := range vs.TLS {
			if d.takes(&vs.TLS[i], vs, other, host) {
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

// enterPlain is for traffic that arrives as the application sent it, on a port
// whose oldest server expects plain text.
func (d *door) enterPlain(first hostedServer) outcome {
	if !first.server().routesHTTP() {
		return d.routeTCP(first) // whatever it is
	}
	if d.a.class != HTTPLike {
		return d.fail(first.reason(".port.protocol", ""), "the server expects HTTP, but the traffic is not")
	}
	servers := d.plainServers(d.a.authority)
	for p := range d.m.servers.patterns(d.a.authority) {
		servers = append(servers, d.plainServers(p)...)
	}
	slices.SortFunc(servers, func(a, b hostedServer) int {
		if older(a, b) {
			return -1
		}
		return 1
	})
	if len(servers) == 0 {
		return d.fail(first.reason(".hosts", ""), "no server of gateway %s on port %d lists %s", d.a.gateway.Name, d.a.port, d.a.authority)
	}
	return d.routeHTTP(slices.Compact(servers))
}

// plainServers are the HTTP servers that list exactly this host.
func (d *door) plainServers(host string) []hostedServer {
	var out []hostedServer
	for _, p := range d.ports {
		for h := range d.m.serversFor(d.index, p, host) {
			if s := h.server(); s.plain() && s.routesHTTP() && s.Bind == "" {
				out = append(out, h)
			}
		}
	}
	return out
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
			return d.fail(h.reason(".tls.mode", ""), "the server ends TLS of mode %s, which the application's own TLS to %s is not", h.server().TLS.Mode, name)
		}
		if problem := d.shadowed(h); problem != nil {
			return *problem
		}
		return d.fail(h.reason(".hosts", ""), "no tls rule of a VirtualService bound to %s takes SNI %s", h.name(), name)
	}
	return d.fail(d.none(), "gateway %s has no passthrough server for %s on port %d", d.a.gateway.Name, name, d.a.port)
}

// visible returns the VirtualServices bound to a Gateway, among those given,
// in the order in which the gateway's proxy considers them.
func (d *door) visible(found []*VirtualService, gateway string) []*VirtualService {
	var out []*VirtualService
	for want := private; want <= public; want++ {
		for _, vs := range found {
			if visibleFrom(vs.ExportTo, vs.Namespace, d.client.namespace) == want && bindsTo(vs, gateway) {
				out = append(out, vs)
			}
		}
	}
	return out
}

func bindsTo(vs *VirtualService, gateway string) bool {
	return slices.ContainsFunc(vs.Gateways, func(g string) bool { return gatewayRef(g, vs.Namespace) == gateway })
}

// allows reports whether a server accepts a VirtualService for one of the
// VirtualService's hosts (pickMatchingGatewayHosts): the names need only
// overlap.
func (d *door) allows(h hostedServer, vs *VirtualService) bool {
	for _, entry := range h.server().Hosts {
		from, host := serverHost(entry, h.gateway.Namespace)
		if from != "*" && from != vs.Namespace {
			continue
		}
		for name := range d.m.hosts(vs) {
			if HostsOverlap(host, name) {
				return true
			}
		}
	}
	return false
}

// bound returns the VirtualServices that a server's routes may come from.
func (d *door) bound(h hostedServer) []*VirtualService {
	var found []*VirtualService
	for _, entry := range h.server().Hosts {
		_, host := serverHost(entry, h.gateway.Namespace)
		if IsWildcard(host) {
			found = slices.Collect(d.m.index.bound.under(h.name() + sep))
			break
		}
		found = append(found, d.m.routes.overlapping(host)...)
	}
	found = d.visible(distinct(found), h.name())
	return slices.DeleteFunc(found, func(vs *VirtualService) bool { return !d.allows(h, vs) })
}

// routeTCP follows the first tcp rule of the first VirtualService of a server
// that has one for its port: tcp rules cannot see hosts
// (buildGatewayNetworkFiltersFromTCPRoutes).
func (d *door) routeTCP(h hostedServer) outcome {
	r := d.tcpRule(h)
	if r == nil {
		return d.fail(h.reason("", ""), "no tcp rule of a VirtualService is bound to this server, so gateway %s does not serve it", d.a.gateway.Name)
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
			for j := range rule.Match {
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
			gw, ok := d.gateway(gatewayRef(g, vs.Namespace))
			if !ok || best.gateway != nil && compareAge(&best.gateway.Meta, &gw.Meta) < 0 {
				continue
			}
			for n := range gw.Servers {
				h := hostedServer{gw, n}
				if s := h.server(); s.TLS == nil || s.TLS.Mode != "PASSTHROUGH" || s.plain() || s.Bind != "" || !slices.Contains(d.ports, s.Port.Number) || d.shadowed(h) != nil {
					continue
				}
				if !slices.Contains(d.visible([]*VirtualService{vs}, h.name()), vs) || !d.allows(h, vs) {
					continue
				}
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
	va, vb := visibleFrom(a.ExportTo, a.Namespace, d.client.namespace), visibleFrom(b.ExportTo, b.Namespace, d.client.namespace)
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
		return d.matchesServer(match.Port, match.Gateways, vs, h) &&
			slices.ContainsFunc(match.SNIHosts, func(s string) bool { return CanonicalHost(s) == name })
	})
}

// gateway returns the Gateway of that name, if it is on this gateway's pods.
func (d *door) gateway(name string) (*Gateway, bool) {
	namespace, name, _ := strings.Cut(name, "/")
	gw, ok := d.m.Get(Ref{Kind: "Gateway", Namespace: namespace, Name: name}).(*Gateway)
	return gw, ok && selects(gw.Selector, d.a.gateway)
}

// routeHTTP follows the virtual host for the requests' authority among
// servers that share their routes. Its routes come from every VirtualService
// that has the name, in the order of servers and then of age, those for all
// requests last (buildGatewayHTTPRouteConfig, SortVHostRoutes).
func (d *door) routeHTTP(servers []hostedServer) outcome {
	domain := ""
	var outcomes, last []outcome
	for _, h := range servers {
		found := d.visible(distinct(d.m.routes.overlapping(d.a.authority)), h.name())
		for _, vs := range found {
			name := d.domain(h, vs)
			if name == "" || len(name) < len(domain) {
				continue
			}
			some, all, matched := d.httpRoutes(vs, h)
			if !matched {
				continue
			}
			if len(name) > len(domain) {
				domain, outcomes, last = name, nil, nil
			}
			outcomes = append(outcomes, some...)
			if last == nil {
				last = all
			}
		}
	}
	o, ok := worst(append(outcomes, last...))
	if !ok {
		h := servers[0]
		return d.fail(h.reason(".hosts", ""), "no http rule of a VirtualService bound to %s takes %s on port %d", h.name(), d.a.authority, h.server().Port.Number)
	}
	if o.verdict == Blocked {
		o.verdict = Broken // the gateway answers in the place of the host
	}
	return o
}

// domain is the name under which a server serves a VirtualService for the
// authority: the narrower of the server's host and the VirtualService's. An
// exact name is made longer than any wildcard.
func (d *door) domain(h hostedServer, vs *VirtualService) string {
	best := ""
	for _, entry := range h.server().Hosts {
		from, host := serverHost(entry, h.gateway.Namespace)
		if from != "*" && from != vs.Namespace || !HostCovers(host, d.a.authority) {
			continue
		}
		for name := range d.m.hosts(vs) {
			if !HostCovers(name, d.a.authority) {
				continue
			}
			for _, candidate := range []string{host, name} {
				if candidate == d.a.authority {
					candidate = "exactly " + candidate
				}
				if len(candidate) > len(best) {
					best = candidate
				}
			}
		}
	}
	return best
}

// httpRoutes follows the rules of one VirtualService on the gateway: those
// with conditions, and the one for all requests.
func (d *door) httpRoutes(vs *VirtualService, h hostedServer) (some, all []outcome, matched bool) {
	port := h.server().Port.Number
	for _, rule := range d.m.httpRules(vs) {
		hit, catchAll := never, len(rule.Match) == 0
		for i := range rule.Match {
			a := d.client.matchesHTTP(&rule.Match[i], rule.owner, h.name(), port)
			hit = max(hit, a)
			catchAll = catchAll || a == always && rule.Match[i].catchAll()
		}
		if len(rule.Match) > 0 && hit == never {
			continue
		}
		matched = true
		found := d.client.httpRule(importAll, &rule, d.a.authority, port)
		if catchAll {
			return some, found, true
		}
		some = append(some, found...)
	}
	return some, nil, matched
}

// String describes the server for hops.
func (h hostedServer) String() string {
	return fmt.Sprintf("server %d of Gateway %s", h.n, h.name())
}
