package istio_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		rows, err := askAmbient(readFile(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, r := range rows {
			fmt.Fprintf(&table, "  %s\n", r)
			if r.disagree() {
				t.Errorf("%s: %s\n  istio: %s\n  ours:  %s", filepath.Base(file), r, r.istioWhy, r.oursWhy)
			}
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

// askAmbient puts the manifests to both judges, for every namespace among them.
func askAmbient(manifests string) ([]row, error) {
	m, err := load(mesh.DefaultSettings(), manifests)
	if err != nil {
		return nil, err
	}
	var ambient []string
	var sidecars []oracle.Client
	for o := range m.All("Namespace") {
		if ns := o.Metadata(); ns.Labels["istio.io/dataplane-mode"] == "ambient" {
			ambient = append(ambient, ns.Name)
		} else {
			sidecars = append(sidecars, oracle.Client{Namespace: ns.Name})
		}
	}
	world, err := oracle.AskAmbient(manifests, sidecars...)
	if err != nil {
		return nil, err
	}
	var rows []row
	add := func(namespace string, p oracle.Point, verdict oracle.Verdict, why string) {
		ours := m.Paths(namespace, p.Host, int(p.Port))
		rows = append(rows, row{
			client: namespace, host: p.Host, port: int(p.Port),
			istio: verdict, istioWhy: why, ours: ours.Verdict, oursWhy: because(ours),
		})
	}
	for _, p := range world.Points() {
		for _, ns := range ambient {
			verdict, why := world.ThroughZtunnel(ns, p)
			add(ns, p, verdict, why)
		}
		for _, c := range world.Clients {
			verdict, why := world.Verdict(c, p)
			add(c.Namespace, p, verdict, why)
		}
	}
	return rows, nil
}
