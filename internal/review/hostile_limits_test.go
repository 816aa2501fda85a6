package review_test

import (
	"bytes"
	"cmp"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/hostiletest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestHostileKinds sees to it that the generator knows every kind.
func TestHostileKinds(t *testing.T) {
	made := map[string]bool{}
	for o := range hostiletest.Objects(2_000, false) {
		decoded, err := mesh.Decode(o.JSON)
		if err != nil {
			t.Errorf("%s: %v in %s", o.Name(), err, o.JSON)
			continue
		}
		made[decoded.Metadata().Kind] = true
	}
	for _, kind := range mesh.Kinds() {
		if !made[kind] {
			t.Errorf("package hostiletest makes no %s", kind)
		}
	}
}

const (
	// hostileShare is the part of their full size that the objects of TestHostile
	// have, for the sake of who waits for it; BenchmarkHostile has all of it.
	hostileShare = 100
	// countedSteps is from how many steps on a review counts for the median.
	countedSteps = 20_000
	// fixedSteps is what a review may take beside its steps, however small it is, in
	// steps of the median: to read the request, to set up what judges it.
	fixedSteps = 50_000
	// dearest is how many times the time of a step may be that of the median of the
	// reviews: a loop that is not counted, or not by far, is beyond it. The dearest
	// that are counted take about eight times the median, and what else a machine
	// does to its caches can make twice that of it.
	dearest = 16
)

// judged is what one review took.
type judged struct {
	name  string
	steps int64
	took  time.Duration
	again func() (int64, time.Duration)
}

// perStep is the time of a step in nanoseconds.
func (j judged) perStep() float64 {
	return float64(j.took.Nanoseconds()) / float64(j.steps+fixedSteps)
}

// TestHostile judges the dearest objects of every kind, as an API server sends
// them and as somebody on the network may: each has an answer, a verdict or that it
// is too large, within the budget. Of all of them a step takes about the same time
// of a processor, however fast that is: what is done is counted.
func TestHostile(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	judge := &review.Judge{Rules: rules.All}
	m := hostileMesh()
	tooLarge := 0
	var all []judged
	for _, size := range hostileSizes {
		for o := range hostiletest.Objects(size.size/hostileShare, size.forged) {
			writes := hostileWrites(o.JSON)
			op := "DELETE" // is as of what is stored
			if size.forged {
				op = "UPDATE" // has all that a creation has to do
			}
			name := size.name + "/" + o.Name() + " " + op
			measure := func() (int64, time.Duration) {
				began := processorTime(t)
				out, err := judge.Review(t.Context(), m, writes[op])
				took := processorTime(t) - began
				if checkLimit(t, name, out.Steps, err) {
					tooLarge++
				}
				return out.Steps, took
			}
			steps, took := measure()
			all = append(all, judged{name, steps, took, measure})
			_, _, err := review.Default(t.Context(), m, writes["CREATE"])
			checkLimit(t, size.name+"/"+o.Name()+" defaults", 0, err)
		}
	}
	if tooLarge == 0 {
		t.Error("nothing was too large: the objects are not hostile any more")
	}
	checkCounted(t, all)
}

// checkLimit checks that a review ended within its budget, and reports whether it
// was given up for that.
func checkLimit(t *testing.T, name string, steps int64, err error) bool {
	t.Helper()
	over, is := errors.AsType[*budget.TooLarge](err)
	switch {
	case is:
		if over.Limit > review.MaxSteps || over.Spent <= over.Limit {
			t.Errorf("%s: %v", name, err)
		}
	case err != nil && !strings.Contains(err.Error(), "too many for one write") && !strings.Contains(err.Error(), "is not judged:"):
		t.Errorf("%s: %v", name, err)
	case steps > review.MaxSteps:
		t.Errorf("%s took %d steps of %d", name, steps, review.MaxSteps)
	}
	return is
}

// checkCounted compares the time that a step takes among all reviews.
func checkCounted(t *testing.T, all []judged) {
	t.Helper()
	slices.SortFunc(all, func(a, b judged) int { return cmp.Compare(a.perStep(), b.perStep()) })
	counted := slices.DeleteFunc(slices.Clone(all), func(j judged) bool { return j.steps < countedSteps })
	if len(counted) < 50 {
		t.Fatalf("only %d reviews take as many steps as can be measured", len(counted))
	}
	limit := dearest * counted[len(counted)/2].perStep()
	for i := range all {
		j := &all[i]
		for range 4 { // what else the machine does may have disturbed it
			if j.perStep() > limit {
				runtime.GC() // what the reviews before have left is not this one's
				steps, took := j.again()
				j.steps, j.took = steps, min(j.took, took)
			}
		}
		if j.perStep() > limit {
			t.Errorf("%s: a step takes %.0f ns, of %d steps; that is more than %d times the median of all", j.name, j.perStep(), j.steps, dearest)
		}
	}
	for _, j := range all[len(all)-10:] {
		t.Logf("%-70s %9d steps %6.0f ns each", j.name, j.steps, j.perStep())
	}
	t.Logf("median %.0f ns", limit/dearest)
}

// TestReadingIsPaidFirst has objects of so many members that to decode them alone
// would take more than there is: they are refused before, when nobody knows their
// names yet, and that takes no memory to speak of.
func TestReadingIsPaidFirst(t *testing.T) {
	const many = 150_000 // members
	judge := &review.Judge{Rules: rules.All}
	m := hostileMesh()
	found := 0
	for o := range hostiletest.Objects(hostiletest.ForgedSize, true) {
		if bytes.Count(o.JSON, []byte{':'}) < many {
			continue
		}
		found++
		for op, w := range hostileWrites(o.JSON) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err := judge.Review(t.Context(), m, w)
			runtime.ReadMemStats(&after)
			if _, tooLarge := errors.AsType[*budget.TooLarge](err); !tooLarge || out.Ref != (mesh.Ref{}) {
				t.Errorf("%s %s: %s, error %v; want it refused unread", o.Name(), op, out.Ref, err)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
				t.Errorf("%s %s: %d KB were allocated for what is not read", o.Name(), op, allocated>>10)
			}
		}
		_, _, err := review.Default(t.Context(), m, hostileWrites(o.JSON)["CREATE"])
		if _, tooLarge := errors.AsType[*budget.TooLarge](err); !tooLarge || !strings.HasPrefix(err.Error(), "the object is") {
			t.Errorf("%s defaults: error %v; want it refused unread", o.Name(), err)
		}
	}
	if found < 10 {
		t.Errorf("only %d objects have as many members: the test has lost its aim", found)
	}
}
