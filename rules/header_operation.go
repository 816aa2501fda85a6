package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var headerOperation = &Rule{
	Name: "header-operation",
	Doc: `headers that policies trust are not set on the way

Policies at the gateway read X-Forwarded-* and Authorization, and Envoy itself
obeys x-envoy-* headers. A mesh rule that sets them towards the gateway speaks in
the name of the proxy.`,
	Severity: Warn,
	For:      Tenants,
	Rows:     []string{"V-13"},
	Kinds:    []string{"VirtualService"},
	Check: On(func(p *Pass, vs *mesh.VirtualService) {
		gateway := map[int]bool{} // rules that lead to the gateway
		for _, d := range p.destinations(vs) {
			if d.section == "http" && d.mesh && leadsToGateway(p.After, d.Host, vs.Namespace) {
				gateway[d.rule] = true
			}
		}
		for i, r := range vs.HTTP {
			p.Spend(1 + len(r.Route))
			if !gateway[i] {
				continue
			}
			reportHeaders(p, fmt.Sprintf("spec.http[%d].headers", i), r.Headers)
			for j, d := range r.Route {
				reportHeaders(p, fmt.Sprintf("spec.http[%d].route[%d].headers", i, j), d.Headers)
			}
		}
	}),
}

func reportHeaders(p *Pass, path string, h *mesh.Headers) {
	if h == nil || h.Request == nil {
		return
	}
	p.Spend(sizeOf(h) * 3)
	for _, f := range []stringMap{{"add", h.Request.Add}, {"set", h.Request.Set}} {
		op, set := f.field, f.values
		for _, name := range slices.Sorted(maps.Keys(set)) {
			if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-envoy-") || strings.HasPrefix(lower, "x-forwarded-") || lower == "authorization" {
				p.Reportf(fmt.Sprintf("%s.request.%s[%q]", path, op, name), "header %s is one that the gateway's policies trust", name)
			}
		}
	}
}
