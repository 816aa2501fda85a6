package mesh

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/told"
)

// atWaypoint follows the traffic for an entry that arrives at a waypoint. What is
// programmed there for a host are the routes of the entry's namespace and of the
// waypoint's own, in this order of things (listener_waypoint.go in Istio's
// pilot/pkg/networking/core): the http rules of all of them one after the other,
// or the first tls rule that is for the host, or the first tcp rule; and without
// any the way to the entry's own endpoints. Neither labels of workloads nor, by
// its exportTo, the entry itself count.
func (m *Mesh) atWaypoint(g *K8sGateway, se *ServiceEntry, host string, port int, terse bool) outcome {
	c := &client{m: m, namespace: g.Namespace, waypoint: g, terse: terse}
	protocol, known := m.portProtocol(se, port)
	if !known {
		return c.broken(Reason{Ref: se.Ref, Path: "spec.ports"}, Hop{From: c.String()}, "the waypoint has no port %d of this entry's", port)
	}
	if why := m.unserved(se, protocol); why != "" {
		return c.broken(Reason{Ref: se.Ref, Path: "spec.resolution"}, Hop{From: c.String()}, "%s", why)
	}
	if rival := m.rivalAtWaypoint(g, se, host); rival != nil {
		o := outcome{verdict: Undetermined}
		if !terse {
			o.because = []Reason{Reason{Ref: rival.Ref, Path: "spec.hosts"}.with(
				"the waypoint serves one entry of a host, and whether it is this one or %s is left to chance: the other fails", se.Ref)}
		}
		return o
	}
	var outcomes []outcome
	class := ClassOf(protocol)
	if class == HTTPLike || class == Sniffed {
		outcomes = append(outcomes, c.httpAtWaypoint(se, host, port)...)
	}
	if class != HTTPLike {
		outcomes = append(outcomes, c.tcpAtWaypoint(se, host, port)...)
	}
	o, _ := worst(outcomes)
	return o
}

// rivalAtWaypoint is an entry of another namespace that a waypoint serves under the
// same host: it keeps its services by host alone (findWaypointResources in Istio's
// pilot/pkg/networking/core).
func (m *Mesh) rivalAtWaypoint(g *K8sGateway, se *ServiceEntry, host string) *ServiceEntry {
	for other := range m.entries.exactly(host) {
		m.Spend(lookupSteps)
		if other.Namespace == se.Namespace {
			continue
		}
		shares, _ := m.shares(other)
		if slices.ContainsFunc(shares, func(s share) bool { return s.waypoint == g }) {
			return other
		}
	}
	return nil
}

// portProtocol is the protocol under which an entry registers a port.
func (m *Mesh) portProtocol(se *ServiceEntry, port int) (protocol string, known bool) {
	m.Spend(1 + len(se.Ports)>>5)
	for _, p := range se.Ports {
		if p.Number == port {
			return p.Protocol, true
		}
	}
	return "", false
}

// unserved says why a waypoint has no cluster for a port of an entry; empty where
// it has one (findWaypointResources and buildWaypointInboundVIP).
func (m *Mesh) unserved(se *ServiceEntry, protocol string) told.Text {
	switch name := protocolName(protocol); {
	case ClassOf(protocol) == UDPLike:
		return "a waypoint does not take UDP"
	case se.Resolution != "DYNAMIC_DNS":
		return ""
	case se.Location != "MESH_EXTERNAL":
		return "a waypoint takes resolution DYNAMIC_DNS of location MESH_EXTERNAL only"
	case name == "TLS" && !m.settings.Ambient.WildcardTLS:
		return "istiod has ENABLE_WILDCARD_HOST_SERVICE_ENTRIES_FOR_TLS off, without which a waypoint takes resolution DYNAMIC_DNS for HTTP only"
	case name != "HTTP" && name != "TLS":
		return told.F("a waypoint takes resolution DYNAMIC_DNS for HTTP and TLS only, not for %s", name)
	default:
		return ""
	}
}

// ownAtWaypoint are the VirtualServices that a waypoint follows for an entry, in
// their order (getVirtualServiceForWaypoint).
func (c *client) ownAtWaypoint(se *ServiceEntry, host string) []*VirtualService {
	return slices.DeleteFunc(c.virtuals(importAll, host), func(vs *VirtualService) bool {
		return vs.Namespace != se.Namespace && vs.Namespace != c.namespace || !c.m.namesSpelling(vs, host)
	})
}

func (c *client) httpAtWaypoint(se *ServiceEntry, host string, port int) []outcome {
	var outcomes []outcome
	routed := false
	for _, vs := range c.ownAtWaypoint(se, host) {
		found, some, all := c.httpRulesAtWaypoint(vs, host, port)
		outcomes = append(outcomes, found...)
		routed = routed || some
		if all {
			return outcomes // nothing is left for those that follow
		}
	}
	if routed {
		return outcomes
	}
	return append(outcomes, c.toEntry(se, host, port, HTTPLike))
}

// httpRulesAtWaypoint follows the http rules of one VirtualService
// (waypointInboundRoute). some reports whether it has a rule for the port, and all
// whether one takes every request.
func (c *client) httpRulesAtWaypoint(vs *VirtualService, host string, port int) (outcomes []outcome, some, all bool) {
	for _, rule := range c.m.httpRules(vs) {
		matched := len(rule.Match) == 0
		all = matched
		for i := range rule.Match {
			match := &rule.Match[i]
			c.m.Spend(matchSteps + len(match.Gateways)>>1)
			if len(match.SourceLabels) > 0 || c.matchesHTTP(match, rule.owner, meshGateway, port) == never {
				continue
			}
			matched = true
			if all = match.catchAll(); all {
				break
			}
		}
		if !matched {
			continue
		}
		some = true
		outcomes = append(outcomes, c.httpRule(importAll, &rule, host, port)...)
		if all {
			break
		}
	}
	return outcomes, some, all
}

func (c *client) tcpAtWaypoint(se *ServiceEntry, host string, port int) []outcome {
	routes := c.ownAtWaypoint(se, host)
	for _, vs := range routes {
		for i := range vs.TLS {
			rule := &vs.TLS[i]
			taken := len(rule.Match) == 0
			for j := range rule.Match {
				match := &rule.Match[j]
				c.m.Spend(matchSteps + len(match.Gateways))
				// It does not look at the SNI: a rule for other names is not followed.
				taken = taken || len(match.SNIHosts) == 1 && match.SNIHosts[0] == host &&
					c.takesAtWaypoint(vs, match.Gateways, match.SourceLabels, match.SourceNamespace, match.Port, port)
			}
			if c.m.Spend(1); taken && len(rule.Route) > 0 {
				return c.l4AtWaypoint(rule.Route, vs, "tls", i, TLSLike, host, port)
			}
		}
	}
	for _, vs := range routes {
		for i := range vs.TCP {
			rule := &vs.TCP[i]
			taken := len(rule.Match) == 0
			for j := range rule.Match {
				match := &rule.Match[j]
				c.m.Spend(matchSteps + len(match.Gateways))
				taken = taken || c.takesAtWaypoint(vs, match.Gateways, match.SourceLabels, match.SourceNamespace, match.Port, port)
			}
			if c.m.Spend(1); taken && len(rule.Route) > 0 {
				return c.l4AtWaypoint(rule.Route, vs, "tcp", i, TCPLike, host, port)
			}
		}
	}
	return []outcome{c.toEntry(se, host, port, TCPLike)}
}

// takesAtWaypoint reports whether a tls or tcp match takes every connection to the
// port.
func (c *client) takesAtWaypoint(vs *VirtualService, gateways []string, labels map[string]string, namespace string, matchPort, port int) bool {
	return namespace == "" && c.matchesL4(gateways, labels, "", matchPort, vs, port) == always
}

func (c *client) l4AtWaypoint(routes []RouteDestination, vs *VirtualService, section string, i int, class Class, host string, port int) []outcome {
	path := c.rulePath(vs, section, i)
	if outcomes := c.l4Route(importAll, routes, vs, path, class, host, port); len(outcomes) > 0 {
		return outcomes
	}
	return []outcome{c.broken(Reason{Ref: vs.Ref, Path: path}, Hop{From: c.String()}, "the rule has no destination with a share of the traffic")}
}

// toEntry is what becomes of traffic that no rule at the waypoint takes.
func (c *client) toEntry(se *ServiceEntry, host string, port int, class Class) outcome {
	var reason Reason
	if !c.terse {
		reason = Reason{Ref: c.waypoint.Ref, Path: "spec.gatewayClassName"}.with("traffic goes through this waypoint")
	}
	return c.toServed(&service{host: host, namespace: se.Namespace, entries: []*ServiceEntry{se}}, traffic{class: class, host: host, port: port, authority: host}, reason)
}

// served returns what a waypoint serves under a host, whoever may see it; nil where
// that is nothing.
func (c *client) served(host string) *service {
	for se := range c.m.spelledEntries(host) {
		c.m.Spend(lookupSteps)
		shares, _ := c.m.shares(se)
		if slices.ContainsFunc(shares, func(s share) bool { return s.waypoint == c.waypoint }) {
			return &service{host: host, namespace: se.Namespace, entries: []*ServiceEntry{se}}
		}
	}
	return nil
}

// followServed follows traffic that a rule at a waypoint leads to a host that the
// waypoint serves itself; ok is false for any other (getWaypointDestinationCluster).
func (c *client) followServed(l *listener, t traffic, host, subset string, reason Reason) (o outcome, ok bool) {
	s := c.served(host)
	if s == nil {
		return outcome{}, false
	}
	hop := Hop{From: c.String(), Decided: reason, To: clusterName(host, t.port, subset), Subset: subset}
	protocol, known := c.m.portProtocol(s.entries[0], t.port)
	if !known {
		return c.broken(reason, hop, "%s has no port %d", s.ref(), t.port), true
	}
	if why := c.m.unserved(s.entries[0], protocol); why != "" {
		return c.broken(reason, hop, "%s", why), true
	}
	seen := c.destination(l, host)
	if class := ClassOf(protocol); class != HTTPLike && class != Sniffed && (seen == nil || !seen.hasPort(c.m, t.port)) {
		return c.broken(reason, hop, "%s is not exported to %s, and its port is taken for HTTP there", s.ref(), told.InNamespace(c.namespace)), true
	}
	if subset != "" {
		p := c.policy(CanonicalHost(host), s.namespace)
		if dr, _ := p.subset(subset); dr == nil {
			return c.missingSubset(reason, hop, p, host, subset), true
		}
	}
	return c.toServed(s, t, reason), true
}

// toServed is what becomes of traffic for a service that the waypoint serves.
func (c *client) toServed(s *service, t traffic, reason Reason) outcome {
	hop := Hop{From: c.String(), Decided: reason, To: clusterName(s.host, t.port, "")}
	if c.m.unreachable(s) {
		return c.broken(reason, hop, "%s has no endpoints", s.ref())
	}
	if s.entries[0].Resolution == "STATIC" && c.service(importAll, s.host) == nil {
		return c.broken(reason, hop, "%s is not exported to %s, which gets no endpoints of it", s.ref(), told.InNamespace(c.namespace))
	}
	if !c.m.outsideService(s) {
		if c.terse {
			return outcome{verdict: Undetermined}
		}
		return outcome{
			verdict: Undetermined, hops: []Hop{hop},
			because: []Reason{reason.with("the traffic goes to %s in the mesh; where that sends it is not known", s.ref())},
		}
	}
	return c.out(s.host, t, reason, hop)
}
