package companion_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestDyingEntriesAreServed: Istio programs an entry until its last finalizer is
// gone, and so its companions stay.
func TestDyingEntriesAreServed(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		alive := mesh.New(s, objects...)
		for _, o := range objects {
			se, ok := o.(*mesh.ServiceEntry)
			if !ok || !companion.Serves(alive, se) {
				continue // a gateway's own registration, say: what rests on that is about to break
			}
			dying := alive.With(mesh.Terminating(se, ""))
			for _, host := range se.Hosts {
				host = mesh.CanonicalHost(host)
				if d := cmp.Diff(refs(companion.For(alive, host)), refs(companion.For(dying, host))); d != "" {
					t.Errorf("%s is being deleted, and %s has other companions (-alive +dying):\n%s", se.Ref, host, d)
				}
			}
		}
	})
}

func refs(s companion.Set) []string {
	var out []string
	for _, o := range s.Objects {
		out = append(out, o.Metadata().Ref.String())
	}
	slices.Sort(out)
	return out
}

// TestDyingRoutesCoverNothing: where the routes by which users lead to the gateway
// are being deleted, companions take their place before they go.
func TestDyingRoutesCoverNothing(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		var dying []mesh.Object
		for _, o := range objects {
			if vs, ok := o.(*mesh.VirtualService); ok && !companion.Is(vs.Ref) {
				o = mesh.Terminating(o, "")
			}
			dying = append(dying, o)
		}
		pathsAreVia(t, s, dying)
	})
}
