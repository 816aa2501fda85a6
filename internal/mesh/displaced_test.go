package mesh_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestDisplaced checks that a DestinationRule for the gateway's Service that comes, to
// any mesh, under any name and in any namespace, changes no path but those that
// Affected and Displaced name.
func TestDisplaced(t *testing.T) {
	displaced := 0
	for file, objects := range testMeshes(t) {
		before := mesh.New(mesh.DefaultSettings(), objects...)
		paths := verdicts(before)
		for _, host := range []string{"istio-egressgateway.istio-system.svc.cluster.local", "*.svc.cluster.local", "*"} {
			for _, namespace := range []string{"istio-system", "default", objects[0].Metadata().Namespace} {
				dr := &mesh.DestinationRule{
					Meta: mesh.Meta{Ref: mesh.Ref{Kind: "DestinationRule", Namespace: namespace, Name: "comes"}},
					Host: host, Subsets: []mesh.Subset{{Name: "other"}},
				}
				after := before.With(dr)
				named := map[string]bool{}
				points := slices.Concat(after.Affected(dr), after.Displaced(dr))
				for _, p := range points {
					named[fmt.Sprintf("%s:%d", p.Host, p.Port)] = true
				}
				for key, is := range verdicts(after) {
					was, ok := paths[key]
					if !ok || was.Verdict == is.Verdict {
						continue
					}
					displaced++
					if !named[fmt.Sprintf("%s:%d", is.Host, is.Port)] {
						t.Errorf("%s: with a rule for %s in %q the path %s was %s and is %s, and nothing names it", file, host, namespace, key, was.Verdict, is.Verdict)
					}
				}
			}
		}
	}
	if displaced == 0 {
		t.Error("no rule displaces another")
	}
}
