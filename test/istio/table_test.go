package istio_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

var update = flag.Bool("update", false, "rewrite testdata/table.golden")

// TestTable compares Istio's verdict and ours for every client and egress
// point of every observed case, of some more that were written by hand, and of
// every counterexample ever found.
//
// They agree, except about the cases under testdata/known: there we are wrong on
// the safe side, and never call a path better than direct that Istio has direct.
func TestTable(t *testing.T) {
	var table strings.Builder
	for _, dir := range slices.Concat(fixtures(t, "observed"), fixtures(t, "more"), fixtures(t, "counterexamples"), fixtures(t, "known")) {
		name, known := filepath.Base(dir), filepath.Base(filepath.Dir(dir)) == "known"
		if !strings.HasSuffix(dir, ".yaml") {
			dir = filepath.Join(dir, "all.yaml")
		}
		got, err := ask(readFile(t, dir))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		fmt.Fprintf(&table, "%s\n", name)
		for _, r := range got.rows {
			fmt.Fprintf(&table, "  %s\n", r)
			if known && r.istio == oracle.Direct && r.ours != mesh.Direct || !known && r.disagree() {
				t.Errorf("%s: %s\n  istio: %s\n  ours:  %s", name, r, r.istioWhy, r.oursWhy)
			}
		}
		if len(got.rows) == 0 && got.direct() {
			fmt.Fprintf(&table, "  no entry, but ways out: %v; denied by %v\n", got.leaks, got.tenant)
			if len(got.tenant) == 0 {
				t.Errorf("%s: Istio lets traffic out, %v, and no rule denies it", name, got.leaks)
			}
		}
		for _, client := range got.open {
			fmt.Fprintf(&table, "  %-17s everything else is let out\n", client)
		}
	}
	golden := filepath.Join("testdata", "table.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, golden), table.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", golden, diff)
	}
}
