package mesh

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

// applies is whether a rule's build-time predicates hold for a proxy. Labels
// of workloads are unknown, so there is a third answer.
type applies int

const (
	never applies = iota
	perhaps
	always
)

// matchSteps is what it costs to evaluate a match, beside the gateways that it
// names.
const matchSteps = 2

// http follows the HTTP requests for a host on a port: the first
// VirtualService that has a route for the port takes the virtual host, all of
// it; nobody else adds to it (BuildSidecarOutboundVirtualHosts in Istio's
// pilot/pkg/networking/core). matchPort is the port that rules are matched
// with: 0 behind an HTTP proxy listener.
func (c *client) http(l *listener, host string, port, matchPort int, registered bool) []outcome {
	var outcomes []outcome
	var taken *VirtualService
	for _, vs := range c.hostVirtuals(l, host) {
		if taken != nil && !vs.joins(taken) {
			continue
		}
		found, sure := c.httpRoutes(l, vs, host, port, matchPort)
		outcomes = alongside(outcomes, found)
		if sure && taken == nil {
			taken = vs
		}
	}
	if taken != nil {
		return alongside(outcomes, c.narrower(l, host, port, matchPort))
	}
	if !registered {
		return outcomes
	}
	outcomes = alongside(outcomes, c.narrower(l, host, port, matchPort))
	return append(outcomes, c.unrouted(l, host, port, HTTPLike))
}

// hostVirtuals returns the VirtualServices that may give a host its virtual
// host, in order. Those that name it exactly come alone; otherwise it is the
// first of those with the most specific wildcard over it. Who comes so takes the
// place of all others even where nothing comes of it: a route of a namespace
// that has no say here, or one with gateway semantics for a wildcard
// (separateVSHostsAndServices and computeWildcardHostVirtualServiceIndex).
func (c *client) hostVirtuals(l *listener, host string) []*VirtualService {
	candidates := c.virtuals(l, host)
	host = strings.ToLower(host) // here, and only here, Istio does the same
	var exact []*VirtualService
	var broad *VirtualService
	pattern := ""
	for _, vs := range candidates {
		for h := range c.m.spelledHosts(vs) {
			c.m.Spend(1)
			h = strings.ToLower(h)
			switch {
			case !IsWildcard(h):
				if h == host {
					exact = append(exact, vs)
				}
			case HostCovers(h, host) && len(h) > len(pattern):
				broad, pattern = vs, h
			}
		}
	}
	switch {
	case len(exact) > 0:
		return slices.DeleteFunc(slices.Compact(exact), func(vs *VirtualService) bool { return !c.mayRoute(l, vs, host) })
	case broad == nil || broad.gatewaySemantics():
		return nil
	default:
		return []*VirtualService{broad}
	}
}

// mayRoute: VirtualServices with gateway semantics only count where they come
// from the namespace of the client or of the service.
func (c *client) mayRoute(l *listener, vs *VirtualService, host string) bool {
	if !vs.gatewaySemantics() || vs.Namespace == c.namespace {
		return true
	}
	s := c.service(l, host)
	return s != nil && s.namespace == vs.Namespace
}

// narrower returns what VirtualServices do with names below a wildcard host.
// They add virtual hosts beside its own; only what leaves directly matters.
func (c *client) narrower(l *listener, host string, port, matchPort int) []outcome {
	if !IsWildcard(host) {
		return nil
	}
	var outcomes []outcome
	for _, vs := range c.virtuals(l, host) {
		below := false
		for h := range c.m.hosts(vs) {
			below = below || h != host && HostCovers(host, h)
		}
		if !below {
			continue
		}
		found, _ := c.httpRoutes(l, vs, host, port, matchPort)
		for _, o := range found {
			if o.verdict == Direct {
				outcomes = append(outcomes, o)
			}
		}
	}
	return outcomes
}

// httpRoutes follows the routes of one VirtualService. sure reports whether
// every workload of the client has at least one of them.
func (c *client) httpRoutes(l *listener, vs *VirtualService, host string, port, matchPort int) (outcomes []outcome, sure bool) {
	for _, rule := range c.m.httpRules(vs) {
		matched, catchAll := never, false
		for i := range rule.Match {
			c.m.Spend(matchSteps + len(rule.Match[i].Gateways)>>1)
			a := c.matchesHTTP(&rule.Match[i], rule.owner, meshGateway, matchPort)
			matched = max(matched, a)
			if a == always && rule.Match[i].catchAll() {
				catchAll = true
				break
			}
		}
		if len(rule.Match) == 0 {
			matched, catchAll = always, true
		}
		if matched == never {
			continue
		}
		outcomes = alongside(outcomes, c.httpRule(l, &rule, host, port))
		sure = sure || matched == always
		if catchAll {
			break // later rules are never reached
		}
	}
	return outcomes, sure
}

// matchesHTTP evaluates the build-time predicates of a match. Where gateways
// are named, sourceLabels and sourceNamespace are not looked at
// (sourceMatchHTTP in Istio's pilot/pkg/networking/core/route).
func (c *client) matchesHTTP(m *HTTPMatch, owner *VirtualService, gateway string, port int) applies {
	if m.Port != 0 && m.Port != port {
		return never
	}
	if len(m.Gateways) > 0 {
		if namesGateway(m.Gateways, owner, gateway) {
			return always
		}
		return never
	}
	return c.matchesSource(m.SourceLabels, m.SourceNamespace)
}

// matchesSource evaluates what a match says of the workload. Of a gateway's
// labels those in the configuration are known.
func (c *client) matchesSource(labels map[string]string, namespace string) applies {
	if namespace != "" && namespace != c.namespace {
		return never
	}
	switch {
	case len(labels) == 0, c.gateway != nil && HasLabels(labels, c.gateway.Selector):
		return always
	default:
		return perhaps
	}
}

func namesGateway(names []string, owner *VirtualService, gateway string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return gatewayRef(n, owner.Namespace) == gateway })
}

// catchAll reports whether the match takes every request (IsCatchAllRoute).
func (m *HTTPMatch) catchAll() bool {
	if len(m.Headers) > 0 || len(m.WithoutHeaders) > 0 || len(m.QueryParams) > 0 ||
		m.Scheme != nil || m.Method != nil || m.Authority != nil {
		return false
	}
	if m.URI == nil {
		return true
	}
	exact, prefix, regex := m.URI.parts()
	return exact == "" && (prefix == "/" || regex == ".*")
}

// httpRule follows one rule: every destination with a share of the traffic,
// and every mirror.
func (c *client) httpRule(l *listener, rule *httpRule, host string, port int) []outcome {
	if rule.Redirect != nil {
		return []outcome{{verdict: Blocked, because: []Reason{rule.reason(".redirect", "the proxy itself answers, with a redirect")}}}
	}
	if rule.DirectResponse != nil {
		return []outcome{{verdict: Blocked, because: []Reason{rule.reason(".directResponse", "the proxy itself answers")}}}
	}
	authority := rule.authority(host)
	outcomes := make([]outcome, 0, len(rule.Route))
	follow := func(d *Destination, authority, field string, what told.Text) {
		t := traffic{class: HTTPLike, host: host, port: port, authority: authority}
		to := c.m.spelled(rule.owner, d.Host)
		t.port = c.destinationPort(l, to, d, port, c.sidecars())
		var reason Reason
		if !c.terse {
			reason = rule.reason(field, what)
		}
		outcomes = append(outcomes, c.follow(l, t, to, d.Subset, reason))
	}
	mirror := func(d *Destination, field string) {
		before := len(outcomes)
		follow(d, authority, field, "a copy of every request goes there")
		if outcomes[before].verdict != Direct {
			outcomes = outcomes[:before] // a copy that gets lost harms nobody
		}
	}
	shares := 0
	c.m.Spend(len(rule.Route) + rule.Headers.size())
	for i := range rule.Route {
		r := &rule.Route[i]
		c.m.Spend(r.Headers.size())
		if len(rule.Route) > 1 && r.Weight <= 0 {
			continue // dropped: see applyHTTPRouteDestination
		}
		shares++
		field := ""
		if !c.terse {
			field = rule.owner.destinationPath(i)
		}
		follow(&r.Destination, r.Headers.authority(authority), field, "")
	}
	if shares == 0 {
		return []outcome{{verdict: Broken, because: []Reason{rule.reason(".route", "the rule has no destination with a share of the traffic")}}}
	}
	if rule.Mirror != nil && rule.mirrored() {
		mirror(rule.Mirror, ".mirror")
	}
	for i := range rule.Mirrors {
		if m := &rule.Mirrors[i]; m.Destination != nil && (m.Percentage == nil || m.Percentage.Value > 0) {
			mirror(m.Destination, indexed(".mirrors", i)+".destination")
		}
	}
	return outcomes
}

// mirrored reports whether the rule's mirror gets any traffic; all of it where
// no percentage is given (MirrorPercent).
func (r *HTTPRoute) mirrored() bool {
	switch {
	case r.MirrorPercents != nil:
		return r.MirrorPercents.Value > 0
	case r.MirrorPercent != nil:
		return *r.MirrorPercent > 0
	default:
		return true
	}
}

// authority is the Host that requests have when they leave the proxy.
func (r *HTTPRoute) authority(host string) string {
	if r.Rewrite != nil && r.Rewrite.Authority != "" {
		return CanonicalHost(r.Rewrite.Authority)
	}
	return r.Headers.authority(host)
}

// size is how many headers are set, in steps of looking for one.
func (h *Headers) size() int {
	if h == nil || h.Request == nil {
		return 0
	}
	return 8 * len(h.Request.Set)
}

// authority is the Host that header operations set, or the one given.
func (h *Headers) authority(host string) string {
	if h == nil || h.Request == nil {
		return host
	}
	// Of several spellings the first in order: a map has none.
	var first string
	for name := range h.Request.Set {
		if (strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")) && (first == "" || name < first) {
			first = name
		}
	}
	if first == "" {
		return host
	}
	return CanonicalHost(h.Request.Set[first])
}

// unrouted is what becomes of traffic for a registered host that no rule
// covers: it goes to the host itself.
func (c *client) unrouted(l *listener, host string, port int, class Class) outcome {
	s := c.service(l, host)
	if s == nil {
		return outcome{verdict: Broken}
	}
	var reason Reason
	if !c.terse {
		reason = Reason{Ref: s.ref(), Path: "spec.ports"}.with("no rule covers port %d for this client, so its proxy connects to the host itself", port)
		if se, i := s.portEntry(port); se != nil {
			reason.Ref, reason.Path = se.Ref, indexed("spec.ports", i)
		}
	}
	to := host
	if class == HTTPLike {
		to = strings.ToLower(host) // the route's cluster, whatever that of the entry is called
	}
	o := c.follow(l, traffic{class: class, host: host, port: port, authority: host}, to, "", reason)
	if o.verdict == Direct && !c.terse {
		o.because = append(o.because, c.nearMisses(l, host, port, class)...)
	}
	return o
}
