package companion

import (
	"fmt"
	"maps"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Straighten returns the edits that take back what [Rewrite] has made of a
// VirtualService: what leads to the lane of a host at a gateway leads to the host
// again. An edit without a value removes the field. The mesh is one in which the
// entries of the hosts still stand; a route whose entry has gone leads nowhere,
// and is left.
func Straighten(m *mesh.Mesh, vs *mesh.VirtualService) []Edit {
	if Is(vs.Ref) {
		return nil
	}
	s := straightener{namespace: vs.Namespace, mesh: m.Without(vs.Ref), lanes: make(map[string]goal)}
	for i, rule := range vs.HTTP {
		for j, d := range rule.Route {
			s.route(fmt.Sprintf("/spec/http/%d/route/%d", i, j), d)
		}
	}
	for i, rule := range vs.TLS {
		for j, d := range rule.Route {
			s.route(fmt.Sprintf("/spec/tls/%d/route/%d", i, j), d)
		}
	}
	for i, rule := range vs.TCP {
		for j, d := range rule.Route {
			s.route(fmt.Sprintf("/spec/tcp/%d/route/%d", i, j), d)
		}
	}
	return s.edits
}

type straightener struct {
	namespace string
	mesh      *mesh.Mesh
	lanes     map[string]goal // by laneKey; nil until somebody asks
	read      bool
	edits     []Edit
}

// goal is where a lane leads, and what is set on the way into it.
type goal struct {
	host string
	port int
	set  map[string]string
}

// laneKey tells lanes apart, as a route's destination and headers do.
func laneKey(d mesh.Destination, headers *mesh.Headers) string {
	port := 0
	if d.Port != nil {
		port = d.Port.Number
	}
	mark := ""
	if headers != nil && headers.Request != nil {
		mark = headers.Request.Set[portHeader]
	}
	return fmt.Sprintf("%s/%s/%d/%s", d.Host, d.Subset, port, mark)
}

func (s *straightener) route(at string, d mesh.RouteDestination) {
	if d.Destination.Subset == "" {
		return
	}
	s.learn()
	to, ok := s.lanes[laneKey(d.Destination, d.Headers)]
	if !ok {
		return
	}
	s.edits = append(s.edits, Edit{at + "/destination", map[string]any{"host": to.host, "port": map[string]any{"number": to.port}}})
	if len(to.set) == 0 || d.Headers == nil {
		return
	}
	var request, response mesh.HeaderOperations
	if d.Headers.Request != nil {
		request = *d.Headers.Request
	}
	if d.Headers.Response != nil {
		response = *d.Headers.Response
	}
	request.Set = maps.Clone(request.Set)
	for name := range to.set {
		delete(request.Set, name)
	}
	left := make(map[string]any)
	for name, ops := range map[string]map[string]any{"request": operations(request), "response": operations(response)} {
		if len(ops) > 0 {
			left[name] = ops
		}
	}
	if len(left) == 0 {
		s.edits = append(s.edits, Edit{at + "/headers", nil})
		return
	}
	s.edits = append(s.edits, Edit{at + "/headers", left})
}

// learn reads where the lanes of the namespace's hosts lead.
func (s *straightener) learn() {
	if s.read {
		return
	}
	s.read = true
	for o := range s.mesh.In("ServiceEntry", s.namespace) {
		entry := o.(*mesh.ServiceEntry)
		if Is(entry.Ref) {
			continue
		}
		for _, h := range entry.Hosts {
			host := mesh.CanonicalHost(h)
			for _, o := range For(s.mesh, host).Objects {
				if hop, ok := o.(*mesh.VirtualService); ok && MeshHop(hop.Ref) && hop.Namespace == s.namespace {
					s.lanesOf(host, hop)
				}
			}
		}
	}
}

func (s *straightener) lanesOf(host string, hop *mesh.VirtualService) {
	for _, rule := range hop.HTTP {
		s.lanes[laneKey(rule.Route[0].Destination, rule.Headers)] = goal{host, rule.Match[0].Port, rule.Headers.Request.Set}
	}
	for _, rule := range hop.TLS {
		s.lanes[laneKey(rule.Route[0].Destination, nil)] = goal{host, rule.Match[0].Port, nil}
	}
	for _, rule := range hop.TCP {
		s.lanes[laneKey(rule.Route[0].Destination, nil)] = goal{host, rule.Match[0].Port, nil}
	}
}
