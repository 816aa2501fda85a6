package rules

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
)

var externalName = &Rule{
	Name: "external-name",
	Doc: `external hosts are registered, not aliased

A Service of type ExternalName gives an external host a name in the cluster.
Sidecars treat it as an alias of the host where a ServiceEntry knows it, and its
traffic then takes the host's route; a client without sidecar just follows the
DNS name. A VirtualService that routes to it is judged by the host it stands
for.`,
	Severity: Warn,
	Rows:     []string{"K-9", "V-16"},
	Kinds:    []string{"Service"},
	Check: On(func(p *Pass, svc *mesh.Service) {
		if !p.ByTenant() || svc.Type != "ExternalName" {
			return
		}
		if host, external := externalHost(p.After, svc.ExternalName, svc.Namespace); external {
			p.Report(Finding{
				Path:    "spec.externalName",
				Message: "is an alias in the cluster for external host \"" + host + "\"",
				Fix:     "Register the host with a ServiceEntry, and call it by its own name.\n",
			})
		}
	}),
}
