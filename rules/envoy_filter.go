package rules

import "github.com/sallyport-io/sallyport/internal/mesh"

var envoyFilter = &Rule{
	Name: "envoy-filter",
	Doc: `no EnvoyFilter in a tenant's namespace

An EnvoyFilter may add any cluster, route or script to the proxies of its
namespace, past everything that Sallyport can follow. Tenants are denied it. In
a platform namespace it is warned about, and the paths of the proxies that it
patches count as undetermined.`,
	Severity: Deny,
	Remedy:   "Ask the platform team to keep the filter, in one of its own namespaces.",
	Rows:     []string{"B-E1"},
	Kinds:    []string{"EnvoyFilter"},
	Check: On(func(p *Pass, _ *mesh.EnvoyFilter) {
		p.Report(Finding{Path: "spec.configPatches", Severity: p.WarnInPlatform(), Told: "an EnvoyFilter can give proxies any route: where their traffic goes cannot be told", About: p.spec()})
	}),
}
