package review

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
	"github.com/sallyport-io/sallyport/rules"
)

// Whoever applies a set of objects may ask for a dry run of each before writing
// any, as Flux does. Nothing of a dry run is stored, so an entry is asked about
// without its routes, and a route without its entry. What would be admitted as one
// write of several is therefore let pass, with a warning that says what is missing
// and what becomes of the write without it. A real write is judged by what is there.

// supposition is a mesh in which there is something that others than the writer of
// the object, or he with another object, may have written first.
type supposition struct {
	mesh  *mesh.Mesh
	while told.Text // what keeps the write from being admitted, after "while"
}

// supposing makes warnings of the denials of a dry run that none would be left of
// if the rest of a set were there. It takes what the budget of the review has left:
// what is too large for both stays denied. Deletions are judged as they are: what
// would have to go first is there, and the answer names it.
func (j *Judge) supposing(ctx context.Context, m *mesh.Mesh, w Write, out *Outcome) error {
	if !w.Request.DryRun || w.asEnd().Request.Operation == "DELETE" || !out.Denied() {
		return nil
	}
	o, err := mesh.Decode(w.Object)
	if err != nil {
		return err
	}
	for _, s := range suppositions(m, o, out.Paths, w.Request.Operation == "UPDATE") {
		again := w
		ops, err := defaults(s.mesh.Draft(), again, new(mesh.Ref))
		if err != nil {
			return err
		}
		if again.Object, err = Patched(w.Object, ops); err != nil {
			return err
		}
		var as Outcome
		if err := j.review(ctx, s.mesh, nil, again, &as); err != nil {
			return err
		}
		if as.Denied() {
			continue
		}
		for i := range out.Findings {
			f := &out.Findings[i]
			if f.Severity != rules.Deny {
				continue
			}
			f.Severity = rules.Warn
			while := "denied while " + s.while + ": "
			if f.Told != "" {
				f.Told = while + f.Told
			}
			f.Message = while.String() + f.Message
		}
		rules.Sort(out.Findings)
		return nil
	}
	return nil
}

// suppositions are the meshes in which the write may be admitted, the likeliest
// first.
func suppositions(m *mesh.Mesh, o mesh.Object, paths []mesh.Path, update bool) []supposition {
	var all []supposition
	add := func(objects []mesh.Object, while told.Text) {
		if len(objects) > 0 {
			all = append(all, supposition{m.With(objects...), while})
		}
	}
	switch o := o.(type) {
	case *mesh.ServiceEntry:
		hosts := hostsIn(direct(m, o, paths))
		if len(hosts) == 0 {
			hosts = hostsOf(o)
		}
		add(supposedRoutes(m, o), unled(hosts))
		if ref, ok := mesh.UseWaypoint(o.Labels, o.Namespace); ok && ref.Name != "none" && m.Get(ref) == nil {
			add([]mesh.Object{mesh.NewWaypoint(ref)}, told.F("there is no waypoint %s", ref.Tell().As(ref.Namespace+"/"+ref.Name)))
		}
	case *mesh.VirtualService, *mesh.Route:
		if hosts, ports := unregistered(m, o); len(hosts) > 0 {
			add([]mesh.Object{supposedEntry(o, hosts, ports, false)}, told.F("no ServiceEntry registers %s", hostList(hosts)))
			add([]mesh.Object{supposedEntry(o, hosts, ports, true)}, told.F("no ServiceEntry registers %s for workloads of the mesh", hostList(hosts)))
		}
		if update {
			add(narrowed(m, o, paths))
		}
	default:
		lost := ofOthers(o, direct(m, o, paths))
		var routes []mesh.Object
		for _, se := range entriesOf(m, lost) {
			routes = append(routes, supposedRoutes(m, se)...)
		}
		add(routes, unled(hostsIn(lost)))
	}
	return all
}

// direct are the paths that are direct after the write, or at the moment of it.
func direct(m *mesh.Mesh, o mesh.Object, paths []mesh.Path) []mesh.Path {
	live := m.With(o)
	return slices.DeleteFunc(slices.Clone(paths), func(p mesh.Path) bool {
		m.Spend(1)
		if p.Verdict == mesh.Direct {
			return false
		}
		is, _ := live.Verdict(p.Client, p.Host, p.Port)
		return is != mesh.Direct
	})
}

// ofOthers are the paths of which another object than o registers the host.
func ofOthers(o mesh.Object, paths []mesh.Path) []mesh.Path {
	return slices.DeleteFunc(slices.Clone(paths), func(p mesh.Path) bool { return p.Entry == o.Metadata().Ref || p.Entry == (mesh.Ref{}) })
}

func hostsIn(paths []mesh.Path) []string {
	var hosts []string
	for _, p := range paths {
		hosts = append(hosts, p.Host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// entriesOf are the entries of paths, each once.
func entriesOf(m *mesh.Mesh, paths []mesh.Path) []*mesh.ServiceEntry {
	var entries []*mesh.ServiceEntry
	for _, p := range paths {
		m.Spend(1 + len(entries))
		if se, ok := m.Get(p.Entry).(*mesh.ServiceEntry); ok && !slices.Contains(entries, se) {
			entries = append(entries, se)
		}
	}
	return entries
}

func unled(hosts []string) told.Text {
	return told.F("no VirtualService leads %s through an egress gateway", hostList(hosts))
}

func hostList(hosts []string) told.Arg {
	switch len(hosts) {
	case 0:
		return told.Arg{}
	case 1:
		return told.Host(hosts[0])
	default:
		return told.Host(hosts[0]).As(fmt.Sprintf("%s and %d more", hosts[0], len(hosts)-1))
	}
}

// supposedName is one that no object can have.
const supposedName = "(supposed)"

// supposedRoutes are routes to the egress gateway for all that an entry registers:
// one of their own, and rules at the end of those that are there, which others may
// be about to add. Where these send the traffic elsewhere it goes there still. What
// the gateway does with it is left open: a path that ends there fails, and nothing
// leaves.
func supposedRoutes(m *mesh.Mesh, se *mesh.ServiceEntry) []mesh.Object {
	s := m.Settings()
	if len(s.Gateways) == 0 {
		return nil
	}
	to := []mesh.RouteDestination{{Destination: mesh.Destination{Host: s.Gateways[0].Host(s.ClusterDomain), Port: &mesh.PortSelector{Number: 443}}}}
	var objects []mesh.Object
	for i, host := range hostsOf(se) {
		lead := &mesh.VirtualService{
			Meta:     mesh.Meta{Ref: mesh.Ref{Kind: "VirtualService", Namespace: se.Namespace, Name: fmt.Sprintf("%s-%d", supposedName, i)}},
			Hosts:    []string{host},
			Gateways: []string{"mesh"},
			ExportTo: []string{"*"},
		}
		m.Spend(hostSteps * (1 + len(se.Ports)))
		for _, port := range se.Ports {
			switch gateways := []string{"mesh"}; mesh.ClassOf(port.Protocol) {
			case mesh.HTTPLike:
				lead.HTTP = append(lead.HTTP, mesh.HTTPRoute{Match: []mesh.HTTPMatch{{Gateways: gateways, Port: port.Number}}, Route: to})
			case mesh.TLSLike:
				lead.TLS = append(lead.TLS, mesh.TLSRoute{Match: []mesh.TLSMatch{{Gateways: gateways, Port: port.Number, SNIHosts: []string{host}}}, Route: to})
			case mesh.TCPLike:
				lead.TCP = append(lead.TCP, mesh.TCPRoute{Match: []mesh.TCPMatch{{Gateways: gateways, Port: port.Number}}, Route: to})
			default: // no rule of a VirtualService holds for it
			}
		}
		objects = append(objects, lead)
		for _, vs := range m.RoutesFor(host) {
			m.Spend(hostSteps * (1 + len(vs.HTTP) + len(vs.TLS) + len(vs.TCP)))
			if companion.Is(vs.Ref) || !slices.Contains(vs.Gateways, "mesh") || len(vs.Hosts) > 1 {
				continue
			}
			longer := *vs
			longer.HTTP = slices.Concat(vs.HTTP, lead.HTTP)
			longer.TLS = slices.Concat(vs.TLS, lead.TLS)
			longer.TCP = slices.Concat(vs.TCP, lead.TCP)
			objects = append(objects, &longer)
		}
	}
	return objects
}

// unregistered are the external hosts that a route is about and that nobody
// registers, sorted, and the ports by which it is.
func unregistered(m *mesh.Mesh, o mesh.Object) (hosts []string, ports []mesh.ServicePort) {
	namespace, domain := o.Metadata().Namespace, m.Settings().ClusterDomain
	host := func(name string) {
		m.Spend(hostSteps)
		name = mesh.ResolveHost(name, namespace, domain)
		if strings.Contains(name, ".") && !strings.HasSuffix(name, "."+domain) && !strings.HasSuffix(name, mesh.ClusterSet) && len(m.EntriesFor(name)) == 0 {
			hosts = append(hosts, name)
		}
	}
	port := func(number int, protocol string) {
		m.Spend(1 + len(ports))
		if number != 0 && !slices.ContainsFunc(ports, func(p mesh.ServicePort) bool { return p.Number == number }) {
			ports = append(ports, mesh.ServicePort{Number: number, Protocol: protocol, Name: fmt.Sprintf("p%d", number)})
		}
	}
	destination := func(d *mesh.Destination, protocol string) {
		if d == nil {
			return
		}
		host(d.Host)
		if d.Port != nil {
			port(d.Port.Number, protocol)
		}
	}
	switch o := o.(type) {
	case *mesh.VirtualService:
		for _, name := range o.Hosts {
			host(name)
		}
		for _, rule := range o.HTTP {
			for _, match := range rule.Match {
				port(match.Port, "HTTP")
			}
			if rule.Rewrite != nil {
				host(rule.Rewrite.Authority)
			}
			for _, d := range rule.Route {
				destination(&d.Destination, "HTTP")
			}
			destination(rule.Mirror, "HTTP")
			for _, mirror := range rule.Mirrors {
				destination(mirror.Destination, "HTTP")
			}
		}
		for _, rule := range o.TLS {
			for _, match := range rule.Match {
				port(match.Port, "TLS")
			}
			for _, d := range rule.Route {
				destination(&d.Destination, "TLS")
			}
		}
		for _, rule := range o.TCP {
			for _, match := range rule.Match {
				port(match.Port, "TCP")
			}
			for _, d := range rule.Route {
				destination(&d.Destination, "TCP")
			}
		}
	case *mesh.Route:
		for _, name := range o.Hostnames {
			host(name)
		}
		for _, rule := range o.Rules {
			for _, authority := range rule.Authorities {
				host(authority)
			}
			for _, b := range slices.Concat(rule.BackendRefs, rule.Mirrors) {
				if b.Kind == "Hostname" {
					host(b.Name)
				}
			}
		}
	}
	if len(ports) == 0 {
		ports = []mesh.ServicePort{{Number: 80, Protocol: "HTTP", Name: "http"}, {Number: 443, Protocol: "TLS", Name: "tls"}}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), ports
}

// supposedEntry is an entry that registers the hosts outside the mesh, or inside of
// it by workloads of which there are none yet.
func supposedEntry(by mesh.Object, hosts []string, ports []mesh.ServicePort, inside bool) *mesh.ServiceEntry {
	se := &mesh.ServiceEntry{
		Meta:       mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: by.Metadata().Namespace, Name: supposedName}},
		Hosts:      hosts,
		Ports:      ports,
		Location:   "MESH_EXTERNAL",
		Resolution: "DNS",
		ExportTo:   []string{"."},
	}
	if inside {
		se.Location, se.Resolution = "MESH_INTERNAL", "STATIC"
		se.WorkloadLabels = &mesh.WorkloadSelector{Labels: map[string]string{"sallyport.io/supposed": "true"}}
	}
	return se
}

// narrowed are the entries of others without the ports for which a route that is
// changed leaves no way through the gateway: an entry may be about to give up with
// its route what neither has any more.
func narrowed(m *mesh.Mesh, route mesh.Object, paths []mesh.Path) ([]mesh.Object, told.Text) {
	paths = ofOthers(route, direct(m, route, paths))
	if len(paths) == 0 {
		return nil, ""
	}
	var entries []mesh.Object
	for _, have := range entriesOf(m, paths) {
		m.Spend(len(have.Ports) * len(paths))
		less := *have
		less.Ports = slices.DeleteFunc(slices.Clone(have.Ports), func(port mesh.ServicePort) bool {
			return slices.ContainsFunc(paths, func(p mesh.Path) bool { return p.Entry == have.Ref && p.Port == port.Number })
		})
		entries = append(entries, &less)
	}
	first := paths[0]
	return entries, told.F("%s registers %s", first.Entry, told.Host(first.Host).As(fmt.Sprintf("%s:%d", first.Host, first.Port)))
}
