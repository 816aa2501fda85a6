package istio_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/table.golden")

// TestTable compares Istio's verdict and ours for every client and egress
// point of every observed case and of every counterexample ever found.
func TestTable(t *testing.T) {
	var table strings.Builder
	for _, dir := range append(fixtures(t, "observed"), fixtures(t, "counterexamples")...) {
		name := filepath.Base(dir)
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
			if r.disagree() {
				t.Errorf("%s: %s\n  istio: %s\n  ours:  %s", name, r, r.istioWhy, r.oursWhy)
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
