package mesh

import (
	"iter"
	"slices"
	"strings"
)

// client is the point of view of one proxy: a namespace, and the Sidecar that
// applies to the workload.
type client struct {
	m         *Mesh
	namespace string         // empty for a namespace that nothing singles out
	sidecar   *Sidecar       // nil where none applies: everything is imported
	gateway   *EgressGateway // set where the proxy is an egress gateway's
	waypoint  *K8sGateway    // set where it is a waypoint's
	terse     bool           // nobody asks for reasons and hops: they may be missing

	only string // set where no other destination is of interest; see reached

	last struct { // what the last destination came to: many rules may lead to one
		listener *listener
		host     string
		service  *service
		policy   *policy // once asked is true
		outside  bool    // once looked is true
		asked    bool
		looked   bool
	}
}

// sidecars reports whether the proxy is a sidecar.
func (c *client) sidecars() bool { return c.gateway == nil && c.waypoint == nil }

// listener is what one egress listener of a Sidecar imports. A client without
// Sidecar has one listener, for every port, that imports everything.
type listener struct {
	egress *EgressListener // nil: everything
}

var (
	importAll    = &listener{}
	allListeners = []*listener{importAll}
)

// listeners returns the egress listeners that may serve a port, first one
// for that port alone and then the one for all ports, and the HTTP proxy
// listeners, which serve every port on one of their own. Both are empty where
// the Sidecar has none: the port is not listened on.
func (c *client) listeners(port int) (serving, proxies []*listener) {
	// The mesh configuration may make every sidecar an HTTP proxy beside.
	proxy := c.gateway == nil && c.m.settings.ProxyHTTPPort != 0
	if c.sidecar == nil || len(c.sidecar.Egress) == 0 {
		if proxy {
			return allListeners, allListeners
		}
		return allListeners, nil
	}
	c.m.Spend(2 * len(c.sidecar.Egress))
	for i := range c.sidecar.Egress {
		l := &listener{egress: &c.sidecar.Egress[i]}
		switch {
		case l.proxies():
			proxies = append(proxies, l)
		case l.egress.Port == nil || l.egress.Port.Number == port:
			serving = append(serving, l)
		}
		if proxy && l.egress.Port == nil {
			proxies = append(proxies, l)
		}
	}
	return serving, proxies
}

// proxies reports whether the listener leads anywhere the client asks for, on
// a port of its own: an HTTP proxy, or a Unix socket.
func (l *listener) proxies() bool {
	p := l.egress.Port
	return p != nil && (p.Number == 0 || strings.EqualFold(p.Protocol, "HTTP_PROXY"))
}

// importHost is one "namespace/host" of an egress listener.
func importHost(entry, clientNamespace string) (namespace, host string, excluded, ok bool) {
	namespace, host, ok = strings.Cut(entry, "/")
	if !ok || strings.Contains(host, "/") {
		return "", "", false, false
	}
	if rest, found := strings.CutPrefix(namespace, "~"); found {
		excluded = true
		namespace = orDefault(rest, "*")
	}
	if namespace == "." {
		namespace = clientNamespace
	}
	return namespace, host, excluded, true
}

// importSteps is what it costs to look at one import.
const importSteps = 1

// importsService reports whether the listener imports a service
// (selectServices in Istio's pilot/pkg/model/sidecar.go).
func (l *listener) importsService(c *client, namespace, host string) bool {
	if l.egress == nil {
		return true
	}
	found := false
	c.m.Spend(importSteps * len(l.egress.Hosts))
	for _, entry := range l.egress.Hosts {
		ns, pattern, excluded, ok := importHost(entry, c.namespace)
		if !ok || ns != "*" && ns != namespace {
			continue
		}
		if HostCovers(pattern, host) {
			if excluded {
				return false
			}
			found = true
		}
	}
	return found
}

// importsPorts reports whether an entry has the listener's port, where the
// listener is for one port alone.
func (l *listener) importsPorts(se *ServiceEntry) bool {
	if l.egress == nil || l.egress.Port == nil || l.proxies() {
		return true
	}
	return slices.ContainsFunc(se.Ports, func(p ServicePort) bool { return p.Number == l.egress.Port.Number })
}

// importsVirtual reports whether the listener imports a VirtualService: one
// of its hosts is enough, and a match in either direction is
// (SelectVirtualServices).
func (l *listener) importsVirtual(c *client, vs *VirtualService) bool {
	if l.egress == nil {
		return true
	}
	for h := range c.m.spelledHosts(vs) {
		if l.importsRoute(c, vs, h) {
			return true
		}
	}
	return false
}

func (l *listener) importsRoute(c *client, vs *VirtualService, host string) bool {
	found := false
	c.m.Spend(importSteps * len(l.egress.Hosts))
	for _, entry := range l.egress.Hosts {
		ns, pattern, excluded, ok := importHost(entry, c.namespace)
		if !ok || ns != "*" && ns != vs.Namespace {
			continue
		}
		switch {
		case excluded:
			if HostCovers(pattern, host) {
				return false
			}
		case HostCovers(pattern, host), !vs.gatewaySemantics() && HostCovers(host, pattern):
			found = true
		}
	}
	return found
}

// service is what Istio makes of the registrations of one host in one
// namespace, as one proxy sees it.
type service struct {
	host      string
	namespace string
	k8s       *Service
	entries   []*ServiceEntry // oldest first
	assumed   *EgressGateway  // an approved gateway's Service that the mesh does not hold
}

// ref names the object that registers the service.
func (s *service) ref() Ref {
	switch {
	case s.k8s != nil:
		return s.k8s.Ref
	case len(s.entries) > 0:
		return s.entries[0].Ref
	default:
		return Ref{Kind: "Service", Namespace: s.assumed.Namespace, Name: s.assumed.Service}
	}
}

// hasPort reports whether the service has a cluster for the port: the oldest
// entry's ports, and those of entries that can be merged with it
// (canMergeServices in Istio's pilot/pkg/model/sidecar.go). Of entries of the
// same second any may come first (SortServicesByCreationTime).
func (s *service) hasPort(m *Mesh, port int) bool {
	switch {
	case s.k8s != nil:
		return slices.ContainsFunc(s.k8s.Ports, func(p K8sServicePort) bool { return p.Port == port })
	case s.assumed != nil:
		return slices.ContainsFunc(m.assumedPorts(s.assumed), func(p [2]int) bool { return p[0] == port })
	}
	for _, first := range s.entries {
		if first.Created.Unix() != s.entries[0].Created.Unix() {
			continue
		}
		for _, se := range s.entries {
			m.Spend(1 + len(se.Ports)>>6)
			if se != first && !mergeable(m, first, se) {
				continue
			}
			if slices.ContainsFunc(se.Ports, func(p ServicePort) bool { return p.Number == port }) {
				return true
			}
		}
	}
	return false
}

func mergeable(m *Mesh, a, b *ServiceEntry) bool {
	m.Spend(labelSteps * (len(a.Labels) + len(selectorLabels(a)) + len(a.ExportTo)*len(b.ExportTo)))
	return a.Resolution == b.Resolution && equalLabels(a.Labels, b.Labels) &&
		equalLabels(selectorLabels(a), selectorLabels(b)) && sameSet(m.declaredExport(a), m.declaredExport(b))
}

func selectorLabels(se *ServiceEntry) map[string]string {
	if se.WorkloadLabels == nil {
		return nil
	}
	return se.WorkloadLabels.Labels
}

// spellings are the ways in which entries write a host, its canonical form
// first. To Istio they are services of their own.
func (m *Mesh) spellings(host string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(host) {
			return
		}
		var seen []string
		for se := range m.entries.exactly(host) {
			for _, h := range se.Hosts {
				if h == host || m.canonical(h) != host || m.contains(seen, h) {
					continue
				}
				if !yield(h) {
					return
				}
				seen = append(seen, h)
			}
		}
	}
}

// service returns what the client gets for a host, in one spelling, from a
// listener, or nil where the host is not registered for it.
//
// Sidecars (selectServices, unified): the namespace of the client first, then
// a Kubernetes Service, then the first entry in the order exported, public and
// by age. Gateways (DefaultSidecarScopeForGateway): no preference for their
// own namespace.
func (c *client) service(l *listener, host string) *service {
	k8s := c.m.k8sService(host)
	if k8s != nil && (!c.sees(k8s) || !l.importsService(c, k8s.namespace, host)) {
		k8s = nil
	}
	var entries, open []*ServiceEntry // exported to the namespace by name, and to all
	own := false
	for se := range c.m.spelledEntries(host) {
		c.m.Spend(2 + len(c.m.ExportTo(se))>>2)
		seen := visibleFrom(c.m.ExportTo(se), se.Namespace, c.namespace)
		if seen == hidden || !l.importsService(c, se.Namespace, host) || !l.importsPorts(se) {
			continue
		}
		own = own || se.Namespace == c.namespace
		if seen == public {
			open = append(open, se)
		} else {
			entries = append(entries, se)
		}
	}
	entries = append(entries, open...)
	own = own && c.sidecars()
	if k8s != nil && (!own || k8s.namespace == c.namespace) {
		return k8s
	}
	if len(entries) == 0 {
		return nil
	}
	namespace := entries[0].Namespace
	if own {
		namespace = c.namespace
	}
	return &service{host: host, namespace: namespace, entries: slices.DeleteFunc(entries, func(se *ServiceEntry) bool {
		return se.Namespace != namespace
	})}
}

// contains is [slices.Contains] for a list of any length.
func (m *Mesh) contains(list []string, s string) bool {
	m.Spend(1 + len(list)>>4)
	return slices.Contains(list, s)
}

// sees reports whether a Kubernetes Service is exported to the client. One
// that is only taken to exist is taken to be, too.
func (c *client) sees(s *service) bool {
	return s.k8s == nil || visibleFrom(c.m.serviceExport(s.k8s), s.namespace, c.namespace) != hidden
}

// spelledEntries yields the entries that write the host in this way.
func (m *Mesh) spelledEntries(host string) iter.Seq[*ServiceEntry] {
	return func(yield func(*ServiceEntry) bool) {
		for se := range m.entries.exactly(CanonicalHost(host)) {
			if m.contains(se.Hosts, host) && !yield(se) {
				return
			}
		}
	}
}

// k8sService returns the Kubernetes Service of that name. An approved gateway
// has one even where the mesh does not hold it: manifests are judged without
// the cluster's Services.
func (m *Mesh) k8sService(host string) *service {
	if svc := m.service(host); svc != nil {
		return &service{host: host, namespace: svc.Namespace, k8s: svc}
	}
	if g := m.gatewayOf(host); g != nil && m.Reads(g.Namespace) {
		return &service{host: host, namespace: g.Namespace, assumed: g}
	}
	return nil
}

// chartPorts are the ports and target ports of the Service in Istio's egress
// gateway chart.
var chartPorts = [][2]int{{80, 8080}, {443, 8443}, {15443, 15443}}

// assumedPorts are the ports, and target ports, of a gateway's Service that
// the mesh does not hold.
func (m *Mesh) assumedPorts(g *EgressGateway) [][2]int {
	k := m.deployed(g)
	if k == nil {
		return chartPorts
	}
	ports := make([][2]int, len(k.Listeners))
	for i, l := range k.Listeners {
		ports[i] = [2]int{l.Port, l.Port}
	}
	return ports
}

// destination returns the service that a rule the client imports leads to.
// Beside what is imported, Istio adds what VirtualServices name, with a Sidecar
// or without one (collectImportedServices): from the client's namespace, even
// where it is not exported, else the best that is visible.
func (c *client) destination(l *listener, host string) *service {
	if l != c.last.listener || host != c.last.host {
		c.last.listener, c.last.host, c.last.service = l, host, c.newDestination(l, host)
		c.last.policy, c.last.asked, c.last.looked = nil, false, false
	}
	return c.last.service
}

// leadsOut reports whether the destination that was found last is outside the mesh.
func (c *client) leadsOut() bool {
	if !c.last.looked {
		c.last.outside, c.last.looked = c.m.outsideService(c.last.service), true
	}
	return c.last.outside
}

// lastPolicy is the policy for the destination that was found last.
func (c *client) lastPolicy() *policy {
	if !c.last.asked {
		c.last.policy, c.last.asked = c.policy(CanonicalHost(c.last.host), c.last.service.namespace), true
	}
	return c.last.policy
}

func (c *client) newDestination(l *listener, host string) *service {
	if s := c.service(l, host); s != nil {
		return s
	}
	if !c.sidecars() {
		return nil
	}
	if l.egress != nil {
		if s := c.service(importAll, host); s != nil {
			return s
		}
	}
	if svc := c.m.service(host); svc != nil && svc.Namespace == c.namespace {
		return &service{host: host, namespace: svc.Namespace, k8s: svc}
	}
	for se := range c.m.spelledEntries(host) {
		if se.Namespace == c.namespace {
			return &service{host: host, namespace: se.Namespace, entries: []*ServiceEntry{se}}
		}
	}
	return nil
}

func equalLabels(a, b map[string]string) bool { return len(a) == len(b) && HasLabels(a, b) }

func sameSet(a, b []string) bool {
	for _, s := range a {
		if !slices.Contains(b, s) {
			return false
		}
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			return false
		}
	}
	return true
}

// ports are the numbers of the service's ports: those of the oldest entry, and
// of what is merged with it.
func (s *service) ports(m *Mesh) []int {
	var out []int
	switch {
	case s.k8s != nil:
		for _, p := range s.k8s.Ports {
			out = append(out, p.Port)
		}
	case s.assumed != nil:
		for _, p := range m.assumedPorts(s.assumed) {
			out = append(out, p[0])
		}
	default:
		for _, se := range s.entries {
			if se != s.entries[0] && !mergeable(m, s.entries[0], se) {
				continue
			}
			m.Spend(len(se.Ports) * (1 + len(out)>>6))
			for _, p := range se.Ports {
				if !slices.Contains(out, p.Number) {
					out = append(out, p.Number)
				}
			}
		}
	}
	return out
}

// portEntry returns the first entry that has the port, and its index there.
func (s *service) portEntry(port int) (*ServiceEntry, int) {
	for _, se := range s.entries {
		if i := slices.IndexFunc(se.Ports, func(p ServicePort) bool { return p.Number == port }); i >= 0 {
			return se, i
		}
	}
	return nil, -1
}
