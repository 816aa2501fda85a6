package review

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// MaxSteps is how many steps a write may take to be judged, the same in the server
// and on the command line. See package budget for what a step is, and
// BenchmarkHostile for the time that the dearest writes take.
const MaxSteps = 4_500_000

// limitOf is how many steps a write may take. What is new may take two thirds of
// [MaxSteps]: a change of it takes the object before and after into account, and
// what could be created must be able to go again.
func limitOf(operation string) int64 {
	if operation == "CREATE" {
		return MaxSteps / 3 * 2
	}
	return MaxSteps
}

// What a review costs beside the loops that count each turn as a step.
const (
	hostSteps   = 40 // to bring a host of an entry into its place
	clientSteps = 4  // the same of a client
)

// bytesPerStep is how many bytes of JSON are read in the time of a step.
const bytesPerStep = 4

// within does work that has a budget, and makes an error of a panic, be it for the
// end of the budget or a fault. The object is the one that ref names by then.
func within(ref *mesh.Ref, work func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			ended, ok := budget.Ended(v)
			if !ok {
				ended = fmt.Errorf("judging %s: panic: %v\n%s", *ref, v, debug.Stack())
			}
			err = ended
		}
		tooLarge, ok := errors.AsType[*budget.TooLarge](err)
		switch {
		case !ok:
		case *ref == mesh.Ref{}:
			err = fmt.Errorf("the object is %w", tooLarge)
		default:
			err = fmt.Errorf("%s is %w", *ref, tooLarge)
		}
	}()
	return work()
}
