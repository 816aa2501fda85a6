package istio_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/gen"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

var (
	meshes = flag.Int("n", 500, "how many random meshes to put to both judges")
	seed   = flag.Uint64("seed", 1, "seed of the first random mesh")
	keep   = flag.Int("keep", 3, "how many counterexamples of each sort to shrink and write to testdata/counterexamples")
)

// The sorts of contradiction between Istio and Sallyport about one mesh.
const (
	leak        = "leak"         // Istio lets traffic out, we accept the mesh
	falseDenial = "false-denial" // Istio routes via the gateway and lets nothing out, we deny the mesh
	lostVia     = "lost-via"     // Istio routes a point via, we call it broken or blocked
	falseVia    = "false-via"    // we call a point via that Istio does not route so
)

// contradictions returns the sorts that the answers show.
func (a answers) contradictions() []string {
	var out []string
	denied := slices.ContainsFunc(a.rows, func(r row) bool { return r.ours == mesh.Direct })
	unsure := slices.ContainsFunc(a.rows, func(r row) bool { return r.ours == mesh.Undetermined })
	switch {
	case a.direct() && !denied && !unsure:
		out = append(out, leak)
	case a.via() && denied:
		out = append(out, falseDenial)
	}
	for _, r := range a.rows {
		switch {
		case r.ours == mesh.Undetermined || r.ours == mesh.Direct || r.istio == oracle.Direct:
		case r.istio == oracle.Via && r.ours != mesh.Via:
			out = append(out, lostVia)
		case r.istio != oracle.Via && r.ours == mesh.Via:
			out = append(out, falseVia)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// direct reports whether Istio lets any client past the gateway.
func (a answers) direct() bool { return len(a.leaks) > 0 }

// via reports whether Istio sends some traffic through the gateway and none
// past it.
func (a answers) via() bool {
	return !a.direct() && slices.ContainsFunc(a.rows, func(r row) bool { return r.istio == oracle.Via })
}

// TestDifferential puts random meshes to Istio and to our model. No mesh that
// we accept may have a direct path in Istio, and at most one in a hundred of
// those that Istio routes through the gateway may be denied.
func TestDifferential(t *testing.T) {
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		tally   = map[string]int{}
		found   = map[string][]uint64{}
		seeds   = make(chan uint64)
		started = time.Now()
	)
	for range 2 * runtime.GOMAXPROCS(0) { // an answer is half waiting
		wg.Go(func() {
			for s := range seeds {
				a, err := ask(gen.New(s).YAML())
				mu.Lock()
				tally["meshes"]++
				switch {
				case err != nil && strings.Contains(err.Error(), "istio rejects"):
					tally["rejected"]++
				case err != nil:
					t.Errorf("seed %d: %v", s, err)
				default:
					count(tally, a)
					for _, sort := range a.contradictions() {
						found[sort] = append(found[sort], s)
					}
				}
				if n := tally["meshes"]; n%1000 == 0 {
					t.Logf("%d meshes in %v: %v", n, time.Since(started).Round(time.Second), summary(tally, found))
				}
				mu.Unlock()
			}
		})
	}
	for s := range uint64(*meshes) {
		seeds <- *seed + s
	}
	close(seeds)
	wg.Wait()
	t.Log(summary(tally, found))

	for sort, bad := range found {
		slices.Sort(bad)
		for _, s := range bad[:min(len(bad), *keep)] {
			record(t, sort, s)
		}
	}
	if n := len(found[leak]); n > 0 {
		t.Errorf("%d meshes are accepted but leak: seeds %v", n, head(found[leak]))
	}
	if n, via := len(found[falseDenial]), tally["via"]; n*100 > via {
		t.Errorf("%d of %d meshes that Istio routes via the gateway are denied: seeds %v", n, via, head(found[falseDenial]))
	}
}

func count(tally map[string]int, a answers) {
	switch {
	case a.direct():
		tally["direct"]++
	case a.via():
		tally["via"]++
	default:
		tally["neither"]++
	}
	for _, r := range a.rows {
		tally["paths"]++
		if !r.disagree() {
			tally["paths agree"]++
		}
	}
}

func summary(tally map[string]int, found map[string][]uint64) string {
	return fmt.Sprintf("%d meshes (%d rejected by Istio's validation): Istio direct %d, via %d, neither %d; leaks %d, false denials %d; "+
		"%d of %d paths agree (meshes with a lost via %d, with a false via %d)",
		tally["meshes"], tally["rejected"], tally["direct"], tally["via"], tally["neither"], len(found[leak]), len(found[falseDenial]),
		tally["paths agree"], tally["paths"], len(found[lostVia]), len(found[falseVia]))
}

func head(seeds []uint64) []uint64 { return seeds[:min(len(seeds), 10)] }

// record shrinks the mesh of a seed for as long as it shows the same
// contradiction, and keeps what is left as a counterexample.
func record(t *testing.T, sort string, seed uint64) {
	t.Helper()
	small := gen.Shrink(gen.New(seed), func(m gen.Mesh) bool {
		a, err := ask(m.YAML())
		return err == nil && slices.Contains(a.contradictions(), sort)
	})
	a, err := ask(small.YAML())
	if err != nil {
		t.Error(err)
		return
	}
	var b strings.Builder
	for _, r := range a.rows {
		if r.disagree() || sort == leak || sort == falseDenial {
			fmt.Fprintf(&b, "# %s\n#   istio: %s\n#   ours:  %s\n", r, r.istioWhy, r.oursWhy)
		}
	}
	for client, ways := range a.leaks {
		fmt.Fprintf(&b, "# %s leaks: %s\n", client, strings.Join(ways, "; "))
	}
	path := filepath.Join("testdata", "counterexamples", fmt.Sprintf("%s-%d.yaml", sort, seed))
	if err := os.WriteFile(path, []byte(b.String()+small.YAML()), 0o644); err != nil {
		t.Error(err)
	}
	t.Logf("%s: seed %d, shrunk to %s", sort, seed, path)
}
