package rules

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var endpointSlice = &Rule{
	Name: "endpoint-slice",
	Doc: `a Service's endpoints are in the cluster

A Service has whatever endpoints somebody writes for it, those that Kubernetes
finds by its selector aside. With an address outside, the Service looks like one
of the mesh: no ServiceEntry, no egress point, and mutual TLS that falls back to
plain text. A tenant's EndpointSlice, or Endpoints, with a public, link-local or
loopback address is denied. Kubernetes' own controllers may write what they like;
in files it is their label on the slice that tells theirs.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"K-10", "S-6"},
	Kinds:    []string{"EndpointSlice", "Endpoints"},
	Check: On(func(p *Pass, s *mesh.EndpointSlice) {
		if u := p.Request.User; u == "system:kube-controller-manager" || strings.HasPrefix(u, "system:serviceaccount:kube-system:") {
			return // Kubernetes' own controllers write the pods' addresses
		}
		svc, _ := p.After.Get(mesh.Ref{Kind: "Service", Namespace: s.Namespace, Name: s.Service}).(*mesh.Service)
		if svc != nil && s.OfPods(svc) && p.Request.User == "" {
			return
		}
		for _, a := range s.Addresses {
			p.Spend(hostSteps)
			if !outsideCluster(a) {
				continue
			}
			const words = "Register the external host with a ServiceEntry.\n"
			p.Report(Finding{
				Path:    "endpoints",
				Told:    told.F("address %s behind Service %q lies outside the cluster", a, s.Service),
				ToldFix: p.changed(s.Ref, words, func(o map[string]any) bool { return dropOutside(p, o) }), Words: words,
			})
			return
		}
	}),
}

// outsideCluster reports whether an address of an endpoint is none of a pod, as far as
// an address tells.
func outsideCluster(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && (!ip.Unmap().IsPrivate() || forbidden(ip.Unmap()) != "")
}

// dropOutside takes the addresses outside the cluster out of an EndpointSlice, or of
// Endpoints.
func dropOutside(p *Pass, o map[string]any) bool {
	changed := false
	filter := func(in map[string]any, field string, address func(any) string) (left int) {
		list := asList(in[field])
		p.Spend(len(list))
		kept := slices.DeleteFunc(slices.Clone(list), func(item any) bool { return outsideCluster(address(item)) })
		if len(kept) < len(list) {
			in[field], changed = kept, true
		}
		return len(kept)
	}
	plain := func(item any) string { s, _ := item.(string); return s }
	inIP := func(item any) string { fields, _ := item.(map[string]any); return plain(fields["ip"]) }
	for _, list := range []struct {
		name      string
		addresses []string
		address   func(any) string
	}{{"endpoints", []string{"addresses"}, plain}, {"subsets", []string{"addresses", "notReadyAddresses"}, inIP}} {
		items := asList(o[list.name])
		kept := slices.DeleteFunc(slices.Clone(items), func(item any) bool {
			fields, _ := item.(map[string]any)
			left := 0
			for _, field := range list.addresses {
				left += filter(fields, field, list.address)
			}
			return left == 0 // an endpoint has an address
		})
		if changed && len(kept) < len(items) {
			o[list.name] = kept
		}
	}
	return changed
}
