package review_test

import (
	"errors"
	"runtime"
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

// longest is many times what the dearest judgement takes of a processor, and a
// small part of what a loop takes that is not counted.
const longest = time.Second

// TestHostile judges the dearest objects of every kind, as an API server sends
// them and as somebody on the network may: each has an answer, a verdict or that it
// is too large, within the budget. They are a tenth of the size that they may have,
// for the sake of who waits for the test; BenchmarkHostile has all of it.
func TestHostile(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	judge := &review.Judge{Rules: rules.All}
	m := hostileMesh()
	tooLarge := 0
	check := func(name string, steps int64, err error, took time.Duration) {
		over, is := errors.AsType[*budget.TooLarge](err)
		switch {
		case is:
			tooLarge++
			if over.Limit > review.MaxSteps || over.Spent <= over.Limit {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil && !strings.Contains(err.Error(), "too many for one write") && !strings.Contains(err.Error(), "is not judged:"):
			t.Errorf("%s: %v", name, err)
		case steps > review.MaxSteps:
			t.Errorf("%s took %d steps of %d", name, steps, review.MaxSteps)
		}
		if took > longest {
			t.Errorf("%s took %s of a processor, with %d steps counted", name, took, steps)
		}
	}
	for _, size := range hostileSizes {
		for o := range hostiletest.Objects(size.size/10, size.forged) {
			writes := hostileWrites(o.JSON)
			for _, op := range []string{"UPDATE", "DELETE"} { // an update has all that a creation has to do
				if size.forged && op == "DELETE" {
					continue // as of what is stored
				}
				began := processorTime(t)
				out, err := judge.Review(t.Context(), m, writes[op])
				check(size.name+"/"+o.Name()+" "+op, out.Steps, err, processorTime(t)-began)
			}
			began := processorTime(t)
			_, err := review.Default(t.Context(), m, writes["CREATE"])
			check(size.name+"/"+o.Name()+" defaults", 0, err, processorTime(t)-began)
		}
	}
	if tooLarge == 0 {
		t.Error("nothing was too large: the objects are not hostile any more")
	}
}
