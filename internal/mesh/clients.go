package mesh

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxShadows bounds how many namespaces [Mesh.Clients] names only because a
// DestinationRule of theirs may hide a subset of the gateway's: their paths
// can be broken, never direct.
const maxShadows = 16

// Clients returns the namespaces whose path for the host can differ from that
// of [AnyClient]: those that some object which bears on the host singles out.
// Of namespaces whose Sidecars import the same of what bears on the host, one
// stands for all. The list is sorted.
func (m *Mesh) Clients(host string) []string {
	c := crowd{}
	m.crowd(c, host)
	if m.rest != nil {
		m.Survivors().crowd(c, host)
	}
	return slices.Sorted(maps.Keys(c))
}

// Usual reports whether nothing but an entry or a route gives the clients in a
// namespace a path of their own: where neither [Mesh.Clients] nor [Mesh.Registers] names
// the namespace for a host, its verdicts for the host are those of [AnyClient]. It errs
// on the side of no.
func (m *Mesh) Usual(namespace string) bool {
	if !m.ambient.empty() || len(m.settings.Discovery) > 0 {
		return false
	}
	if n := m.Namespace(namespace); n != nil && (!n.Injected() || m.Dying(n)) {
		return false
	}
	for _, kind := range Kinds() {
		switch kind {
		case "Namespace", "ServiceEntry", "VirtualService", "Workload":
			continue
		}
		for range m.In(kind, namespace) {
			return false
		}
	}
	return true
}

// Registers returns the namespaces that an entry for the host, or for a wildcard over
// or below it, singles out: its own, and those that it is exported to by name. The list
// is sorted.
func (m *Mesh) Registers(host string) []string {
	c := crowd{}
	for _, se := range m.entries.overlapping(host) {
		m.Spend(1 + labelSteps*len(m.ExportTo(se)))
		c.add(se.Namespace)
		c.add(m.ExportTo(se)...)
	}
	return slices.Sorted(maps.Keys(c))
}

// crowd adds the clients of one state of the mesh.
func (m *Mesh) crowd(c crowd, host string) {
	m.Spend(lookupSteps)
	entries := slices.Collect(m.entries.exactly(host))
	virtuals := m.inOrder(m.routes.overlapping(host))
	m.Spend(virtualSteps * len(virtuals))
	for _, se := range entries {
		m.Spend(1 + labelSteps*len(m.ExportTo(se)))
		c.add(se.Namespace)
		c.add(m.ExportTo(se)...)
	}
	for _, vs := range virtuals {
		c.add(vs.Namespace)
		m.Spend(labelSteps * len(m.routeExport(vs)))
		c.add(m.routeExport(vs)...)
		c.add(m.sourceNamespaces(vs)...)
		for leaf := range m.Leaves(vs) {
			c.add(m.sourceNamespaces(leaf)...)
		}
		if !vs.inMesh() {
			continue
		}
		last := ""
		for d := range vs.destinations() {
			m.Spend(1)
			if d.Host == last {
				continue
			}
			last = d.Host
			// Who registers a destination decides what is behind it.
			if h := m.host(vs, d.Host); h != host {
				c.addService(m, h)
				m.Spend(lookupSteps)
				for se := range m.entries.exactly(h) {
					m.Spend(1 + labelSteps*len(m.ExportTo(se)))
					c.add(se.Namespace)
					c.add(m.ExportTo(se)...)
				}
			}
		}
	}
	// Those are reached, too, whose own rules for other hosts lead here.
	for vs := range m.targets.under(hostPrefix(host)) {
		m.Spend(1)
		for root := range m.Roots(vs) {
			if root.inMesh() {
				m.Spend(labelSteps * len(m.routeExport(root)))
				c.add(root.Namespace)
				c.add(m.routeExport(root)...)
			}
		}
	}
	for dr := range m.policies.exactly(host) {
		m.Spend(1)
		c.add(dr.Namespace)
	}
	m.addShadows(c)
	if !m.attached.empty() {
		for _, se := range distinct(m.entries.overlapping(host)) {
			for r := range m.attached.under("ServiceEntry" + sep + se.Namespace + sep + se.Name + sep) {
				m.Spend(1)
				c.add(r.Namespace)
			}
		}
	}
	m.addScopes(c, entries, virtuals)
	for o := range m.All("EnvoyFilter") {
		if ns := o.Metadata().Namespace; ns != m.settings.RootNamespace {
			c.add(ns)
			break
		}
	}
	if ns, ok := m.ambient.first(""); ok {
		c.add(ns.Name)
		if m.settings.Visibility != nil { // an entry may be hidden from all but its own
			for ns := range m.ambient.under("") {
				m.Spend(1)
				if !slices.ContainsFunc(entries, func(se *ServiceEntry) bool { return se.Namespace == ns.Name }) {
					c.add(ns.Name)
					break
				}
			}
		}
		// Of namespaces with sidecars one that nothing else singles out stands
		// for all; one that is in both is like no other.
		for ns := range m.injected.under("") {
			m.Spend(1)
			if !c[ns.Name] {
				c.add(ns.Name)
				break
			}
		}
		for ns := range m.ambient.under("") {
			m.Spend(1)
			if ns.Injected() {
				c.add(ns.Name)
				break
			}
		}
	}
}

// crowd is a set of namespaces.
type crowd map[string]bool

// add takes names as they stand in an exportTo.
func (c crowd) add(names ...string) {
	for _, n := range names {
		if n != "" && n != "*" && n != "." && n != "~" {
			c[n] = true
		}
	}
}

// addService adds the namespaces that alone see a Kubernetes Service.
func (c crowd) addService(m *Mesh, host string) {
	svc := m.service(host)
	if svc == nil {
		return
	}
	if to := m.serviceExport(svc); len(to) > 0 && !slices.Contains(to, "*") {
		c.add(svc.Namespace)
		c.add(to...)
	}
}

// sourceNamespaces are the namespaces that a match of the VirtualService names.
func (m *Mesh) sourceNamespaces(vs *VirtualService) []string {
	out := vs.sourceNamespaces()
	m.Spend(len(out))
	return out
}

func (vs *VirtualService) sourceNamespaces() []string {
	var out []string
	for i := range vs.HTTP {
		for j := range vs.HTTP[i].Match {
			out = append(out, vs.HTTP[i].Match[j].SourceNamespace)
		}
	}
	for match := range vs.tlsMatches() {
		out = append(out, match.SourceNamespace)
	}
	for i := range vs.TCP {
		for j := range vs.TCP[i].Match {
			out = append(out, vs.TCP[i].Match[j].SourceNamespace)
		}
	}
	return out
}

// addShadows adds namespaces with DestinationRules of their own that cover an
// approved gateway, and those to which such a rule is exported by name.
func (m *Mesh) addShadows(c crowd) {
	n := 0
	for i := range m.settings.Gateways {
		g := &m.settings.Gateways[i]
		for dr := range m.policiesCovering(m.names.gateways[i]) {
			if n >= maxShadows {
				return
			}
			had := len(c)
			m.Spend(1 + labelSteps*len(dr.ExportTo))
			if dr.Namespace != g.Namespace {
				c.add(dr.Namespace)
			}
			c.add(dr.ExportTo...)
			n += len(c) - had
		}
	}
}

// scopeKey groups the Sidecars that say the same, whatever their namespace.
func scopeKey(s *Sidecar) string { return scopeHash(s) + sep + s.Namespace + sep + s.Name }

func scopeHash(s *Sidecar) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%d\n", scopeRest(s), len(s.Egress))
	for i := range s.Egress {
		for _, h := range s.Egress[i].Hosts {
			if rest, ok := strings.CutPrefix(h, s.Namespace+"/"); ok {
				h = "./" + rest
			}
			fmt.Fprintf(&b, "%q,", h)
		}
		b.WriteByte('\n')
	}
	sum := sha256.Sum256([]byte(b.String()))
	return fmt.Sprintf("%x", sum)
}

// scopeRest is what a Sidecar says beside its imports.
func scopeRest(s *Sidecar) string {
	var b strings.Builder
	if p := s.OutboundTrafficPolicy; p != nil {
		fmt.Fprintf(&b, "%q", p.Mode)
		if p.EgressProxy != nil {
			fmt.Fprintf(&b, "%q", p.EgressProxy.Host)
		}
	}
	for i := range s.Egress {
		e := &s.Egress[i]
		fmt.Fprintf(&b, ";%q%q", e.Bind, e.CaptureMode)
		if e.Port != nil {
			fmt.Fprintf(&b, "%d%q", e.Port.Number, e.Port.Protocol)
		}
	}
	return b.String()
}

// addScopes adds one namespace for every way in which Sidecars import what
// bears on a host.
func (m *Mesh) addScopes(c crowd, entries []*ServiceEntry, virtuals []*VirtualService) {
	seen := map[string]bool{}
	for start := ""; ; {
		var hash string
		var s *Sidecar
		m.Spend(lookupSteps)
		for key, first := range m.scopes.from(start) {
			hash, _, _ = strings.Cut(key, sep)
			s = first
			break
		}
		if s == nil {
			return
		}
		start = hash + "\x01" // beyond the Sidecars that say the same
		s = nil
		for same := range m.scopes.under(hash + sep) {
			m.Spend(lookupSteps)
			if same.Namespace != m.settings.RootNamespace && slices.Contains(m.sidecarsFor(same.Namespace), same) {
				if s = same; !c[s.Namespace] {
					break
				}
			}
		}
		if s == nil {
			continue // none of them is in force
		}
		if view := m.scopeView(s, entries, virtuals); !seen[view] {
			seen[view] = true
			c.add(s.Namespace)
		}
	}
}

// scopeView is what a Sidecar makes of the given objects.
func (m *Mesh) scopeView(s *Sidecar, entries []*ServiceEntry, virtuals []*VirtualService) string {
	c := &client{m: m, namespace: s.Namespace, sidecar: s}
	var b strings.Builder
	b.WriteString(scopeRest(s))
	see := func(yes bool) {
		if yes {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
	}
	listeners := []*listener{importAll}
	for i := range s.Egress {
		if i == 0 {
			listeners = nil
		}
		listeners = append(listeners, &listener{egress: &s.Egress[i]})
	}
	for _, l := range listeners {
		b.WriteByte('|')
		for _, se := range entries {
			for _, h := range se.Hosts {
				see(l.importsService(c, se.Namespace, m.canonical(h)))
			}
		}
		for _, vs := range virtuals {
			see(l.importsVirtual(c, vs))
		}
	}
	return b.String()
}

// Passthrough reports whether the proxy of some workload in the namespace lets
// traffic for hosts that nobody registers out, or sends it to a proxy of its
// choice, and what says so.
func (m *Mesh) Passthrough(namespace string) (bool, []Reason) {
	namespace = namespaceOf(namespace)
	for _, s := range m.sidecarsFor(namespace) {
		c := &client{m: m, namespace: namespace, sidecar: s}
		if open, reasons := c.passthrough(); open {
			return true, reasons
		}
	}
	return false, nil
}
