package companion_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestSpare: a spare changes no path as long as the users' routes are there,
// and when any of them goes, no path becomes direct.
func TestSpare(t *testing.T) {
	spares := 0
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		m := mesh.New(s, objects...)
		with, without := companion.Without(m, hosts(m)...), companion.Without(m, hosts(m)...)
		after := map[string]time.Time{}
		var spared []string
		for _, host := range hosts(m) {
			set := companion.For(m, host)
			after[host] = set.SparesAfter
			if slices.ContainsFunc(set.Objects, func(o mesh.Object) bool { return companion.Spare(o.Metadata().Ref) }) {
				spared = append(spared, host)
			}
			for _, o := range set.Objects {
				with = with.With(reread(t, o))
				if companion.Spare(o.Metadata().Ref) {
					spares++
				} else {
					without = without.With(reread(t, o))
				}
			}
		}
		for _, host := range spared {
			if diff := cmp.Diff(paths(without, host), paths(with, host)); diff != "" {
				t.Errorf("%s (-without spares +with):\n%s", host, diff)
			}
			for _, vs := range m.RoutesFor(host) {
				if companion.Is(vs.Ref) {
					continue
				}
				if after[host].Before(vs.Created.Add(time.Second)) {
					t.Errorf("a spare for %s may be written at %s, and is not to be older than %s, created at %s", host, after[host], vs.Ref, vs.Created)
				}
				gone := with.Without(vs.Ref)
				for _, path := range paths(gone, host) {
					if path.Verdict == mesh.Direct {
						t.Errorf("without %s, %s port %d is direct from %s: %+v", vs.Ref, host, path.Port, path.Client, path.Because)
					}
				}
			}
		}
	})
	if spares < 6 { // three in either mode
		t.Errorf("%d spares were looked at: the cases prove nothing", spares)
	}
}

// paths are those of every client that the host's entries are meant for.
func paths(m *mesh.Mesh, host string) []mesh.Path {
	var out []mesh.Path
	for _, entry := range m.EntriesFor(host) {
		for _, client := range companion.Clients(m, entry, host) {
			for _, port := range entry.Ports {
				out = append(out, m.Paths(client, host, port.Number))
			}
		}
	}
	return out
}
