package rules

import (
	"net/netip"
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
	Rows:     []string{"K-10", "S-6"},
	Kinds:    []string{"EndpointSlice", "Endpoints"},
	Check: On(func(p *Pass, s *mesh.EndpointSlice) {
		if !p.ByTenant() {
			return
		}
		if u := p.Request.User; u == "system:kube-controller-manager" || strings.HasPrefix(u, "system:serviceaccount:kube-system:") {
			return // Kubernetes' own controllers write the pods' addresses
		}
		svc, _ := p.After.Get(mesh.Ref{Kind: "Service", Namespace: s.Namespace, Name: s.Service}).(*mesh.Service)
		if svc != nil && s.OfPods(svc) && p.Request.User == "" {
			return
		}
		for _, a := range s.Addresses {
			p.Spend(hostSteps)
			ip, err := netip.ParseAddr(a)
			if err != nil || ip.Unmap().IsPrivate() && forbidden(ip.Unmap()) == "" {
				continue
			}
			p.Report(Finding{
				Path:    "endpoints",
				Told:    told.F("address %s behind Service %q lies outside the cluster", a, s.Service),
				ToldFix: "Register the external host with a ServiceEntry.\n",
			})
			return
		}
	}),
}
