package rules

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var authorityRewrite = &Rule{
	Name: "authority-rewrite",
	Doc: `the Host header that reaches the gateway is the client's

An HTTP server of the egress gateway chooses the external host by the Host
header. A mesh rule that rewrites it on the way to the gateway uses whatever
host others have had approved there, and no NetworkPolicy can tell. To a tenant
it is denied unless the new name is a host that the tenant's namespace has
registered.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"V-12"},
	Kinds:    []string{"GRPCRoute", "HTTPRoute", "VirtualService"},
	Check: Each(
		On(func(p *Pass, vs *mesh.VirtualService) {
			var found []authority
			var taken []string
			for _, a := range authorities(p, vs) {
				if a.rule.mesh && leadsToGateway(p.After, a.rule.Host, vs.Namespace) && foreignAuthority(p, a.value) {
					found, taken = append(found, a), append(taken, a.path)
				}
			}
			for _, a := range found {
				reportAuthority(p, a.path, a.value, p.pruned(vs.Ref, registerAuthority, taken...))
			}
		}),
		On(func(p *Pass, r *mesh.Route) {
			if !followedBySidecars(r) {
				return
			}
			for i, rule := range r.Rules {
				p.Spend(len(rule.Authorities))
				if slices.ContainsFunc(rule.BackendRefs, func(b mesh.BackendRef) bool { return leadsToGateway(p.After, backendHost(p, r, b), r.Namespace) }) {
					for _, value := range rule.Authorities {
						if foreignAuthority(p, value) {
							reportAuthority(p, fmt.Sprintf("spec.rules[%d].filters", i), value, registerAuthority)
						}
					}
				}
			}
		}),
	),
}

// foreignAuthority reports whether a Host header is one that the subject's namespace
// has not registered.
func foreignAuthority(p *Pass, value string) bool {
	p.Spend(lookupSteps)
	return !slices.ContainsFunc(p.After.EntriesFor(p.canonical(hostOfAuthority(value))), func(se *mesh.ServiceEntry) bool {
		return se.Namespace == p.Subject.Metadata().Namespace
	})
}

func reportAuthority(p *Pass, path, value string, fix told.Text) {
	p.Report(Finding{
		Path:    path,
		Told:    told.F("presents traffic to the egress gateway as host %q, which %s has not registered", value, told.InNamespace(p.Subject.Metadata().Namespace)),
		ToldFix: fix, Words: registerAuthority,
	})
}

const registerAuthority told.Text = "Remove the rewrite, or register the host with a ServiceEntry in this namespace.\n"

// authority is a place where an http rule sets the Host header.
type authority struct {
	path, value string
	rule        destination
}

// authorities returns every place where the VirtualService sets a Host header,
// once for each destination that the requests then go to.
func authorities(p *Pass, vs *mesh.VirtualService) []authority {
	var all []authority
	for _, d := range p.destinations(vs) {
		if d.section != "http" || d.mirror || d.dropped {
			continue
		}
		r := vs.HTTP[d.rule]
		base := fmt.Sprintf("spec.http[%d]", d.rule)
		if r.Rewrite != nil && r.Rewrite.Authority != "" {
			all = append(all, authority{base + ".rewrite.authority", r.Rewrite.Authority, d})
		}
		p.Spend(sizeOf(r.Headers))
		all = append(all, hostHeaders(r.Headers, base+".headers", d)...)
		p.Spend(4 * len(r.Route))
		for j, w := range r.Route {
			if base := fmt.Sprintf("%s.route[%d]", base, j); strings.HasPrefix(d.path, base+".") {
				p.Spend(sizeOf(w.Headers))
				all = append(all, hostHeaders(w.Headers, base+".headers", d)...)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b authority) int { return strings.Compare(a.path, b.path) })
	return slices.CompactFunc(all, func(a, b authority) bool { return a.path == b.path && a.rule.Host == b.rule.Host })
}

// sizeOf is how many request headers are added or set.
func sizeOf(h *mesh.Headers) int {
	if h == nil || h.Request == nil {
		return 0
	}
	return hostSteps * (len(h.Request.Set) + len(h.Request.Add))
}

func hostHeaders(h *mesh.Headers, base string, d destination) []authority {
	if h == nil || h.Request == nil {
		return nil
	}
	var all []authority
	for name, value := range h.Request.Set {
		if authorityHeader(name) {
			all = append(all, authority{fmt.Sprintf("%s.request.set[%q]", base, name), value, d})
		}
	}
	return all
}

// authorityHeader reports whether the header is the one that chooses a virtual
// host (isAuthorityHeader in Istio's pilot/pkg/networking/core/route).
func authorityHeader(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// hostOfAuthority is an authority without its port.
func hostOfAuthority(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}
