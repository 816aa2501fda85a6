package review

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
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

// What it costs to read an object, by what can be counted before it is read: most
// of the time goes into the members of maps, which are looked up and hashed several
// times over, and some into the items of lists, however short they are.
const (
	bytesPerStep = 4  // of JSON, in the time of a step
	memberSteps  = 24 // a member of an object: a colon
	itemSteps    = 12 // one more of them, or an item of a list: a comma
)

// readSteps is what it costs to read and to decode an object, and to keep it. A
// colon or a comma in a text counts like any other: to tell them apart is to read.
func readSteps(raw []byte) int {
	return len(raw)/bytesPerStep + memberSteps*bytes.Count(raw, []byte{':'}) + itemSteps*bytes.Count(raw, []byte{','})
}

// spendToRead takes what it costs to read the objects of a write, before they are
// read: what is too large is refused without that. What is new is read once, and
// pays for twice, so that it can be changed later, and so lose its finalizers and
// go. A namespace that is not judged is let off the part that its objects are made
// of, so that it is a way out for what is too large.
func spendToRead(m *mesh.Mesh, w Write) {
	switch {
	case isOff(m, w):
		m.Spend((len(w.Object) + len(w.OldObject)) / bytesPerStep)
	case w.Request.Operation == "CREATE":
		m.Spend(2 * readSteps(w.Object))
	default:
		m.Spend(readSteps(w.Object) + readSteps(w.OldObject))
	}
}

// isOff reports whether the object's namespace turns the judge off, by as little of
// the object as says so.
func isOff(m *mesh.Mesh, w Write) bool {
	raw := w.Object
	if w.Request.Operation == "DELETE" {
		raw = w.OldObject
	}
	name, ok := rawjson.Plain(rawjson.Member(rawjson.Member(raw, "metadata"), "namespace"))
	if !ok {
		return false
	}
	ns := m.Namespace(name)
	return ns != nil && ns.Labels[mesh.ModeLabel] == "off"
}

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
