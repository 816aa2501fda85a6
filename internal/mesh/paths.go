package mesh

import (
	"context"
	"slices"

	"github.com/sallyport-io/sallyport/internal/budget"
)

// Paths returns the verdict for one client namespace ([AnyClient] for a
// namespace that nothing singles out), one host (canonical, may be a
// registered wildcard) and one port. Where workload labels matter, the worst
// verdict of all label sets is given. The result is deterministic.
func (m *Mesh) Paths(namespace, host string, port int) Path {
	return m.paths(namespace, host, port, false)
}

// Verdict is what [Mesh.Paths] decides, and the object that registers the host
// for the client, without what explains it: that is half of the work.
func (m *Mesh) Verdict(namespace, host string, port int) (Verdict, Ref) {
	p := m.paths(namespace, host, port, true)
	return p.Verdict, p.Entry
}

// Decided is [Mesh.Paths], but for a path that is via, of which it leaves out
// Because and Hops: most paths are, and few readers ask why.
func (m *Mesh) Decided(namespace, host string, port int) Path {
	if p := m.paths(namespace, host, port, true); p.Verdict == Via {
		p.Because, p.Hops = nil, nil
		return p
	}
	return m.paths(namespace, host, port, false)
}

// Confined reports whether a Sidecar decides what some workload of the namespace
// imports.
func (m *Mesh) Confined(namespace string) bool {
	return slices.ContainsFunc(m.sidecarsFor(namespaceOf(namespace)), func(s *Sidecar) bool { return s != nil })
}

// Unconfined is [Mesh.Paths] as it would be if there were no Sidecars.
func (m *Mesh) Unconfined(namespace, host string, port int) Path {
	path := m.pathsBy(noSidecar, namespace, host, port, false)
	if rest := m.without(path); rest != nil {
		return m.worse(path, rest.pathsBy(noSidecar, namespace, host, port, false))
	}
	return path
}

func (m *Mesh) paths(namespace, host string, port int, terse bool) Path {
	path := m.pathsBy(m.sidecarsFor(namespaceOf(namespace)), namespace, host, port, terse)
	if rest := m.without(path); rest != nil {
		return m.worse(path, rest.pathsBy(rest.sidecarsFor(namespaceOf(namespace)), namespace, host, port, terse))
	}
	return path
}

// namespaceOf is the namespace of a client, empty for [AnyClient].
func namespaceOf(client string) string {
	if client == AnyClient {
		return ""
	}
	return client
}

// pathsBy is the path from a client namespace, or [AnyClient], for workloads of
// which each has one of the Sidecars.
func (m *Mesh) pathsBy(sidecars []*Sidecar, from, host string, port int, terse bool) Path {
	if m.budget == nil {
		return m.pathAlone(sidecars, from, host, port, terse)
	}
	path := m.pathOf(sidecars, from, host, port, terse)
	m.spendText(&path)
	return path
}

// spendText takes from the budget what the texts of a path are long beyond any
// that a real name makes: one host of a megabyte, told of for every client, is a
// gigabyte.
func (m *Mesh) spendText(p *Path) {
	const usual, bytesPerStep = 4 << 10, 8
	size := len(p.Host)
	for i := range p.Because {
		size += len(p.Because[i].Message)
	}
	for i := range p.Hops {
		size += len(p.Hops[i].To) + len(p.Hops[i].Decided.Message)
	}
	m.Spend(max(0, size-usual) / bytesPerStep)
}

func (m *Mesh) pathOf(sidecars []*Sidecar, from, host string, port int, terse bool) Path {
	m.Spend(pathSteps)
	path := Path{Host: host, Port: port, Client: from}
	namespace := namespaceOf(from)
	o, se, ok := m.withoutSidecar(namespace, host, port, terse)
	if !ok {
		return m.throughSidecars(sidecars, from, host, port, terse)
	}
	path.Verdict, path.Because, path.Hops, path.Gateway, path.Passed = o.verdict, o.because, o.hops, o.gateway, o.passed
	path.Protocol = m.protocolOf(host, port)
	if se != nil {
		path.Entry = se.Ref
	}
	if (o.verdict != Direct || o.passed) && m.Namespace(namespace).Injected() {
		if beside := m.throughSidecars(sidecars, from, host, port, terse); graver(beside.Verdict, beside.Passed, path.Verdict, path.Passed) {
			return beside
		}
	}
	return path
}

// pathSteps is what it costs to begin with a path.
const pathSteps = 20

// maxPathSteps is what a path may cost that is asked for by itself, of a mesh
// without a budget. It is far beyond what anybody routes for one host; without it,
// rules times hosts times ports of a few objects would keep a reconciler busy for
// minutes.
const maxPathSteps = 1_000_000

// pathAlone is pathsBy with a budget for this path alone. A path with more ways
// than are followed counts as direct: what is not known to be via is not taken for
// it.
func (m *Mesh) pathAlone(sidecars []*Sidecar, from, host string, port int, terse bool) (path Path) {
	var ended error
	func() {
		defer budget.Catch(&ended)
		path = m.Bounded(budget.New(context.Background(), maxPathSteps)).pathsBy(sidecars, from, host, port, terse)
	}()
	if ended != nil {
		return Path{Host: host, Port: port, Client: from, Verdict: Direct, Because: []Reason{Reason{}.with("there are too many ways from here to follow")}}
	}
	return path
}

// throughSidecars is the path for workloads with sidecars.
func (m *Mesh) throughSidecars(sidecars []*Sidecar, from, host string, port int, terse bool) Path {
	path, namespace := Path{Host: host, Port: port, Client: from}, namespaceOf(from)
	var o outcome
	for i, sidecar := range sidecars {
		c := &client{m: m, namespace: namespace, sidecar: sidecar, terse: terse}
		found, protocol, entry := c.path(host, port)
		if i == 0 || graver(found.verdict, found.passed, o.verdict, o.passed) {
			o = found
		}
		if path.Entry == (Ref{}) {
			path.Protocol, path.Entry = protocol, entry
		}
	}
	o = m.filtered(namespace, o)
	path.Verdict, path.Because, path.Hops, path.Passed = o.verdict, o.because, o.hops, o.passed
	if o.verdict == Via || o.verdict == Broken {
		path.Gateway = o.gateway
	}
	if path.Protocol == "" {
		path.Protocol = m.protocolOf(host, port)
	}
	return path
}

// protocolOf is the protocol of a port as its oldest entry registers it, for
// clients that do not see it.
func (m *Mesh) protocolOf(host string, port int) string {
	for se := range m.entries.exactly(host) {
		for _, p := range se.Ports {
			if p.Number == port {
				return protocolName(p.Protocol)
			}
		}
	}
	return ""
}

// path is the outcome for one proxy.
func (c *client) path(host string, port int) (o outcome, protocol string, entry Ref) {
	serving, proxies := c.listeners(port)
	var outcomes []outcome
	for i, l := range serving {
		found, as, registered := c.listen(l, host, port)
		if as == "" && i < len(serving)-1 {
			continue // not imported for this port alone, but perhaps for all
		}
		outcomes = alongside(outcomes, found)
		outcomes = alongside(outcomes, c.reached(l, host, port))
		protocol, entry = as, registered
		break
	}
	if len(serving) == 0 {
		var reason Reason
		if !c.terse {
			reason = Reason{Ref: c.sidecar.Ref, Path: "spec.egress"}.with("the Sidecar has no egress listener for port %d", port)
		}
		outcomes = append(outcomes, c.unknown(reason))
	}
	for _, l := range proxies {
		if s := c.service(l, host); s != nil && s.hasPort(c.m, port) {
			outcomes = alongside(outcomes, c.byProxy(l, c.http(l, host, port, 0, true)))
		}
	}
	o, ok := worst(outcomes)
	if !ok {
		o = outcome{verdict: Blocked}
	}
	return o, protocol, entry
}

// listen follows the traffic that one egress listener takes, by the class of
// the protocol of every entry that registers the port.
func (c *client) listen(l *listener, host string, port int) (outcomes []outcome, protocol string, entry Ref) {
	for spelling := range c.m.spellings(host) {
		s := c.service(l, spelling)
		if s == nil || s.assumed != nil {
			continue
		}
		var done []Class
		for p := range c.m.portProtocols(s, port) {
			if protocol == "" {
				protocol, entry = protocolName(p), s.ref()
			}
			c.m.Spend(2)
			class := ClassOf(p)
			if slices.Contains(done, class) {
				continue
			}
			done = append(done, class)
			outcomes = alongside(outcomes, c.listenAs(l, l.class(class), class, spelling, port))
		}
	}
	if protocol == "" {
		return c.unregistered(l, host, port), "", Ref{}
	}
	return outcomes, protocol, entry
}

// listenAs follows traffic of a service port of one class on a listener of
// another.
func (c *client) listenAs(l *listener, listens, class Class, host string, port int) []outcome {
	var outcomes []outcome
	if listens == HTTPLike || listens == Sniffed {
		// Routes are made for service ports that may carry HTTP.
		if class == HTTPLike || class == Sniffed {
			outcomes = alongside(outcomes, c.http(l, host, port, port, true))
		}
	}
	switch listens {
	case TLSLike:
		outcomes = alongside(outcomes, c.tls(l, host, port))
	case TCPLike, Sniffed:
		outcomes = alongside(outcomes, c.tcp(l, host, port))
	}
	return outcomes
}

// class is how the listener treats the traffic of a service port: as its own
// port says, where it has one.
func (l *listener) class(port Class) Class {
	if l.egress == nil || l.egress.Port == nil {
		return port
	}
	return ClassOf(l.egress.Port.Protocol)
}

// portProtocols yields the protocol under which each entry of a service
// registers a port.
func (m *Mesh) portProtocols(s *service, port int) func(func(string) bool) {
	return func(yield func(string) bool) {
		if s.k8s != nil {
			for _, p := range s.k8s.Ports {
				if p.Port == port && !yield(k8sProtocol(p)) {
					return
				}
			}
		}
		for _, se := range s.entries {
			m.Spend(len(se.Ports) >> 5)
			for _, p := range se.Ports {
				if p.Number == port && !yield(p.Protocol) {
					return
				}
			}
		}
	}
}

// unregistered is what becomes of traffic for a host or port that the client
// does not see. On port 80, Istio gives a virtual host to every VirtualService
// all the same.
func (c *client) unregistered(l *listener, host string, port int) []outcome {
	o := c.unknown(c.unseen(l, host, port))
	if port == 80 {
		if routed := c.http(l, host, port, port, false); len(routed) > 0 {
			return append(routed, o)
		}
	}
	return []outcome{o}
}

// unseen is why the client does not see a port of a host.
func (c *client) unseen(l *listener, host string, port int) Reason {
	if c.terse {
		return Reason{}
	}
	reason := Reason{}.with("%s does not see port %d of this host", c.told(), port)
	for se := range c.m.entries.exactly(host) {
		if reason.Ref == (Ref{}) {
			reason.Ref, reason.Path = se.Ref, "spec.exportTo"
		}
		if c.sidecar != nil && visibleFrom(c.m.ExportTo(se), se.Namespace, c.namespace) != hidden && !l.importsService(c, se.Namespace, host) {
			reason.Ref, reason.Path = c.sidecar.Ref, "spec.egress"
			break
		}
	}
	return reason
}

// sidecarsFor returns the Sidecars of which one applies to each workload of
// the namespace; nil stands for none.
func (m *Mesh) sidecarsFor(namespace string) []*Sidecar {
	if m.scopes.empty() {
		return noSidecar
	}
	var out []*Sidecar
	var whole *Sidecar
	if namespace != "" {
		whole, out = m.sidecarsIn(namespace)
	}
	if whole == nil {
		whole = m.rootSidecar()
	}
	return append(out, whole)
}

// rootSidecar is the Sidecar for namespaces without one of their own: the
// oldest of the root namespace that has no selector at all.
func (m *Mesh) rootSidecar() *Sidecar {
	var root *Sidecar
	for o := range m.readIn("Sidecar", m.settings.RootNamespace) {
		if s := o.(*Sidecar); s.WorkloadSelector == nil && (root == nil || compareAge(&s.Meta, &root.Meta) < 0) {
			root = s
		}
	}
	return root
}

var noSidecar = []*Sidecar{nil}

// precedes orders Sidecars for every workload: those with a selector, be it
// empty, come before those without (initSidecarScopes).
func precedes(a, b *Sidecar) bool {
	if sa, sb := a.WorkloadSelector != nil, b.WorkloadSelector != nil; sa != sb {
		return sa
	}
	return compareAge(&a.Meta, &b.Meta) < 0
}

// sidecarsIn returns the Sidecar for every workload of a namespace, the first
// of several, and those for some workloads.
func (m *Mesh) sidecarsIn(namespace string) (whole *Sidecar, some []*Sidecar) {
	for o := range m.readIn("Sidecar", namespace) {
		s := o.(*Sidecar)
		switch {
		case s.WorkloadSelector != nil && len(s.WorkloadSelector.Labels) > 0:
			some = append(some, s)
		case whole == nil || precedes(s, whole):
			whole = s
		}
	}
	return whole, some
}

// filtered takes EnvoyFilters into account: what they do to a proxy is beyond
// this model, unless the traffic is lost already.
func (m *Mesh) filtered(namespace string, o outcome) outcome {
	if o.verdict == Direct {
		return o
	}
	filter := m.envoyFilter(namespace, nil)
	o.passed = filter != nil
	if filter == nil && o.gateway != "" {
		for i := range m.settings.Gateways {
			if g := &m.settings.Gateways[i]; g.Name == o.gateway {
				filter = m.envoyFilter(g.Namespace, g)
			}
		}
	}
	if filter == nil {
		return o
	}
	o.verdict = Undetermined
	o.because = append([]Reason{Reason{Ref: filter.Ref, Path: "spec"}.with("an EnvoyFilter changes the proxy on the way; what it does is not modelled")}, o.because...)
	return o
}

// envoyFilter returns an EnvoyFilter for proxies in the namespace, or, with a
// gateway, for its pods.
func (m *Mesh) envoyFilter(namespace string, g *EgressGateway) *EnvoyFilter {
	if _, some := m.objects.first("EnvoyFilter" + sep); !some {
		return nil
	}
	for _, from := range []string{namespace, m.settings.RootNamespace} {
		for o := range m.readIn("EnvoyFilter", from) {
			f := o.(*EnvoyFilter)
			var selector map[string]string
			if f.WorkloadSelector != nil {
				selector = f.WorkloadSelector.Labels
			}
			if g != nil && g.SelectedBy(selector) || g == nil && (from == namespace || !forGateways(selector)) {
				return f
			}
		}
	}
	return nil
}

// forGateways reports whether a selector picks Istio's gateways: only their
// pods carry the label "istio".
func forGateways(selector map[string]string) bool {
	_, ok := selector["istio"]
	return ok
}
