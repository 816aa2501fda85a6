package istio_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// TestDefinitions compares both verdicts for routes whose definition is of an older release
// of the Gateway API, of the oldest that istiod reads, and of none: it passes over what is
// too old, and so do we.
func TestDefinitions(t *testing.T) {
	for _, kind := range []struct{ route, definition, old, oldest string }{
		{"grpc-route-on-entry.yaml", "grpcroutes", "v1.0.0", "v1.1.0"},
		{"tls-route-on-entry.yaml", "tlsroutes", "v1.4.1", "v1.5.0-rc.1"},
		{"tcp-route-on-entry.yaml", "tcproutes", "v1.5.1", "v1.6.0"},
	} {
		route := readFile(t, filepath.Join("testdata", "more", kind.route))
		for version, read := range map[string]bool{kind.old: false, kind.oldest: true, "": false, "nonsense": false} {
			definition := fmt.Sprintf(`---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %s.gateway.networking.k8s.io, annotations: {gateway.networking.k8s.io/bundle-version: %q}}
spec: {group: gateway.networking.k8s.io}
`, kind.definition, version)
			got, err := ask(route + definition)
			if err != nil {
				t.Errorf("%s %q: %v", kind.definition, version, err)
				continue
			}
			if len(got.rows) == 0 {
				t.Errorf("%s %q: nothing is compared", kind.definition, version)
			}
			for _, r := range got.rows {
				if r.disagree() || (r.ours == mesh.Via) != read || (r.istio == oracle.Via) != read {
					t.Errorf("%s %q: %s, and it is read: %t\n  istio: %s\n  ours:  %s", kind.definition, version, r, read, r.istioWhy, r.oursWhy)
				}
			}
		}
	}
}
