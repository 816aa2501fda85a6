// Package budget bounds the work of one judgement by counting it. Time is no
// such bound: what is too much depends on the machine and on who else is busy,
// and an attacker who knows the deadline stays below it. A count is the same for
// the same input everywhere.
//
// A step is a turn of a loop that a request, or an object that is stored, can
// make longer; it stands for a few tens of nanoseconds.
package budget

import (
	"context"
	"fmt"
	"math"
	"runtime"
)

// Budget is what one judgement may spend. It is not safe for concurrent use. A
// nil Budget is without limit.
//
// Work that goes beyond it ends at once, wherever it is: [Budget.Spend] panics,
// and [Catch], which who made the budget defers, makes an error of that. A result
// that says "enough" would have to be looked at in every loop, and where one
// forgets to, a judgement would be made by half of what there is to see.
type Budget struct {
	ctx   context.Context // of the one judgement that the budget is for
	limit int64
	taken int64 // steps that were made ready to be spent
	left  int64 // of those
}

// lookEvery is how many steps are spent until the context is looked at again:
// some hundred microseconds.
const lookEvery = 1 << 12

// New returns a budget of so many steps, which is also at an end when the context
// is.
func New(ctx context.Context, limit int64) *Budget {
	b := &Budget{ctx: ctx, limit: max(limit, 0)}
	b.taken = min(b.limit, lookEvery)
	b.left = b.taken
	return b
}

// Spend takes n steps, and does not return where that is more than there is, or
// where nobody waits for the judgement any more.
func (b *Budget) Spend(n int) {
	if b == nil {
		return
	}
	if b.left -= int64(n); b.left < 0 {
		b.refill()
	}
}

func (b *Budget) refill() {
	spent := b.Spent()
	if spent > b.limit {
		panic(stop{&TooLarge{Spent: spent, Limit: b.limit}})
	}
	if err := b.ctx.Err(); err != nil {
		panic(stop{err})
	}
	b.taken = min(b.limit, spent+lookEvery)
	b.left = b.taken - spent
	// Who takes less comes first: otherwise it is Go's scheduler that ends the turn of
	// what only computes, after ten milliseconds.
	runtime.Gosched()
}

// Spent is how many steps were taken.
func (b *Budget) Spent() int64 {
	switch {
	case b == nil:
		return 0
	case b.left < 0 && b.taken > math.MaxInt64+b.left:
		return math.MaxInt64
	default:
		return b.taken - b.left
	}
}

// Limit is how many steps there are.
func (b *Budget) Limit() int64 {
	if b == nil {
		return math.MaxInt64
	}
	return b.limit
}

// stop is what [Budget.Spend] panics with. No other panic has its type.
type stop struct{ err error }

// Catch is to be deferred by who made a budget. Where that came to its end, it
// sets the error to a [*TooLarge] or to that of the context; other panics go on.
func Catch(err *error) {
	v := recover()
	if v == nil {
		return
	}
	ended, ok := Ended(v)
	if !ok {
		panic(v)
	}
	*err = ended
}

// Ended returns the error of a budget that came to its end, given what was
// recovered from a panic. Who recovers from everything asks it first.
func Ended(recovered any) (error, bool) {
	s, ok := recovered.(stop)
	return s.err, ok
}

// TooLarge is the error of a judgement that takes more steps than there are for
// it.
type TooLarge struct {
	Spent int64 // when it was given up
	Limit int64
}

// Error implements error.
func (e *TooLarge) Error() string {
	return fmt.Sprintf("too large to judge: %d steps or more, the limit is %d; split the object into smaller ones", e.Spent, e.Limit)
}
