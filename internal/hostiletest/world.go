package hostiletest

import (
	"fmt"
	"iter"
)

// The size of the cluster.
const (
	namespaces = 2_000
	hosts      = 5_000
)

func host(i int) string { return fmt.Sprintf("api%d.partner%d.example", i, i%977) }

// World yields the JSON of the objects of a large cluster: 2,000 namespaces of
// tenants, with sidecars, and one that is [Namespace]; and 5,000 ServiceEntries for
// as many hosts. Companions are not among them.
func World() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !yield([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"` + Namespace + `","labels":{"istio-injection":"enabled","sallyport.io/network-policy":"enabled"}}}`)) {
			return
		}
		for i := range namespaces {
			if !yield(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team-%d","labels":{"istio-injection":"enabled","team":"t%d","kubernetes.io/metadata.name":"team-%[1]d"}}}`, i, i%97)) {
				return
			}
		}
		for i := range hosts {
			if !yield(fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"api-%d","namespace":"team-%d","creationTimestamp":"2025-01-01T%02d:%02d:%02dZ","annotations":{"sallyport.io/export-to":"."}},`+
				`"spec":{"hosts":[%q],"ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS","exportTo":["."]}}`,
				i, i%namespaces, i/3600, i/60%60, i%60, host(i))) {
				return
			}
		}
	}
}
