package budget_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport-io/sallyport/internal/budget"
)

// spend takes steps one by one, and returns how many times it could.
func spend(b *budget.Budget, times, n int) (done int, err error) {
	defer budget.Catch(&err)
	for range times {
		b.Spend(n)
		done++
	}
	return done, nil
}

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		limit    int64
		times, n int
		done     int
		spent    int64
		tooLarge bool
	}{
		{limit: 10, times: 10, n: 1, done: 10, spent: 10},
		{limit: 10, times: 11, n: 1, done: 10, spent: 11, tooLarge: true},
		{limit: 10, times: 5, n: 3, done: 3, spent: 12, tooLarge: true},
		{limit: 100_000, times: 100_000, n: 1, done: 100_000, spent: 100_000},
		{limit: 100_000, times: 200_000, n: 1, done: 100_000, spent: 100_001, tooLarge: true},
		{limit: 0, times: 1, n: 1, spent: 1, tooLarge: true},
		{limit: 10, times: 2, n: math.MaxInt, spent: math.MaxInt64, tooLarge: true},
		{limit: 10, times: 2, n: 0, done: 2},
	} {
		b := budget.New(t.Context(), test.limit)
		done, err := spend(b, test.times, test.n)
		var tooLarge *budget.TooLarge
		if done != test.done || errors.As(err, &tooLarge) != test.tooLarge || !test.tooLarge && b.Spent() != test.spent {
			t.Errorf("limit %d: %d times %d: done %d, spent %d, error %v; want done %d, spent %d, too large %t",
				test.limit, test.times, test.n, done, b.Spent(), err, test.done, test.spent, test.tooLarge)
		}
		if tooLarge != nil && (tooLarge.Spent < test.limit || tooLarge.Limit != test.limit) {
			t.Errorf("limit %d: error %#v", test.limit, tooLarge)
		}
	}
}

func TestMessage(t *testing.T) {
	_, err := spend(budget.New(t.Context(), 10), 11, 1)
	for _, want := range []string{"too large to judge", "11 steps or more", "the limit is 10", "split the object"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// TestContext has work go on after its context has ended: the error is that of the
// context, long before the limit.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := budget.New(ctx, 1_000_000_000)
	if _, err := spend(b, 100_000, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	done, err := spend(b, 100_000, 1)
	if !errors.Is(err, context.Canceled) || done > 10_000 {
		t.Errorf("%d steps and error %v after the context ended", done, err)
	}
}

func TestNil(t *testing.T) {
	if done, err := spend(nil, 3, math.MaxInt); done != 3 || err != nil {
		t.Errorf("a nil budget ends after %d steps: %v", done, err)
	}
}

// TestOtherPanics go on: a fault must not pass for an object that is too large.
func TestOtherPanics(t *testing.T) {
	defer func() {
		if v := recover(); v != "fault" {
			t.Errorf("recovered %v", v)
		}
	}()
	var err error
	defer budget.Catch(&err)
	panic("fault")
}

func BenchmarkSpend(b *testing.B) {
	budget := budget.New(b.Context(), math.MaxInt64)
	for b.Loop() {
		budget.Spend(1)
	}
}

// TestOthersHaveTheirTurn has a judgement take many steps on one core beside something
// that takes little at a time: that goes on meanwhile, every few thousand steps.
func TestOthersHaveTheirTurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var turns atomic.Int64
	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !done.Load() {
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	const steps = 1_000_000
	if _, err := spend(budget.New(t.Context(), steps), steps, 1); err != nil {
		t.Fatal(err)
	}
	got := turns.Load()
	done.Store(true)
	<-ended
	if got < steps/10_000 {
		t.Errorf("%d turns in %d steps", got, steps)
	}
}
