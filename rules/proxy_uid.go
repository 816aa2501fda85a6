package rules

import "github.com/sallyport-io/sallyport/internal/mesh"

var proxyUID = &Rule{
	Name: "proxy-uid",
	Doc: `no container runs as the proxy's user

Istio does not capture the traffic of user and group 1337, which is how it tells
the proxy from the application. A container that runs as either leaves the pod as
if there were no sidecar.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"K-3"},
	Kinds:    workloadKinds,
	Check: On(onWorkload(func(p *Pass, w *mesh.Workload, base string) {
		if w.ProxyUID {
			p.Report(Finding{
				Path:    base + "spec.securityContext",
				Told:    "a container runs as user or group 1337, whose traffic Istio does not capture",
				ToldFix: "Choose another runAsUser, runAsGroup, fsGroup and supplementalGroups.\n",
			})
		}
	})),
}
