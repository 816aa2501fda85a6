package review_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/hostiletest"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// The bounds on what a review takes and gives, whatever it is about.
const (
	// maxTexts is bytes of all texts of the findings.
	maxTexts = 1 << 20
	// maxAllocated times the bytes of the object, and baseAllocated for the steps that there are, is what a review
	// allocates at most, in all: most of it is garbage before the review ends.
	baseAllocated = 300 << 20
	maxAllocated  = 100
)

// TestHostileMemory checks that what a review allocates, and what it answers, is bounded for the dearest object of
// every kind, and for objects of which any one text is far longer than it has any right to be.
func TestHostileMemory(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	m := hostileMesh()
	type row struct {
		name      string
		size      int
		allocated uint64
		findings  int
		steps     int64
	}
	var table []row
	refused := 0
	look := func(name string, size int, w review.Write) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := judge.Review(t.Context(), m, w)
		runtime.ReadMemStats(&after)
		if tooLarge, ok := errors.AsType[*budget.TooLarge](err); err != nil && !ok {
			refused++ // by name, or for its points
		} else if ok && tooLarge.Spent < tooLarge.Limit {
			t.Errorf("%s: %v", name, err)
		}
		allocated := after.TotalAlloc - before.TotalAlloc
		table = append(table, row{name, size, allocated, len(out.Findings), out.Steps})
		if limit := uint64(baseAllocated + maxAllocated*size); allocated > limit {
			t.Errorf("%s: a review of %d bytes allocates %d MB, more than %d", name, size, allocated>>20, limit>>20)
		}
		checkBounded(t, name, out)
	}
	const size = 60_000
	for o := range hostiletest.Objects(size, true) {
		look(o.Name(), len(o.JSON), review.Write{Request: rules.Request{Operation: "CREATE", User: "mallory"}, Object: o.JSON})
	}
	for o := range hostiletest.Objects(1_000, true) {
		for path, raw := range wordy(t, o.JSON, size) {
			look(o.Name()+" with a long "+path, len(raw), review.Write{Request: rules.Request{Operation: "CREATE", User: "mallory"}, Object: raw})
		}
	}
	if refused < 100 || len(table)-refused < 100 {
		t.Errorf("of %d reviews %d were refused at once: the test has lost its aim", len(table), refused)
	}
	slices.SortFunc(table, func(a, b row) int { return int(b.allocated) - int(a.allocated) })
	for _, r := range table[:10] {
		t.Logf("%-70s %8d bytes %6d MB %4d findings %8d steps", r.name, r.size, r.allocated>>20, r.findings, r.steps)
	}
}

// checkBounded checks the number of findings, and the bytes of their texts.
func checkBounded(t *testing.T, name string, out review.Outcome) {
	t.Helper()
	size, listed := 0, 0
	for _, f := range out.Findings {
		size += len(f.Path) + len(f.Message) + len(f.Fix)
		if f.Rest.Count == 0 {
			listed++
		}
	}
	if listed > rules.MaxFindings {
		t.Errorf("%s: %d findings are listed", name, listed)
	}
	if size > maxTexts {
		t.Errorf("%s: the findings have %d bytes, more than %d", name, size, maxTexts)
	}
}

// wordy yields the object once for each text in it, which is made as long as the size.
func wordy(t *testing.T, raw []byte, size int) func(yield func(string, []byte) bool) {
	t.Helper()
	var object any
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	long := strings.Repeat("x.", size/2) + "example"
	return func(yield func(string, []byte) bool) {
		var walk func(value any, path string, set func(any)) bool
		walk = func(value any, path string, set func(any)) bool {
			switch v := value.(type) {
			case map[string]any:
				for _, key := range slices.Sorted(maps.Keys(v)) {
					sub := v[key]
					if path == "" && (key == "apiVersion" || key == "kind") {
						continue
					}
					if strings.HasPrefix(key, "l") && len(key) > 1 && key[1] >= '1' && key[1] <= '9' {
						continue // one label, l0, is as good as all
					}
					if !walk(sub, path+"."+key, func(x any) { v[key] = x }) {
						return false
					}
				}
			case []any:
				for i, sub := range v[:min(len(v), 2)] {
					if !walk(sub, fmt.Sprintf("%s[%d]", path, i), func(x any) { v[i] = x }) {
						return false
					}
				}
			case string:
				set(long)
				raw, err := json.Marshal(object)
				set(v)
				return err == nil && yield(path, raw)
			}
			return true
		}
		walk(object, "", nil)
	}
}
