package doctor

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// definitions are those of the kinds of which istiod asks for a release.
func definitions() []Query {
	var qs []Query
	for _, kind := range mesh.VersionedKinds() {
		qs = append(qs, Query(mesh.DefinitionOf(kind)))
	}
	return qs
}

var gatewayAPIVersion = &Check{
	Name:  "gateway-api-version",
	Group: groupMesh,
	Doc: `the definitions of the Gateway API are recent enough for Istio

Istio wants a release of the Gateway API for some kinds, which the annotation
gateway.networking.k8s.io/bundle-version of their CustomResourceDefinition names. Of
a kind whose definition is older it reads no object and says nothing: who relies on
such a route goes straight out. The server reads the annotations and follows them;
what the configuration says (versions.gatewayAPI) goes before them, and should be
what is installed.`,
	Sources: []string{"https://gateway-api.sigs.k8s.io/concepts/versioning/"},
	Check: func(e *Exam) {
		if !e.need(definitions()...) || !e.need(kinds(mesh.VersionedKinds()...)...) {
			return
		}
		mark := e.mark()
		for _, kind := range mesh.VersionedKinds() {
			at := mesh.DefinitionOf(kind)
			d, ok := e.Mesh().Get(at).(*mesh.Definition)
			if !ok {
				continue // nobody can write one
			}
			b, n := e.Mesh().Bundle(kind), 0
			b.Named, b.Have = "its CustomResourceDefinition", d.Bundle() // by which istiod goes, whatever the configuration says
			for range e.Mesh().All(kind) {
				n++
			}
			const path = `metadata.annotations["gateway.networking.k8s.io/bundle-version"]`
			have := "Gateway API " + b.Have.String()
			if b.Have == (mesh.BundleVersion{}) {
				have = "no release that can be read"
			}
			switch {
			case b.TooOld() && n > 0:
				e.fail(at, path, fmt.Sprintf("Install the definitions of Gateway API %s or later.", b.Want), "%s: Istio wants %s, and reads none of the %s objects, of which there are %d", have, b.Want, kind, n)
			case b.TooOld():
				e.pass(at, path, "%s: Istio would read no %s, and there is none", have, kind)
			case e.Settings.GatewayAPI != (mesh.BundleVersion{}) && e.Settings.GatewayAPI != b.Have:
				e.fail(at, path, fmt.Sprintf("Leave versions.gatewayAPI out of Sallyport's configuration, or write %q.", b.Have), "%s, and Sallyport's configuration says %s, which counts", have, e.Settings.GatewayAPI)
			default:
				e.pass(at, path, "%s", have)
			}
		}
		e.passed(mark, mesh.Ref{}, "", "no kind of which Istio wants a release is installed")
	},
}
