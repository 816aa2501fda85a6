package mesh

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/told"
)

// enterPlain is for traffic that arrives as the application sent it, on a port
// whose oldest server expects plain text.
func (d *door) enterPlain(first hostedServer) outcome {
	if !first.server().routesHTTP() {
		return d.routeTCP(first) // whatever it is
	}
	if d.a.class != HTTPLike {
		return d.fail(first.reason(".port.protocol"), "the server expects HTTP, but the traffic is not")
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
		return d.fail(first.reason(".hosts"), "no server of gateway %s on port %d lists %s", told.Plain(d.a.gateway.Name), d.a.port, told.Host(d.a.authority))
	}
	servers = slices.Compact(servers)
	for _, h := range servers {
		if t := h.server().TLS; t != nil && t.HTTPSRedirect {
			return d.fail(h.reason(".tls.httpsRedirect"), "the server answers with a redirect")
		}
	}
	return d.routeHTTP(servers)
}

// plainServers are the HTTP servers that list exactly this host.
func (d *door) plainServers(host string) []hostedServer {
	var out []hostedServer
	for _, p := range d.ports {
		for h := range d.m.serversFor(d.index, p, host) {
			d.m.Spend(hostSteps)
			if s := h.server(); s.plain() && s.routesHTTP() && s.Bind == "" {
				out = append(out, h)
			}
		}
	}
	return out
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
			outcomes = alongside(outcomes, some)
			if last == nil {
				last = all
			}
		}
	}
	o, ok := worst(append(outcomes, last...))
	if !ok {
		h := servers[0]
		return d.fail(h.reason(".hosts"), "no http rule of a VirtualService bound to %s takes %s on port %d", h.gateway.Tell().As(h.name()), told.Host(d.a.authority), h.server().Port.Number)
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
		d.m.Spend(hostSteps)
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
	port, gateway := h.server().Port.Number, h.name()
	for _, rule := range d.m.httpRules(vs) {
		hit, catchAll := never, len(rule.Match) == 0
		for i := range rule.Match {
			d.m.Spend(matchSteps + len(rule.Match[i].Gateways)>>1)
			a := d.client.matchesHTTP(&rule.Match[i], rule.owner, gateway, port)
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
		some = alongside(some, found)
	}
	return some, nil, matched
}
