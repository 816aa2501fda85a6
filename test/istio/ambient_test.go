package istio_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// TestAmbient compares Istio's verdict and ours for the cases of
// testdata/ambient: for every namespace in ambient mode, by what Istio tells
// ztunnel and the waypoints, for every namespace with sidecars by its sidecar.
func TestAmbient(t *testing.T) {
	var table strings.Builder
	for _, file := range fixtures(t, "ambient") {
		fmt.Fprintf(&table, "%s\n", filepath.Base(file))
		got, err := askAmbient(readFile(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, r := range got.rows {
			fmt.Fprintf(&table, "  %s\n", r)
			if r.disagree() {
				t.Errorf("%s: %s\n  istio: %s\n  ours:  %s", filepath.Base(file), r, r.istioWhy, r.oursWhy)
			}
		}
		for _, d := range got.detours {
			fmt.Fprintf(&table, "  another host: %s\n", d)
		}
		if len(got.tenant) > 0 {
			fmt.Fprintf(&table, "  denied by %v\n", got.tenant)
		}
	}
	golden := filepath.Join("testdata", "ambient.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, golden), table.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", golden, diff)
	}
}

// waypointNamespaces are those whose waypoints may lead out of the mesh, in the
// cases of this package.
var waypointNamespaces = []string{oracle.RootNamespace, "istio-egress", "egress"}

// askAmbient puts the manifests to both judges, for every namespace among them:
// one in ambient mode by what Istio tells ztunnel and the waypoints, one with
// sidecars by its sidecar, and one with both by the worse of the two. The pods of
// a namespace with neither go where they like.
func askAmbient(manifests string) (answers, error) {
	out := answers{leaks: map[string][]string{}, ambient: true}
	settings := mesh.DefaultSettings()
	settings.PlatformNamespaces = append(settings.PlatformNamespaces, waypointNamespaces...)
	m, err := load(settings, manifests)
	if err != nil {
		return out, err
	}
	var sidecars []oracle.Client
	mixed := false
	for o := range m.All("Namespace") {
		ns := o.(*mesh.Namespace)
		mixed = mixed || ns.Ambient()
		if ns.Injected() {
			sidecars = append(sidecars, oracle.Client{Namespace: ns.Name})
		}
	}
	world, err := oracle.AskAmbient(manifests, waypointNamespaces, sidecars...)
	if err != nil {
		return out, err
	}
	for _, p := range world.Points() {
		for o := range m.All("Namespace") {
			ns := o.(*mesh.Namespace)
			ours := m.Paths(ns.Name, p.Host, int(p.Port))
			r := row{client: ns.Name, host: p.Host, port: int(p.Port), ours: ours.Verdict, oursWhy: because(ours), passed: ours.Passed, sidecar: ns.Injected()}
			if ns.Ambient() {
				r.istio, r.istioWhy = world.ThroughZtunnel(ns.Name, p)
				for _, w := range world.Ways(ns.Name, p) {
					own := slices.ContainsFunc(m.EntriesFor(w.To), func(se *mesh.ServiceEntry) bool { return se.Namespace == w.Namespace })
					if w.Detour(p) && !own && !slices.Contains(waypointNamespaces, w.Namespace) {
						out.detours = append(out.detours, fmt.Sprintf("%s:%d %s", p.Host, p.Port, w))
					}
				}
			} else if !ns.Injected() {
				if !mixed {
					continue // where nothing is in ambient mode, labels of pods may inject sidecars
				}
				r.istio, r.istioWhy = oracle.Direct, "there is no proxy"
			}
			for _, c := range world.Clients {
				if c.Namespace != ns.Name {
					continue
				}
				v, why := world.Verdict(c, p)
				if r.istio == "" || v == oracle.Direct || r.istio == oracle.Blocked || v == oracle.Broken && r.istio == oracle.Via {
					r.istio, r.istioWhy = v, why
				}
			}
			if r.istio == oracle.Direct {
				out.leaks[ns.Name] = append(out.leaks[ns.Name], fmt.Sprintf("%s:%d %s", p.Host, p.Port, r.istioWhy))
			}
			out.rows = append(out.rows, r)
		}
	}
	if out.tenant, err = denials(manifests, waypointNamespaces); err != nil {
		return out, err
	}
	out.platform, err = denials(manifests, append(ambientNamespaces(m), waypointNamespaces...))
	return out, err
}

func ambientNamespaces(m *mesh.Mesh) (names []string) {
	for o := range m.All("Namespace") {
		names = append(names, o.Metadata().Name)
	}
	return names
}

// TestWaypoints holds the oracle itself to what was seen of Istio: every way that
// ztunnel's traffic takes in the cases of testdata/waypoints.
func TestWaypoints(t *testing.T) {
	for _, file := range fixtures(t, "waypoints") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			manifests := string(archive.Files[0].Data)
			m, err := load(mesh.DefaultSettings(), manifests)
			if err != nil {
				t.Fatal(err)
			}
			world, err := oracle.AskAmbient(manifests, waypointNamespaces)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, p := range world.Points() {
				for o := range m.All("Namespace") {
					if ns := o.(*mesh.Namespace); ns.Ambient() {
						for _, way := range world.Ways(ns.Name, p) {
							fmt.Fprintf(&got, "%s:%d from %s: %s\n", p.Host, p.Port, ns.Name, way)
						}
					}
				}
			}
			if *update {
				archive.Files[1].Data = []byte(got.String())
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got.String()); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
		})
	}
}
