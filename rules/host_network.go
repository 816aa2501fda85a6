package rules

import "github.com/sallyport-io/sallyport/internal/mesh"

var hostNetwork = &Rule{
	Name: "host-network",
	Doc: `pods of the mesh do not use the node's network

A pod with hostNetwork gets no sidecar, and NetworkPolicies do not hold for it in
most networks: nothing confines it.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"K-4"},
	Kinds:    workloadKinds,
	Check: On(onWorkload(func(p *Pass, w *mesh.Workload, base string) {
		if w.HostNetwork {
			p.Report(Finding{
				Path:    base + "spec.hostNetwork",
				Told:    "with hostNetwork the pod has no sidecar, and NetworkPolicies do not hold for it",
				ToldFix: "Remove hostNetwork, or run the pod in a namespace outside the mesh.\n",
			})
		}
	})),
}
