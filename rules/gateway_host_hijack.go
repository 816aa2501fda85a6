package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var gatewayHostHijack = &Rule{
	Name: "gateway-host-hijack",
	Doc: `no ServiceEntry bears the name of a cluster Service

A ServiceEntry in the client's namespace is preferred to the Kubernetes Service
of the same name. One that bears the egress gateway's name makes "through the
gateway" mean the endpoints of whoever wrote it; beside the gateway's Service and
seen by nobody as well, for Istio dials the endpoints of both. One that bears the name of any
other Service takes over that Service's clients. Names under the cluster domain,
names that end in .svc and names of a single label are the cluster's.

A namespace may register its own Services' names (SERVICE.NAMESPACE.svc and the
cluster domain, and names of pods below), as is done for headless Services and for
machines that joined the mesh, where every endpoint is in the mesh.`,
	Severity: Deny,
	Rows:     []string{"S-13"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		domain := p.After.Settings().ClusterDomain
		var found []Finding
		for i, h := range se.Hosts {
			name := p.canonical(h)
			path := func() string { return fmt.Sprintf("spec.hosts[%d]", i) }
			switch g := egressGateway(p.After, mesh.ResolveHost(h, se.Namespace, domain)); {
			case g != nil && (!p.Platform() || se.Namespace == g.Namespace && p.After.HasPoints(se)):
				found = append(found, Finding{
					Path:  path(),
					Told:  told.F("host %q is the egress gateway %s: mesh traffic for the gateway would go to this entry's endpoints", h, told.Plain(g.Name)),
					Words: "Register the external host by its public name; the gateway needs no ServiceEntry.\n",
				})
			case clusterName(name, domain):
				fix := told.Text("Register the external host by its public name; for a Service in the cluster no ServiceEntry is needed.\n")
				if p.After.OfNamespace(name, se.Namespace) {
					if !p.After.HasPoints(se) {
						continue
					}
					fix = "Give the entry location MESH_INTERNAL, and endpoints in the mesh alone (resolution DNS, or STATIC with private addresses or a workloadSelector); or register an external host by its public name.\n"
				}
				found = append(found, Finding{
					Path:     path(),
					Severity: p.WarnInPlatform(),
					Told:     told.F("host %q is a name of the cluster's own, which a Service may have", h),
					Words:    fix,
				})
			}
		}
		p.reportHosts(found)
	}),
}
