package istio_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/gen"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

var (
	meshes        = flag.Int("meshes", 500, "how many random meshes to put to both judges")
	ambientMeshes = flag.Int("ambient-meshes", 200, "how many random ambient meshes to put to both judges")
	ambient       = flag.Bool("ambient", false, "the meshes of -tally are ambient; for the processes that the test starts")
	fixed         = flag.Int("fixed", 60, "of how many of the meshes to ask Istio again with the fixes that their denials print")
	seed          = flag.Uint64("seed", 1, "seed of the first random mesh")
	keep          = flag.Int("keep", 1, "how many counterexamples of each sort to shrink and write to testdata/counterexamples, for each 200 meshes")
	shrink        = flag.String("shrink", strings.Join(unsafe, ","), "the sorts of counterexamples to shrink and write; also "+falseDenial+", "+lostVia+" and "+falseVia)
	tallyF        = flag.String("tally", "", "judge in this process and write the tally to this file; for the processes that the test starts")
)

// unsafe are the sorts of contradiction of which there must be none.
var unsafe = []string{leak, serviceLeak, open, undenied, detour}

// unmended are the sorts of contradiction about fixes, of which there must be none.
var unmended = []string{fixFails, fixBreaks}

// perProcess bounds the meshes of one process: Istio's fake control plane
// keeps some megabytes for each, for good.
const perProcess = 200

// tally is what came of a number of meshes.
type tally struct {
	Counts map[string]int      // by what was counted
	Found  map[string][]uint64 // seeds of the contradictions, by sort
	Rules  map[string]int      // rules that deny what Istio routes via the gateway
}

func newTally() tally {
	return tally{Counts: map[string]int{}, Found: map[string][]uint64{}, Rules: map[string]int{}}
}

func (t tally) add(other tally) {
	for k, n := range other.Counts {
		t.Counts[k] += n
	}
	for k, seeds := range other.Found {
		t.Found[k] = append(t.Found[k], seeds...)
	}
	for k, n := range other.Rules {
		t.Rules[k] += n
	}
}

func (t tally) String() string {
	return fmt.Sprintf("%d meshes (%d refused by Istio's validation): Istio direct %d, via %d, neither %d; leaks %d, by Services %d, open %d, false denials %d; "+
		"%d of %d paths agree (meshes with a lost via %d, with a false via %d); rules that deny a via mesh of the platform's: %d %v",
		t.Counts["meshes"], t.Counts["refused"], t.Counts["direct"], t.Counts["via"], t.Counts["neither"],
		len(t.Found[leak]), len(t.Found[serviceLeak]), len(t.Found[open]), len(t.Found[falseDenial]), t.Counts["paths agree"], t.Counts["paths"],
		len(t.Found[lostVia]), len(t.Found[falseVia]), t.Counts["via denied"], t.Rules)
}

// TestDifferential puts random meshes to Istio and to Sallyport. No mesh that
// we accept may have a direct path in Istio, and at most one in a hundred of
// those that Istio routes through the gateway may be denied.
func TestDifferential(t *testing.T) {
	if *tallyF != "" {
		judgeMeshes(t)
		return
	}
	differential(t, *meshes, false)
}

// TestAmbientDifferential is TestDifferential for meshes some of whose namespaces
// are in ambient mode: nothing that we accept may leave past the platform's
// waypoints, but by what a client's namespace does alone.
func TestAmbientDifferential(t *testing.T) { differential(t, *ambientMeshes, true) }

func differential(t *testing.T, meshes int, ambient bool) {
	t.Helper()
	sum, started := newTally(), time.Now()
	for done := 0; done < meshes; done += perProcess {
		again := max(min(perProcess, *fixed-done), 0)
		if ambient {
			again = 0
		}
		sum.add(inProcess(t, *seed+uint64(done), min(perProcess, meshes-done), again, ambient))
		t.Logf("after %v: %v", time.Since(started).Round(time.Second), sum)
	}
	for _, sort := range slices.Sorted(maps.Keys(sum.Found)) {
		t.Logf("%s: seeds %v", sort, head(sum.Found[sort], 20))
	}
	for _, sort := range unmended {
		if bad := sum.Found[sort]; len(bad) > 0 {
			t.Errorf("Istio has something against the fixes of %d meshes (%s): seeds %v", len(bad), sort, head(bad, 20))
		}
	}
	for _, sort := range unsafe {
		if bad := sum.Found[sort]; len(bad) > 0 {
			t.Errorf("%d meshes are accepted although Istio lets traffic out (%s): seeds %v", len(bad), sort, head(bad, 20))
		}
	}
	if bad, via := sum.Found[falseDenial], sum.Counts["via"]; len(bad)*100 > via {
		t.Errorf("%d of %d meshes that Istio routes via the gateway are denied: seeds %v", len(bad), via, head(bad, 20))
	}
}

// inProcess runs this test for some meshes in a process of its own.
func inProcess(t *testing.T, seed uint64, n, fixed int, ambient bool) tally {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tally.json")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDifferential$", "-test.v",
		"-meshes", strconv.Itoa(n), "-seed", strconv.FormatUint(seed, 10), "-keep", strconv.Itoa(*keep),
		"-shrink", *shrink, "-fixed", strconv.Itoa(fixed), "-tally", file, "-ambient="+strconv.FormatBool(ambient))
	cmd.Env = append(os.Environ(), "GOGC=400", "GOMEMLIMIT=1GiB") // short-lived: spare it most collections
	if ambient {
		cmd.Env = append(cmd.Env, oracle.AmbientEnv...)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("meshes %d to %d: %v\n%s", seed, seed+uint64(n)-1, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "testdata") {
			t.Log(strings.TrimSpace(line))
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := newTally()
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// randomMesh is the mesh of a seed, and judged what both judges say of one, of the
// sort that this process judges.
func randomMesh(seed uint64) gen.Mesh {
	if *ambient {
		return gen.NewAmbient(seed)
	}
	return gen.New(seed)
}

func judged(m gen.Mesh) (answers, error) {
	if *ambient {
		return askAmbient(m.YAML())
	}
	return ask(m.YAML())
}

// judgeMeshes judges the meshes of the flags and writes the tally.
func judgeMeshes(t *testing.T) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		sum   = newTally()
		seeds = make(chan uint64)
	)
	for range 2 * runtime.GOMAXPROCS(0) { // an answer is half waiting
		wg.Go(func() {
			for s := range seeds {
				a, err := judged(randomMesh(s))
				var sort, why string
				if err == nil && !*ambient && s < *seed+uint64(*fixed) {
					sort, why, err = askFixed(gen.New(s).YAML(), a)
				}
				mu.Lock()
				sum.Counts["meshes"]++
				if sort != "" {
					sum.Found[sort] = append(sum.Found[sort], s)
					t.Logf("testdata of the generator, seed %d: %s: %s", s, sort, why)
				}
				switch {
				case err != nil && strings.Contains(err.Error(), "istio rejects"):
					sum.Counts["refused"]++
				case err != nil:
					t.Errorf("seed %d: %v", s, err)
				default:
					sum.count(s, a)
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
	for _, sort := range slices.Sorted(maps.Keys(sum.Found)) {
		slices.Sort(sum.Found[sort])
		if !slices.Contains(strings.Split(*shrink, ","), sort) {
			continue
		}
		for _, s := range head(sum.Found[sort], *keep) {
			record(t, sort, s)
		}
	}
	raw, err := json.Marshal(sum)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*tallyF, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (t tally) count(seed uint64, a answers) {
	switch {
	case a.direct():
		t.Counts["direct"]++
	case a.via():
		t.Counts["via"]++
		if len(a.platform) > 0 {
			t.Counts["via denied"]++
		}
		for _, rule := range a.platform {
			t.Rules[rule]++
		}
	default:
		t.Counts["neither"]++
	}
	for _, r := range a.rows {
		t.Counts["paths"]++
		if !r.disagree() {
			t.Counts["paths agree"]++
		}
	}
	for _, sort := range a.contradictions() {
		t.Found[sort] = append(t.Found[sort], seed)
	}
}

func head(seeds []uint64, n int) []uint64 { return seeds[:min(len(seeds), n)] }

// record shrinks the mesh of a seed for as long as it shows the same
// contradiction, and keeps what is left as a counterexample.
func record(t *testing.T, sort string, seed uint64) {
	t.Helper()
	small := gen.Shrink(randomMesh(seed), func(m gen.Mesh) bool {
		a, err := judged(m)
		return err == nil && slices.Contains(a.contradictions(), sort)
	})
	a, err := judged(small)
	if err != nil {
		t.Error(err)
		return
	}
	var b strings.Builder
	for _, r := range a.rows {
		if r.disagree() || slices.Contains(unsafe, sort) || sort == falseDenial {
			fmt.Fprintf(&b, "# %s\n#   istio: %s\n#   ours:  %s\n", r, r.istioWhy, r.oursWhy)
		}
	}
	for _, client := range slices.Sorted(maps.Keys(a.leaks)) {
		fmt.Fprintf(&b, "# %s leaks: %s\n", client, strings.Join(a.leaks[client], "; "))
	}
	folder := "counterexamples"
	if *ambient {
		folder = "ambient"
	}
	for _, d := range a.detours {
		fmt.Fprintf(&b, "# another host: %s\n", d)
	}
	path := filepath.Join("testdata", folder, fmt.Sprintf("%s-%d.yaml", sort, seed))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(b.String()+small.YAML()), 0o644); err != nil {
		t.Error(err)
	}
	t.Logf("%s: seed %d, shrunk to %s", sort, seed, path)
}
