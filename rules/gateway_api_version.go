package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var gatewayAPIVersion = &Rule{
	Name: "gateway-api-version",
	Doc: `istiod passes over kinds whose definition is too old

Each Istio wants a release of the Gateway API for some kinds, which the annotation
gateway.networking.k8s.io/bundle-version of their CustomResourceDefinition names:
1.1 for GRPCRoute, 1.4 for BackendTLSPolicy, 1.5 for TLSRoute and, since Istio 1.31,
1.6 for TCPRoute. Of a kind that is older it reads no object, and who relies on such a
route goes straight out: the paths are judged so. The server reads the definitions of
its cluster and follows them, the command line takes them from the objects and from
--state, and what the configuration names (versions.gatewayAPI) goes before both.
Where nothing says, the definition is taken to be recent enough, and that is told.

A definition that is put back, or an istiod that wants a later one, is not refused:
nobody asks about what belongs to the administrator. It is followed at once; the log,
the metric sallyport_mesh_config_notes (unread) and doctor say of which kind the
objects no longer count.`,
	Severity: Warn,
	Kinds:    mesh.VersionedKinds(),
	Check: func(_ context.Context, p *Pass) error {
		kind := p.Subject.Metadata().Kind
		switch b := p.After.Bundle(kind); {
		case b.TooOld():
			have := told.F("of Gateway API %s", told.Plain(b.Have.String()))
			if b.Have == (mesh.BundleVersion{}) {
				have = "without a version"
			}
			p.Report(Finding{
				Path:    "apiVersion",
				Told:    told.F("Istio does not read it: by %s the kind is %s, and Istio %s wants %s", told.Plain(b.Named), have, told.Plain(b.Istio.String()), told.Plain(b.Want.String())),
				ToldFix: told.F("Have the platform install the definitions of Gateway API %s or later; or use the kinds of Istio.\n", told.Plain(b.Want.String())),
			})
		case b.Named == "" && b.Want != (mesh.BundleVersion{}):
			p.Report(Finding{
				Path:     "apiVersion",
				Severity: Info,
				Told:     told.F("judged as if the definition of %s were of Gateway API %s or later: Istio reads no older one", told.Plain(kind), told.Plain(b.Want.String())),
				ToldFix:  "Name the release in the configuration (versions.gatewayAPI), or give the CustomResourceDefinition with --state.\n",
			})
		}
		return nil
	},
}
