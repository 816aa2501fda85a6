package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// destination is one place to which a VirtualService sends traffic.
type destination struct {
	mesh.Destination
	path    string // JSON path of its host
	section string // http, tls, tcp
	rule    int    // index of the rule in its section
	mesh    bool   // sidecars follow the rule
	// gateways are those, other than mesh, to which the rule applies.
	gateways []string
	mirror   bool
	dropped  bool // weight 0 beside others: Istio leaves it out
}

// destinations are those of [destinationsOf], for several rules to share: they
// only read them.
func (p *Pass) destinations(vs *mesh.VirtualService) []destination {
	all, _ := p.Memo.Do(destinationsKey{vs}, func() (any, error) { return destinationsOf(p.After, vs), nil })
	found := all.([]destination)
	p.Spend(len(found))
	return found
}

type destinationsKey struct{ of *mesh.VirtualService }

// destinationsOf returns every destination of a VirtualService, mirrors and
// weights of zero included, in the order of the rules.
func destinationsOf(m *mesh.Mesh, vs *mesh.VirtualService) []destination {
	all := make([]destination, 0, len(vs.HTTP)+len(vs.TLS)+len(vs.TCP))
	for i := range vs.HTTP {
		r := &vs.HTTP[i]
		m.Spend(destinationSteps * (1 + len(r.Route) + len(r.Mirrors)))
		scope := scopeOf(m, vs, matchGateways(r.Match, func(m mesh.HTTPMatch) []string { return m.Gateways }))
		base := fmt.Sprintf("spec.http[%d]", i)
		all = append(all, routed(r.Route, "http", i, base, scope)...)
		mirror := func(d *mesh.Destination, path string) {
			if d != nil {
				copied := scope
				copied.Destination, copied.section, copied.rule, copied.path, copied.mirror = *d, "http", i, path+".host", true
				all = append(all, copied)
			}
		}
		mirror(r.Mirror, base+".mirror")
		for j, m := range r.Mirrors {
			mirror(m.Destination, fmt.Sprintf("%s.mirrors[%d].destination", base, j))
		}
	}
	for i, r := range vs.TLS {
		m.Spend(destinationSteps * (1 + len(r.Route)))
		scope := scopeOf(m, vs, matchGateways(r.Match, func(m mesh.TLSMatch) []string { return m.Gateways }))
		all = append(all, routed(r.Route, "tls", i, fmt.Sprintf("spec.tls[%d]", i), scope)...)
	}
	for i, r := range vs.TCP {
		m.Spend(destinationSteps * (1 + len(r.Route)))
		scope := scopeOf(m, vs, matchGateways(r.Match, func(m mesh.TCPMatch) []string { return m.Gateways }))
		all = append(all, routed(r.Route, "tcp", i, fmt.Sprintf("spec.tcp[%d]", i), scope)...)
	}
	return all
}

func routed(route []mesh.RouteDestination, section string, rule int, base string, scope destination) []destination {
	var all []destination
	for j, r := range route {
		d := scope
		d.Destination, d.section, d.rule = r.Destination, section, rule
		d.path = fmt.Sprintf("%s.route[%d].destination.host", base, j)
		d.dropped = len(route) > 1 && r.Weight == 0
		all = append(all, d)
	}
	return all
}

// matchGateways collects what the match blocks of a rule say about gateways;
// nil stands for a block that says nothing, or for no block at all.
func matchGateways[M any](blocks []M, gateways func(M) []string) [][]string {
	if len(blocks) == 0 {
		return [][]string{nil}
	}
	var all [][]string
	for _, b := range blocks {
		all = append(all, gateways(b))
	}
	return all
}

// scopeOf says to which gateways a rule applies: those that its match blocks
// name, and for a block that names none those of the VirtualService.
func scopeOf(m *mesh.Mesh, vs *mesh.VirtualService, blocks [][]string) destination {
	var d destination
	top := vs.Gateways
	if len(top) == 0 {
		top = []string{"mesh"}
	}
	for _, names := range blocks {
		if len(names) == 0 {
			names = top
		}
		m.Spend(1 + len(names)*(1+len(d.gateways)>>2))
		for _, n := range names {
			switch {
			case n == "mesh":
				d.mesh = true
			case !slices.Contains(d.gateways, n):
				d.gateways = append(d.gateways, n)
			}
		}
	}
	return d
}

// externalHost returns the canonical name of a destination, and whether it
// lies outside the mesh: an entry says so or, where no entry knows it, the
// name is not one of the cluster's. An ExternalName Service is what it stands
// for.
func externalHost(m *mesh.Mesh, host, namespace string) (string, bool) {
	m.Spend(2*lookupSteps + len(host)>>3)
	domain := m.Settings().ClusterDomain
	name := mesh.ResolveHost(host, namespace, domain)
	for range 8 { // ExternalName Services may point at each other
		svc := serviceNamed(m, name)
		if svc == nil || svc.Type != "ExternalName" {
			break
		}
		name = mesh.CanonicalHost(svc.ExternalName)
	}
	if entries := m.EntriesFor(name); len(entries) > 0 {
		return name, slices.ContainsFunc(entries, func(se *mesh.ServiceEntry) bool { return m.HasPoints(se) })
	}
	return name, !clusterName(name, domain)
}

// clusterName reports whether only a Service can have that name.
func clusterName(name, domain string) bool {
	return !strings.Contains(name, ".") || strings.HasSuffix(name, "."+domain) || strings.HasSuffix(name, ".svc") || strings.HasSuffix(name, mesh.ClusterSet) || name == domain
}

// serviceNamed returns the Kubernetes Service of that canonical name, or nil.
func serviceNamed(m *mesh.Mesh, name string) *mesh.Service {
	rest, ok := strings.CutSuffix(name, ".svc."+m.Settings().ClusterDomain)
	if !ok {
		return nil
	}
	service, namespace, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(namespace, ".") {
		return nil
	}
	svc, _ := m.Get(mesh.Ref{Kind: "Service", Namespace: namespace, Name: service}).(*mesh.Service)
	return svc
}

// leadsToGateway reports whether a destination of a VirtualService in the
// namespace is an approved gateway: its Service, or an entry that has it for an
// endpoint.
func leadsToGateway(m *mesh.Mesh, host, namespace string) bool {
	m.Spend(lookupSteps + len(host)>>3)
	name := mesh.ResolveHost(host, namespace, m.Settings().ClusterDomain)
	return egressGateway(m, name) != nil || slices.ContainsFunc(m.EntriesFor(name), func(se *mesh.ServiceEntry) bool {
		m.Spend(len(se.Endpoints))
		return slices.ContainsFunc(se.Endpoints, func(e mesh.Endpoint) bool { return egressGateway(m, mesh.CanonicalHost(e.Address)) != nil })
	})
}

// egressGateway returns the approved gateway whose Service has that canonical
// name, or nil.
func egressGateway(m *mesh.Mesh, name string) *mesh.EgressGateway {
	s := m.Settings()
	m.Spend(1 + 3*len(s.Gateways))
	for i := range s.Gateways {
		if s.Gateways[i].Host(s.ClusterDomain) == name {
			return &s.Gateways[i]
		}
	}
	return nil
}
