package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// lead returns the YAML that leads a host through the egress gateway, and false
// where there is none: then words have to do. It is the same for every finding
// about the host. What is returned has been tried: see [Pass.Mends].
//
// Nothing that somebody has written is written anew. What is there already and at
// hand as it was written is changed in the fields that lead past the gateway, and
// in no others; beside what is only known by the model, objects with names of their
// own are put.
func lead(p *Pass, host string, port int, protocol string) (told.Text, bool) {
	if p.Mends == nil || !p.Mendable(host) || p.Deleting() || len(p.After.Settings().Gateways) == 0 || mesh.IsWildcard(host) {
		return "", false
	}
	fix, _ := p.fixes().Do(fixKey{host}, func() (any, error) {
		if text := bound(p, host); text != "" && p.Mends(host, applied(text.String()), false) {
			return text, nil
		}
		if text := rewritten(p, host); text != "" && p.Mends(host, applied(text.String()), false) {
			return text, nil
		}
		for _, v := range []variant{
			{},
			{hop: true},
			{hop: true, made: true},
			{hop: true, route: true},
			{hop: true, made: true, route: true},
			{listen: true},
			{listen: true, hop: true},
			{listen: true, hop: true, made: true},
			{side: true},
			{side: true, hop: true},
			{side: true, hop: true, made: true},
			{side: true, hop: true, route: true},
		} {
			p.Spend(fixSteps)
			if text := v.write(p, host, port, protocol); text != "" && p.Mends(host, applied(text.String()), false) {
				return text, nil
			}
		}
		return told.Text(""), nil
	})
	return fix.(told.Text), fix != told.Text("")
}

// rewritten has admission lead the routes of the host that stand where Sallyport would
// keep one: that is the least that a user can write.
func rewritten(p *Pass, host string) told.Text {
	var b told.Builder
	var names []told.Arg
	for _, vs := range p.After.RoutesFor(host) {
		p.Spend(lookupSteps)
		if vs.Annotations[mesh.RewriteAnnotation] == "true" || !managedRoute(p, vs.Namespace, host) {
			continue
		}
		o := p.written(vs.Ref)
		meta, _ := o["metadata"].(map[string]any)
		if meta == nil {
			continue
		}
		notes, _ := meta["annotations"].(map[string]any)
		if notes == nil {
			notes = map[string]any{}
			meta["annotations"] = notes
		}
		notes[mesh.RewriteAnnotation] = "true"
		b.Write(document(o))
		names = append(names, vs.Tell())
	}
	fix := b.Text().Without("---\n")
	for _, n := range names {
		fix = n.Telling(fix).Text()
	}
	return fix
}

type fixKey struct{ host string }

// variant is one way to lead a host: the least that may do comes first.
type variant struct {
	hop    bool // with a route at the gateway
	made   bool // with a server and a subset of its own, whatever is there
	route  bool // with a route for sidecars beside those that are changed
	listen bool // with Sidecars that take the host's port for what it is
	side   bool // and that let their pods see the routes
}

// write returns the objects in the order in which they are to be applied: what
// traffic is led to comes before what leads it there. It is empty where the
// variant has nothing to offer.
func (v variant) write(p *Pass, host string, port int, protocol string) told.Text {
	h := newHops(p, host, port, protocol)
	var sidecars []edit
	if v.listen || v.side {
		if sidecars = h.editSidecars(v.side); len(sidecars) == 0 {
			return ""
		}
		if !v.hop {
			return joined(sidecars)
		}
	}
	if !h.findDoors(v.made) {
		return ""
	}
	edits, names := h.editRoutes()
	route := v.route || !slices.ContainsFunc(edits, func(e edit) bool { return e.exact })
	if !v.hop && (route || len(edits) == 0) {
		return ""
	}
	if v.route && !slices.ContainsFunc(edits, func(e edit) bool { return e.exact }) {
		return "" // as without
	}
	var b told.Builder
	if v.hop {
		h.writeGateway(&b)
		h.writeSubset(&b)
	} else if len(h.missing()) > 0 {
		return ""
	}
	entries, seen := h.editEntries(v.hop)
	if !seen {
		h.writeRegistration(&b)
	}
	if v.hop {
		h.writeVirtualService(&b, route)
	}
	for _, e := range edits {
		b.Write(e.text)
	}
	for _, e := range slices.Concat(entries, sidecars) {
		b.Write(e.text)
		names = append(names, e.ref.Tell())
	}
	fix := b.Text().Without("---\n")
	for _, n := range names {
		fix = n.Telling(fix).Text()
	}
	return fix
}

// edit is an object as it was written, with what leads past the gateway changed.
type edit struct {
	ref   mesh.Ref
	text  told.Text
	exact bool // it is the route of this very host
}

// written is the object as somebody has written it, without what the API server
// has added; nil where that is not at hand.
func (p *Pass) written(ref mesh.Ref) map[string]any {
	if p.Written == nil {
		return nil
	}
	raw := p.Written(ref)
	p.Spend(len(raw) / bytesPerStep)
	var o map[string]any
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	delete(o, "status")
	if meta, ok := o["metadata"].(map[string]any); ok {
		for _, field := range []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} {
			delete(meta, field)
		}
		if notes, ok := meta["annotations"].(map[string]any); ok {
			delete(notes, "kubectl.kubernetes.io/last-applied-configuration")
			if len(notes) == 0 {
				delete(meta, "annotations")
			}
		}
	}
	return o
}

// editEntries changes the entries of the host so far as a fix needs it: the gateway
// has to see them, and a port has to have a protocol. Seen is false where the gateway
// does not see one that is not at hand.
func (h *hops) editEntries(hop bool) (edits []edit, seen bool) {
	gateway := h.gateway.Namespace
	if hop {
		edits = h.editRegistrations()
	}
	seen = true
	for _, se := range h.entries {
		hidden := hop && len(h.registered) == 0 && !h.m.SeenFrom(se, gateway)
		o := h.p.written(se.Ref)
		spec, _ := o["spec"].(map[string]any)
		if spec == nil {
			seen = seen && !hidden
			continue
		}
		changed := false
		if hidden {
			spec["exportTo"] = append(asList(spec["exportTo"]), gateway)
			changed = true
		}
		for _, port := range asList(spec["ports"]) {
			h.m.Spend(hostSteps)
			port, ok := port.(map[string]any)
			if protocol, _ := port["protocol"].(string); ok && mesh.ClassOf(protocol) == mesh.Sniffed {
				port["protocol"] = "TCP"
				changed = true
			}
		}
		if hop && resolvable(se) {
			spec["resolution"] = "DNS" // a gateway has no address of a client's to dial
			changed = true
		}
		hosts := asList(spec["hosts"])
		for i, name := range hosts {
			h.m.Spend(hostSteps)
			if name, _ := name.(string); name != h.host && mesh.CanonicalHost(name) == h.host {
				hosts[i] = h.host // Istio compares hosts byte by byte
				changed = true
			}
		}
		if changed {
			edits = append(edits, edit{ref: se.Ref, text: document(o)})
		}
	}
	return edits, seen
}

// editRegistrations adds the ports that the gateway's own entry lacks.
func (h *hops) editRegistrations() (edits []edit) {
	if len(h.registered) == 0 {
		return nil
	}
	se := h.registered[0] // Istio takes the oldest
	o := h.p.written(se.Ref)
	spec, _ := o["spec"].(map[string]any)
	if spec == nil {
		return nil
	}
	ports := asList(spec["ports"])
	known := len(ports)
	for _, l := range h.lanes {
		h.m.Spend(1 + len(se.Ports)>>2)
		if slices.ContainsFunc(se.Ports, func(p mesh.ServicePort) bool { return p.Number == l.port }) {
			continue
		}
		port := map[string]any{"number": l.port, "name": fmt.Sprintf("%s-%d", strings.ToLower(l.protocol), l.port), "protocol": l.protocol}
		if l.target != 0 {
			port["targetPort"] = l.target
		}
		ports = append(ports, port)
	}
	spec["ports"] = ports
	if resolvable(se) {
		spec["resolution"] = "DNS"
	} else if len(ports) == known {
		return nil
	}
	return []edit{{ref: se.Ref, text: document(o)}}
}

// resolvable reports whether an entry leaves it to the client where a host is, and
// need not: its hosts are names, and what is behind them is no range of addresses.
func resolvable(se *mesh.ServiceEntry) bool {
	return se.Resolution == "NONE" && !slices.ContainsFunc(se.Hosts, mesh.IsWildcard) &&
		!slices.ContainsFunc(se.Addresses, func(a string) bool { return strings.Contains(a, "/") })
}

// editRoutes changes the rules of VirtualServices by which sidecars send traffic
// straight to the host, and adds those that are missing. What else a rule says
// stays on it: its matches, timeouts, retries and headers.
func (h *hops) editRoutes() (edits []edit, names []told.Arg) {
	done := map[mesh.Ref]bool{}
	look := func(vs *mesh.VirtualService) {
		h.m.Spend(lookupSteps)
		if done[vs.Ref] {
			return
		}
		done[vs.Ref] = true
		o := h.p.written(vs.Ref)
		spec, _ := o["spec"].(map[string]any)
		if spec == nil {
			return
		}
		r := routeEdit{h: h, vs: vs, spec: spec}
		exact := r.isForHost()
		if r.lead() || exact && r.complete() {
			edits = append(edits, edit{ref: vs.Ref, text: document(o), exact: exact})
			names = append(names, vs.Tell())
		}
	}
	for _, vs := range h.m.RoutesFor(h.host) {
		look(vs)
	}
	for vs := range h.m.LeadingTo(h.host) {
		look(vs)
	}
	return edits, names
}

// applied are the objects of a fix, read from what is printed.
func applied(fix string) []Applied {
	var out []Applied
	for doc := range strings.SplitSeq(fix, "\n---\n") {
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			return nil
		}
		if o, err := mesh.Decode(raw); err == nil {
			out = append(out, Applied{o, raw})
		} else if strings.TrimSpace(doc) != "" {
			return nil
		}
	}
	return out
}

// withSpec is the subject with one field of its spec in place of what it has there.
func (p *Pass) withSpec(field string, value any) told.Text {
	o := p.written(p.Subject.Metadata().Ref)
	spec, _ := o["spec"].(map[string]any)
	if spec == nil {
		return ""
	}
	spec[field] = value
	return p.Subject.Metadata().Tell().Telling(document(o).Without("---\n")).Text()
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}
