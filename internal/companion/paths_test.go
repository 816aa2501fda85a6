package companion_test

import (
	"slices"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestPathsAreVia: with the companions in place every client that an entry is
// meant for goes through the gateway, and no other client goes anywhere, but
// for the entries that were refused or that Sallyport does not look after.
func TestPathsAreVia(t *testing.T) { eachCase(t, pathsAreVia) }

// TestPathsAreViaWithPrivateDefaults is the same for a mesh that keeps objects
// to their own namespace where they do not say otherwise. Hand-written routes
// and Services, which say nothing in these cases, are of no use there.
func TestPathsAreViaWithPrivateDefaults(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		if slices.ContainsFunc(objects, func(o mesh.Object) bool {
			kind := o.Metadata().Kind
			return kind != "ServiceEntry" && kind != "Namespace"
		}) {
			return
		}
		private := []string{"."}
		s.DefaultExports = mesh.DefaultExports{Services: private, VirtualServices: private, DestinationRules: private}
		pathsAreVia(t, s, objects)
	})
}

func pathsAreVia(t *testing.T, s mesh.Settings, objects []mesh.Object) {
	m := mesh.New(s, objects...)
	applied, sets := companion.Apply(m, hosts(m)...)
	for _, set := range sets {
		refused := make(map[mesh.Ref]bool)
		for _, r := range set.Refused {
			refused[r.Entry] = true
		}
		for _, entry := range m.EntriesFor(set.Host) {
			if refused[entry.Ref] || companion.Injects(m, entry.Namespace) != mesh.InjectAll {
				continue
			}
			for _, port := range entry.Ports {
				for _, client := range companion.Clients(applied, entry, set.Host) {
					if path := applied.Paths(client, set.Host, port.Number); path.Entry == entry.Ref && path.Verdict != mesh.Via {
						t.Errorf("%s port %d from %s is %s: %+v", set.Host, port.Number, client, path.Verdict, path.Because)
					}
				}
			}
		}
		for _, client := range append(applied.Clients(set.Host), mesh.AnyClient, "istio-system") {
			for _, point := range slices.Collect(applied.AllPoints()) {
				if point.Host != set.Host {
					continue
				}
				path := applied.Paths(client, point.Host, point.Port)
				if path.Verdict == mesh.Direct && !refused[path.Entry] && companion.Injects(m, path.Entry.Namespace) == mesh.InjectAll {
					t.Errorf("%s port %d from %s is %s: %+v", point.Host, point.Port, client, path.Verdict, path.Because)
				}
			}
		}
	}
}
