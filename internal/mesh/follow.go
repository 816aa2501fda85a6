package mesh

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

// traffic is what a proxy forwards.
type traffic struct {
	class     Class
	host      string // what the client asked for
	authority string // the Host of its requests, after rewriting
	port      int    // of the destination
}

// followSteps is what it costs to follow traffic to a destination, beside the
// loops on the way that count for themselves.
const followSteps = 8

// follow returns what becomes of traffic that a proxy sends to a destination:
// the cluster must exist, and then it is a matter of what is behind it. The
// reason names the field that sends the traffic there.
func (c *client) follow(l *listener, t traffic, host, subset string, reason Reason) outcome {
	c.m.Spend(followSteps)
	if c.ignored(CanonicalHost(host)) {
		return outcome{verdict: Undetermined}
	}
	if c.waypoint != nil {
		if o, ok := c.followServed(l, t, host, subset, reason); ok {
			return o
		}
	}
	s := c.destination(l, host)
	if s != nil && s.k8s != nil && s.k8s.Type == "ExternalName" {
		// An alias: Istio puts the name it stands for in its place.
		alias := s.k8s
		host = alias.ExternalName
		if !c.terse {
			link := told.F("%s is an alias of %s", alias.Ref, told.Host(host))
			if reason.Told != "" {
				link = reason.Told + "; " + link
			}
			reason = reason.says("%s", link)
		}
		s = c.destination(l, host)
	}
	var hop Hop
	if !c.terse {
		hop = Hop{From: c.String(), Decided: reason, To: clusterName(host, t.port, subset), Subset: subset}
	}
	if s == nil && c.m.described(host) {
		return c.toBackend(t, host, reason, hop)
	}
	if s == nil {
		return c.broken(reason, hop, "%s is not registered for %s", told.Host(host), c.told())
	}
	if !s.hasPort(c.m, t.port) {
		return c.broken(reason, hop, "%s has no port %d", s.ref(), t.port)
	}
	if c.gateway != nil && s.dialsOriginal() {
		return c.broken(reason, hop, "%s has resolution %s, with which a gateway finds no address", s.ref(), keyword(s.entries[0].Resolution))
	}
	if c.m.unreachable(s) {
		return c.broken(reason, hop, "%s has no endpoints", s.ref())
	}
	p := c.lastPolicy()
	var subsetLabels map[string]string
	var dr *DestinationRule
	i := -1
	if subset != "" {
		if dr, i = p.subset(subset); dr == nil {
			return c.missingSubset(reason, hop, p, host, subset)
		}
		subsetLabels = dr.Subsets[i].Labels
	}
	tls, setBy := p.tls(dr, i, t.port)
	hop.TLS = tls
	if g := c.m.gatewayBehind(s, t.port); g.to != nil {
		if c.gateway != nil {
			return c.broken(reason, hop, "the gateway sends the traffic to itself")
		}
		if !HasLabels(subsetLabels, g.to.Selector) {
			return outcome{
				verdict: Undetermined, hops: []Hop{hop},
				because: []Reason{reason.with("the subset %s is for pods with labels that gateway %s is not known to have", subset, told.Plain(g.to.Name))},
			}
		}
		arrival := arrival{traffic: t, from: c, gateway: g.to, port: g.port, tls: tls, setBy: setBy}
		if len(s.entries) > 0 {
			reason = Reason{Ref: s.ref(), Path: "spec.endpoints"}.with("every endpoint is the gateway")
		}
		return c.m.arrive(arrival, reason, hop)
	}
	if !c.leadsOut() {
		if c.terse {
			return outcome{verdict: Undetermined}
		}
		return outcome{
			verdict: Undetermined, hops: []Hop{hop},
			because: []Reason{reason.with("the traffic goes to %s in the mesh; where that sends it is not known", s.ref())},
		}
	}
	return c.out(host, t, reason, hop)
}

// out is what becomes of traffic that the proxy sends to a host outside the mesh.
func (c *client) out(host string, t traffic, reason Reason, hop Hop) outcome {
	if via, name := c.leadsOutVia(); via {
		if c.terse {
			return outcome{verdict: Via, gateway: name}
		}
		text := told.F("the gateway sends the traffic on to %s", hostAt(host, t.port))
		if c.waypoint != nil {
			text = told.F("the waypoint sends it on to %s", hostAt(host, t.port))
		}
		return outcome{verdict: Via, gateway: name, hops: []Hop{hop}, because: []Reason{reason.with("%s", text)}}
	}
	if c.terse {
		return outcome{verdict: Direct, host: host, port: t.port}
	}
	text := told.F("traffic goes straight to %s, which is outside the mesh", hostAt(host, t.port))
	if c.waypoint != nil {
		text = told.F("waypoint %s, which is none of those that may lead out, sends it on to %s",
			c.waypoint.Tell().As(c.waypoint.Namespace+"/"+c.waypoint.Name), hostAt(host, t.port))
	}
	return outcome{verdict: Direct, hops: []Hop{hop}, host: host, port: t.port, because: []Reason{reason.with("%s", text)}}
}

// leadsOutVia reports whether the proxy is one through which traffic may leave the
// mesh, and the name by which a path knows it.
func (c *client) leadsOutVia() (via bool, name string) {
	switch {
	case c.gateway != nil:
		return true, c.gateway.Name
	case c.waypoint != nil && c.m.settings.LeadsOut(c.waypoint.Ref):
		return true, c.waypoint.Name
	default:
		return false, ""
	}
}

// dialsOriginal reports whether a proxy dials the address, or the name, that
// its own client chose: only sidecars can.
func (s *service) dialsOriginal() bool {
	return len(s.entries) > 0 && (s.entries[0].Resolution == "NONE" || s.entries[0].Resolution == "DYNAMIC_DNS")
}

// String names the proxy for people.
func (c *client) String() string {
	switch {
	case c.gateway != nil:
		return "gateway " + c.gateway.Name
	case c.waypoint != nil:
		return "waypoint " + c.waypoint.Namespace + "/" + c.waypoint.Name
	case c.namespace == "":
		return "a sidecar in any other namespace"
	default:
		return "a sidecar in namespace " + c.namespace
	}
}

// told names the proxy in a message, for those, too, who may not know the namespace.
func (c *client) told() told.Text {
	switch {
	case c.waypoint != nil:
		return told.F("the waypoint %s", c.waypoint.Tell().As(c.waypoint.Namespace+"/"+c.waypoint.Name))
	case c.gateway != nil || c.namespace == "":
		return told.Plain(c.String())
	}
	return told.F("a sidecar in %s", told.InNamespace(c.namespace))
}

func clusterName(host string, port int, subset string) string {
	if subset == "" {
		return host + ":" + strconv.Itoa(port)
	}
	return host + ":" + strconv.Itoa(port) + " subset " + subset
}

// with adds a sentence to the reason.
func (r Reason) with(format told.Text, args ...any) Reason {
	text := told.F(format, args...)
	if r.Told != "" {
		text = r.Told + ": " + text
	}
	r.Told, r.Message = text, text.String()
	return r
}

// says replaces the sentence of the reason.
func (r Reason) says(format told.Text, args ...any) Reason {
	r.Told, r.Message = "", ""
	return r.with(format, args...)
}

// hostAt is the name of a host with a port, for a message.
func hostAt(host string, port int) told.Arg { return told.Host(host).As(clusterName(host, port, "")) }

// keyword is a word of Istio's API for a message. What somebody has written in the
// place of one is not.
func keyword(s string) any {
	switch s {
	case "", "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "PASSTHROUGH", "AUTO_PASSTHROUGH", "OPTIONAL_MUTUAL", "HBONE",
		"NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS":
		return told.Plain(s)
	default:
		return s
	}
}

func (c *client) broken(r Reason, hop Hop, format told.Text, args ...any) outcome {
	if c.terse {
		return outcome{verdict: Broken}
	}
	return outcome{verdict: Broken, hops: []Hop{hop}, because: []Reason{r.with(format, args...)}}
}

// missingSubset: the route names a cluster that does not exist. Where a rule
// of the client shadows the one that has the subset, that is the reason.
func (c *client) missingSubset(r Reason, hop Hop, p *policy, host, subset string) outcome {
	if c.terse {
		return outcome{verdict: Broken}
	}
	o := c.broken(r, hop, "no DestinationRule that %s uses for %s has the subset %s", c.told(), told.Host(host), subset)
	if c.gateway == nil {
		o.because[0].Path += ".subset"
	}
	if p == nil {
		return o
	}
	shadow := p.first
	if shadow == nil {
		shadow = p.maybe[0]
	}
	o.because = append(o.because, Reason{Ref: shadow.Ref, Path: "spec.host"}.with(
		"this is the DestinationRule in force for the client; it hides those of other namespaces"))
	return o
}

// unknown is what becomes of traffic that no listener and no route takes.
func (c *client) unknown(r Reason) outcome {
	any, reasons := c.passthrough()
	switch {
	case c.terse && any:
		return outcome{verdict: Direct, passed: true}
	case c.terse:
		return outcome{verdict: Blocked}
	case any:
		return outcome{verdict: Direct, passed: true, because: append([]Reason{r.with("the proxy passes unknown traffic through")}, reasons...)}
	}
	return outcome{verdict: Blocked, because: []Reason{r}}
}

// passthrough reports whether the client's proxy lets traffic for unknown
// hosts out, or sends it somewhere, and why.
func (c *client) passthrough() (bool, []Reason) {
	if c.sidecar == nil || c.sidecar.OutboundTrafficPolicy == nil {
		if c.m.settings.AllowAny {
			return true, []Reason{c.m.outboundReason()}
		}
		return false, nil
	}
	p := c.sidecar.OutboundTrafficPolicy
	if p.EgressProxy != nil && p.EgressProxy.Host != "" {
		host := ResolveHost(p.EgressProxy.Host, c.sidecar.Namespace, c.m.settings.ClusterDomain)
		return true, []Reason{Reason{Ref: c.sidecar.Ref, Path: "spec.outboundTrafficPolicy.egressProxy"}.with("all traffic for unknown hosts goes to %s", told.Host(host))}
	}
	if p.Mode == "REGISTRY_ONLY" {
		return false, nil
	}
	return true, []Reason{Reason{Ref: c.sidecar.Ref, Path: "spec.outboundTrafficPolicy.mode"}.with("traffic for unknown hosts goes straight out")}
}

// behind is an approved gateway, and the port of its Service that is dialled.
type behind struct {
	to   *EgressGateway
	port int
}

// gatewayBehind returns the approved egress gateway that a service is: its own
// Kubernetes Service, or entries all of whose endpoints are the gateway's
// name.
func (m *Mesh) gatewayBehind(s *service, port int) behind {
	if len(s.entries) == 0 {
		return behind{m.gatewayOf(s.host), port}
	}
	var found behind
	for se := range m.siblings(s) {
		m.Spend(1 + len(se.Ports)>>6)
		i := slices.IndexFunc(se.Ports, func(p ServicePort) bool { return p.Number == port })
		if i < 0 {
			continue
		}
		if len(se.Endpoints) == 0 || se.WorkloadLabels != nil || !strings.HasPrefix(se.Resolution, "DNS") {
			return behind{}
		}
		for j := range se.Endpoints {
			e := &se.Endpoints[j]
			m.Spend(endpointSteps)
			g := m.gatewayOf(CanonicalHost(e.Address))
			if g == nil || found.to != nil && g != found.to {
				return behind{}
			}
			found = behind{g, dialledPort(e, &se.Ports[i])}
		}
	}
	return found
}

// siblings yields the entries whose endpoints end up in a service: Istio keeps
// endpoints by host and namespace, whoever may see the entry.
func (m *Mesh) siblings(s *service) iter.Seq[*ServiceEntry] {
	return func(yield func(*ServiceEntry) bool) {
		for se := range m.spelledEntries(s.host) {
			if se.Namespace == s.namespace && !yield(se) {
				return
			}
		}
	}
}

// unreachable reports whether a service has no endpoint to dial.
func (m *Mesh) unreachable(s *service) bool {
	if len(s.entries) == 0 {
		return false
	}
	for se := range m.siblings(s) {
		if se.Resolution != "STATIC" || len(se.Endpoints) > 0 || se.WorkloadLabels != nil {
			return false
		}
	}
	return true
}

// dialledPort is the port of an endpoint that a service port stands for.
func dialledPort(e *Endpoint, p *ServicePort) int {
	if n, ok := e.Ports[p.Name]; ok {
		return n
	}
	if p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Number
}

// outsideService reports whether traffic to a service leaves the mesh.
func (m *Mesh) outsideService(s *service) bool {
	if s.k8s != nil {
		return m.slicesOutside(s.k8s)
	}
	if s.assumed != nil {
		return false
	}
	for se := range m.siblings(s) {
		if m.leavesAlone(se) {
			return true
		}
	}
	return false
}
