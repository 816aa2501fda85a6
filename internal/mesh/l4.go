package mesh

import (
	"net/netip"
	"slices"
	"strings"
)

// tls follows TLS connections by their SNI. Every distinct match of every
// VirtualService that shares a name with the host adds a filter chain; the
// chain to the host itself exists only where there is none
// (buildSidecarOutboundTLSFilterChainOpts in Istio's pilot/pkg/networking/core).
func (c *client) tls(l *listener, host string, port int) []outcome {
	var outcomes []outcome
	routed, covered := never, false
	seen := map[string]bool{}
	for _, vs := range c.virtuals(l, host) {
		if !c.m.namesSpelling(vs, host) {
			continue
		}
		for i := range vs.TLS {
			rule := &vs.TLS[i]
			c.m.Spend(1)
			if len(rule.Route) == 0 || c.ignores(vs, rule.Route) {
				continue
			}
			asked, harmless := false, false
			for j := range rule.Match {
				match := &rule.Match[j]
				c.m.Spend(matchSteps + len(match.Gateways))
				a := c.matchesL4(match.Gateways, match.SourceLabels, match.SourceNamespace, match.Port, vs, port)
				if a == never {
					continue
				}
				// A repetition of the same run-time predicates is never reached.
				c.m.Spend(matchSteps + 2*(len(match.SNIHosts)+len(match.DestinationSubnets)))
				chain := strings.Join(match.SNIHosts, ",") + "|" + strings.Join(match.DestinationSubnets, ",")
				if seen[chain] {
					continue
				}
				seen[chain] = a == always
				routed = max(routed, a)
				mine := coversSNI(match.SNIHosts, host)
				covered = covered || mine
				if !mine {
					if !asked {
						asked, harmless = true, c.harmless(vs, rule.Route)
					}
					if harmless {
						continue
					}
				}
				for _, o := range c.l4Route(l, rule.Route, vs, c.rulePath(vs, "tls", i), TLSLike, host, port) {
					// A chain for other names counts only where it leads
					// traffic out that came to this host's address.
					if mine || o.verdict == Direct {
						outcomes = append(outcomes, o)
					}
				}
			}
		}
	}
	if routed != always {
		return append(outcomes, c.unrouted(l, host, port, TLSLike))
	}
	if !covered {
		outcomes = append(outcomes, c.uncovered(l, host, port))
	}
	return outcomes
}

// harmless reports whether nothing that is sent to the destinations can leave
// directly: all of them are the Services of approved gateways, and nobody else
// registers their names. An entry for many hosts has as many chains, of which all
// but one are for other names than the one that is followed.
func (c *client) harmless(vs *VirtualService, routes []RouteDestination) bool {
	for i := range routes {
		c.m.Spend(2)
		host := c.m.spelled(vs, routes[i].Destination.Host)
		if c.m.gatewayOf(host) == nil {
			return false
		}
		if svc := c.m.service(host); svc != nil && svc.Type == "ExternalName" {
			return false
		}
		for range c.m.entries.exactly(host) {
			return false
		}
	}
	return true
}

// namesSpelling reports whether one of the VirtualService's hosts shares a
// name with the host as both are written (getConfigsForHost).
func (m *Mesh) namesSpelling(vs *VirtualService, host string) bool {
	for h := range m.spelledHosts(vs) {
		if HostsOverlap(h, host) {
			return true
		}
	}
	return false
}

// coversSNI reports whether a chain takes connections for the host.
func coversSNI(sniHosts []string, host string) bool {
	host = CanonicalHost(host)
	return len(sniHosts) == 0 || slices.ContainsFunc(sniHosts, func(s string) bool { return HostCovers(CanonicalHost(s), host) })
}

// uncovered is what becomes of a TLS connection that no chain takes.
func (c *client) uncovered(l *listener, host string, port int) outcome {
	if c.terse {
		return c.unknown(Reason{})
	}
	reason := Reason{}.with("no tls rule names this host for port %d", port)
	if s := c.service(l, host); s != nil {
		reason.Ref, reason.Path = s.ref(), "spec.hosts"
	}
	return c.unknown(reason)
}

// matchesL4 evaluates the build-time predicates of a tls or tcp match of the mesh, all of
// them (matchTLS and matchTCP).
func (c *client) matchesL4(gateways []string, labels map[string]string, namespace string, matchPort int, vs *VirtualService, port int) applies {
	if matchPort != 0 && matchPort != port || len(gateways) > 0 && !namesGateway(gateways, vs, meshGateway) {
		return never
	}
	return c.matchesSource(labels, namespace)
}

// tcp follows raw connections: the first rule without destinationSubnets ends
// the search; without one, there is a chain to the host itself
// (buildSidecarOutboundTCPFilterChainOpts).
func (c *client) tcp(l *listener, host string, port int) []outcome {
	var outcomes []outcome
	var subnets []string // that have a chain before the one to the host itself
	for _, vs := range c.virtuals(l, host) {
		if !c.m.namesSpelling(vs, host) {
			continue
		}
		for i := range vs.TCP {
			rule := &vs.TCP[i]
			c.m.Spend(1)
			if len(rule.Route) == 0 || c.ignores(vs, rule.Route) {
				continue
			}
			matched, last := never, false
			for j := range rule.Match {
				match := &rule.Match[j]
				c.m.Spend(matchSteps + len(match.Gateways))
				a := c.matchesL4(match.Gateways, match.SourceLabels, match.SourceNamespace, match.Port, vs, port)
				matched = max(matched, a)
				if a == always && len(match.DestinationSubnets) == 0 {
					last = true
					break
				}
				if a == always {
					c.m.Spend(len(match.DestinationSubnets))
					subnets = append(subnets, match.DestinationSubnets...)
				}
			}
			if len(rule.Match) == 0 {
				matched, last = always, true
			}
			if matched != never {
				outcomes = alongside(outcomes, c.l4Route(l, rule.Route, vs, c.rulePath(vs, "tcp", i), TCPLike, host, port))
			}
			if last {
				return outcomes
			}
		}
	}
	if c.takes(l, host, subnets) {
		return outcomes
	}
	return append(outcomes, c.unrouted(l, host, port, TCPLike))
}

// takes reports whether chains for the subnets take all that comes to the listeners
// of a TCP port. Such a listener is bound to one address of the entry, and what
// arrives has that for its destination; for a range it is bound to every address,
// and then the chain to the host itself is for the same range, and comes second.
func (c *client) takes(l *listener, host string, subnets []string) bool {
	if len(subnets) == 0 || l.egress != nil && l.egress.Port != nil { // that one is bound elsewhere
		return false
	}
	s := c.service(l, host)
	if s == nil || s.k8s != nil || s.assumed != nil {
		return false
	}
	for _, se := range s.entries {
		if len(se.Addresses) == 0 {
			return false
		}
		for _, a := range se.Addresses {
			c.m.Spend(1 + len(subnets))
			if !slices.ContainsFunc(subnets, func(subnet string) bool { return takesAddress(subnet, a) }) {
				return false
			}
		}
	}
	return true
}

// takesAddress reports whether a chain for a subnet takes all that is sent to an
// address, or range, of an entry.
func takesAddress(subnet, a string) bool {
	have, err := parsePrefix(subnet)
	if err != nil {
		return false
	}
	want, err := parsePrefix(a)
	if err != nil {
		return false
	}
	if want.IsSingleIP() {
		return have.Contains(want.Addr())
	}
	return have == want
}

// parsePrefix reads a range, or an address as the range that holds it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// rulePath is the JSON path of a rule where somebody asks for it.
func (c *client) rulePath(vs *VirtualService, section string, i int) string {
	if c.terse {
		return ""
	}
	return vs.rulePath(section, i)
}

// l4Route follows the destinations of a tls or tcp rule.
func (c *client) l4Route(l *listener, routes []RouteDestination, vs *VirtualService, path string, class Class, host string, port int) []outcome {
	c.m.Spend(len(routes))
	outcomes := make([]outcome, 0, len(routes))
	for i := range routes {
		r := &routes[i]
		if len(routes) > 1 && r.Weight <= 0 {
			continue
		}
		to := c.m.spelled(vs, r.Destination.Host)
		t := traffic{class: class, host: host, port: c.destinationPort(l, to, &r.Destination, port, false), authority: host}
		var reason Reason
		if !c.terse {
			reason = Reason{Ref: vs.Ref, Path: path + vs.destinationPath(i)}
		}
		outcomes = append(outcomes, c.follow(l, t, to, r.Destination.Subset, reason))
	}
	return outcomes
}

// destinationPort is the port that a destination stands for: its own, that of
// a service with one port, or the listener's (GetDestinationCluster). The http
// rules of a sidecar see of each service only the listener's port.
func (c *client) destinationPort(l *listener, host string, d *Destination, port int, listenerOnly bool) int {
	if d.Port != nil && d.Port.Number != 0 {
		return d.Port.Number
	}
	if !listenerOnly {
		if s := c.destination(l, host); s != nil {
			if ports := s.ports(c.m); len(ports) == 1 {
				return ports[0]
			}
		}
	}
	return port
}
