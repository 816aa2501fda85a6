package companion

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Edit replaces one field of an object.
type Edit struct {
	Pointer string // RFC 6901
	Value   any
}

// Rewrite returns the edits by which a VirtualService that asks for it
// ([mesh.RewriteAnnotation]) sends to the egress gateway what it sends straight
// to an external host. Its matches, timeouts, retries and headers stay where
// they are, on the mesh hop; the gateway hop is the companions'.
//
// What has no two-hop form is left as it is, for the rules to judge: a route
// to a subset of the host, one that changes the request's authority, which the
// gateway routes by, a mirror, and rules that are for a gateway as well.
func Rewrite(m *mesh.Mesh, vs *mesh.VirtualService) []Edit {
	if vs.Annotations[mesh.RewriteAnnotation] != "true" || Is(vs.Ref) || vs.Deleting {
		return nil
	}
	r := rewriter{mesh: m.Without(vs.Ref), vs: vs, hops: make(map[string]*mesh.VirtualService)}
	for i, rule := range vs.HTTP {
		r.spend(rule.Headers, len(rule.Match)+len(rule.Route))
		if r.meshOnly(gatewaysOf(rule.Match, func(m mesh.HTTPMatch) []string { return m.Gateways })) && !changesAuthority(rule) {
			r.http(i, rule)
		}
	}
	for i, rule := range vs.TLS {
		r.spend(nil, len(rule.Match)+len(rule.Route))
		if r.meshOnly(gatewaysOf(rule.Match, func(m mesh.TLSMatch) []string { return m.Gateways })) {
			r.opaque(fmt.Sprintf("/spec/tls/%d", i), rule.Route)
		}
	}
	for i, rule := range vs.TCP {
		r.spend(nil, len(rule.Match)+len(rule.Route))
		if r.meshOnly(gatewaysOf(rule.Match, func(m mesh.TCPMatch) []string { return m.Gateways })) {
			r.opaque(fmt.Sprintf("/spec/tcp/%d", i), rule.Route)
		}
	}
	return r.edits
}

// Awaited are the hosts of a VirtualService that asks to be rewritten ([Rewrite]) which
// nothing registers yet, canonical. Their entries may just have been written: tools that
// apply a set do not wait in between.
func Awaited(m *mesh.Mesh, vs *mesh.VirtualService) (hosts []string) {
	if vs.Annotations[mesh.RewriteAnnotation] != "true" || Is(vs.Ref) || vs.Deleting {
		return nil
	}
	domain := m.Settings().ClusterDomain
	for _, h := range vs.Hosts {
		m.Spend(hostSteps)
		host := mesh.CanonicalHost(mesh.ResolveHost(h, vs.Namespace, domain))
		if !mesh.IsWildcard(host) && !strings.HasSuffix(host, "."+domain) && len(m.EntriesFor(host)) == 0 {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// editSteps is about what an edit costs, its part in the patch included.
const editSteps = 60

type rewriter struct {
	mesh  *mesh.Mesh
	vs    *mesh.VirtualService
	hops  map[string]*mesh.VirtualService // by host: the mesh hop that ours would be, nil where there is none
	edits []Edit
}

// spend counts what it costs to read a rule.
func (r *rewriter) spend(h *mesh.Headers, parts int) {
	if h != nil && h.Request != nil {
		parts += len(h.Request.Set) + len(h.Request.Add) + len(h.Request.Remove)
	}
	r.mesh.Spend(hostSteps * (1 + parts))
}

// gatewaysOf are the gateways that each match of a rule names.
func gatewaysOf[M any](matches []M, gateways func(M) []string) [][]string {
	out := make([][]string, len(matches))
	for i, m := range matches {
		out[i] = gateways(m)
	}
	return out
}

// meshOnly reports whether a rule is for sidecars and for nobody else. A match
// without gateways is for those of the VirtualService.
func (r *rewriter) meshOnly(matches [][]string) bool {
	if len(matches) == 0 {
		matches = [][]string{nil}
	}
	return !slices.ContainsFunc(matches, func(gateways []string) bool {
		if len(gateways) == 0 {
			gateways = r.vs.Gateways
		}
		return slices.ContainsFunc(gateways, func(g string) bool { return g != meshGateway })
	})
}

func changesAuthority(rule mesh.HTTPRoute) bool {
	sets := func(h *mesh.Headers) bool {
		if h == nil || h.Request == nil {
			return false
		}
		for _, headers := range []map[string]string{h.Request.Set, h.Request.Add} {
			for name := range headers {
				if strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority") {
					return true
				}
			}
		}
		return slices.ContainsFunc(h.Request.Remove, func(name string) bool { return strings.EqualFold(name, "host") })
	}
	return rule.Rewrite != nil && rule.Rewrite.Authority != "" || sets(rule.Headers) ||
		slices.ContainsFunc(rule.Route, func(d mesh.RouteDestination) bool { return sets(d.Headers) })
}

func (r *rewriter) http(i int, rule mesh.HTTPRoute) {
	for j, d := range rule.Route {
		hop, port := r.hop(d.Destination)
		if hop == nil {
			continue
		}
		r.mesh.Spend(len(hop.HTTP))
		for _, ours := range hop.HTTP {
			if ours.Match[0].Port != port {
				continue
			}
			r.spend(d.Headers, editSteps)
			at := fmt.Sprintf("/spec/http/%d/route/%d", i, j)
			r.edits = append(r.edits,
				Edit{at + "/destination", destination(ours.Route[0].Destination)},
				Edit{at + "/headers", withRequestHeaders(d.Headers, ours.Headers.Request.Set)})
		}
	}
}

func (r *rewriter) opaque(at string, routes []mesh.RouteDestination) {
	for j, d := range routes {
		hop, port := r.hop(d.Destination)
		if hop == nil {
			continue
		}
		r.spend(nil, editSteps+len(hop.TLS)+len(hop.TCP))
		pointer := fmt.Sprintf("%s/route/%d/destination", at, j)
		for _, ours := range hop.TLS {
			if ours.Match[0].Port == port {
				r.edits = append(r.edits, Edit{pointer, destination(ours.Route[0].Destination)})
			}
		}
		for _, ours := range hop.TCP {
			if ours.Match[0].Port == port {
				r.edits = append(r.edits, Edit{pointer, destination(ours.Route[0].Destination)})
			}
		}
	}
}

// hop returns the mesh hop that Sallyport would keep in the VirtualService's
// namespace for the host of a destination, and the host's port that the
// destination means. It is nil for destinations that are not egress points.
func (r *rewriter) hop(d mesh.Destination) (*mesh.VirtualService, int) {
	r.mesh.Spend(2*hostSteps + len(d.Host)>>3)
	host := mesh.ResolveHost(d.Host, r.vs.Namespace, r.mesh.Settings().ClusterDomain)
	if d.Subset != "" {
		return nil, 0
	}
	hop, known := r.hops[host]
	if !known {
		for _, o := range For(r.mesh, host).Objects {
			if vs, ok := o.(*mesh.VirtualService); ok && MeshHop(vs.Ref) && vs.Namespace == r.vs.Namespace {
				hop = vs
			}
		}
		r.hops[host] = hop
	}
	if hop == nil || d.Port != nil {
		if d.Port == nil {
			return nil, 0
		}
		return hop, d.Port.Number
	}
	// Without a port the destination means the host's only one.
	for _, entry := range r.mesh.EntriesFor(host) {
		if entry.Namespace == r.vs.Namespace && len(entry.Ports) == 1 {
			return hop, entry.Ports[0].Number
		}
	}
	return nil, 0
}

func destination(d mesh.Destination) map[string]any {
	return map[string]any{"host": d.Host, "subset": d.Subset, "port": map[string]any{"number": d.Port.Number}}
}

// withRequestHeaders is a route's headers with some more request headers set.
func withRequestHeaders(h *mesh.Headers, set map[string]string) map[string]any {
	var request, response mesh.HeaderOperations
	if h != nil && h.Request != nil {
		request = *h.Request
	}
	if h != nil && h.Response != nil {
		response = *h.Response
	}
	all := maps.Clone(set)
	maps.Copy(all, request.Set)
	maps.Copy(all, set) // the gateway relies on ours
	request.Set = all
	out := map[string]any{"request": operations(request)}
	if ops := operations(response); len(ops) > 0 {
		out["response"] = ops
	}
	return out
}

func operations(o mesh.HeaderOperations) map[string]any {
	out := make(map[string]any)
	if len(o.Set) > 0 {
		out["set"] = o.Set
	}
	if len(o.Add) > 0 {
		out["add"] = o.Add
	}
	if len(o.Remove) > 0 {
		out["remove"] = o.Remove
	}
	return out
}
