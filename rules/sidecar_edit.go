package rules

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// editSidecars changes the Sidecars of those namespaces whose pods go past the gateway
// although they see the host: a listener takes its port for another protocol, so that
// no rule for the host's holds, or, where imports are wanted, the Sidecar does not
// import the routes.
func (h *hops) editSidecars(imports bool) (edits []edit) {
	root := h.m.Settings().RootNamespace
	has := func(namespace string) bool {
		for range h.m.In("Sidecar", namespace) {
			return true
		}
		return false
	}
	var namespaces []string
	for _, client := range h.m.Clients(h.host) {
		h.m.Spend(lookupSteps + len(h.lanes))
		if !has(client) && !has(root) {
			continue
		}
		if slices.ContainsFunc(h.lanes, func(l lane) bool {
			verdict, _ := h.m.Verdict(client, h.host, l.port)
			return verdict == mesh.Direct
		}) {
			namespaces = append(namespaces, client)
		}
	}
	if len(namespaces) > 0 && !slices.Contains(namespaces, root) {
		namespaces = append(namespaces, root) // whose Sidecar is for all that have none
	}
	for _, namespace := range namespaces {
		for sidecar := range h.m.In("Sidecar", namespace) {
			h.m.Spend(lookupSteps)
			ref := sidecar.Metadata().Ref
			o := h.p.written(ref)
			spec, _ := o["spec"].(map[string]any)
			changed := false
			for _, listener := range asList(spec["egress"]) {
				listener, ok := listener.(map[string]any)
				changed = ok && h.editListener(listener, imports) || changed
			}
			if changed {
				edits = append(edits, edit{ref: ref, text: document(o)})
			}
		}
	}
	return edits
}

// editListener has one listener of a Sidecar take the host's port for what it is, and
// import the host, its routes and the gateway where imports are wanted.
func (h *hops) editListener(listener map[string]any, imports bool) (changed bool) {
	port, _ := listener["port"].(map[string]any)
	number, own := port["number"].(float64)
	for _, l := range h.lanes {
		h.m.Spend(1)
		protocol, _ := port["protocol"].(string)
		if own && l.port == int(number) && mesh.ClassOf(protocol) != l.class {
			port["protocol"] = protocolOf(l.class)
			changed = true
		}
	}
	if !imports || own && !slices.ContainsFunc(h.lanes, func(l lane) bool { return l.port == int(number) }) {
		return changed
	}
	hosts := asList(listener["hosts"])
	needed := []string{h.gateway.Namespace + "/" + h.service, h.namespace + "/" + h.host}
	for _, vs := range h.m.RoutesFor(h.host) {
		if slices.Contains(vs.Gateways, "mesh") {
			needed = append(needed, vs.Namespace+"/"+h.host)
		}
	}
	for _, name := range needed {
		namespace, _, _ := strings.Cut(name, "/")
		h.m.Spend(hostSteps * (1 + len(hosts)))
		if !slices.ContainsFunc(hosts, func(has any) bool {
			return has == any(name) || has == any("*/*") || has == any(namespace+"/*")
		}) {
			hosts = append(hosts, name)
			changed = true
		}
	}
	listener["hosts"] = hosts
	return changed
}

// protocolOf is a protocol of the class.
func protocolOf(c mesh.Class) string {
	switch c {
	case mesh.HTTPLike:
		return "HTTP"
	case mesh.TLSLike:
		return "TLS"
	default:
		return "TCP"
	}
}

// joined are the objects of edits as one fix.
func joined(edits []edit) told.Text {
	var b told.Builder
	for _, e := range edits {
		b.Write(e.text)
	}
	fix := b.Text().Without("---\n")
	for _, e := range edits {
		fix = e.ref.Tell().Telling(fix).Text()
	}
	return fix
}
