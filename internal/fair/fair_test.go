package fair_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-io/sallyport/internal/fair"
)

var limits = fair.Limits{Total: 8, Namespace: 2, User: 3, Source: 6, Waiting: 40, WaitingEach: 10}

func flow(namespace, user string) fair.Flow {
	return fair.Flow{Source: "api", Namespace: namespace, User: user}
}

// at once is a context that has ended: what is not there now is refused.
func atOnce() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestEachIsBounded fills what one namespace, one user and one source may hold,
// with nobody else there: the next of theirs waits, and others do not.
func TestEachIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes func(i int) fair.Flow
		most  int
		other fair.Flow
	}{
		{"a namespace", func(i int) fair.Flow { return flow("a", fmt.Sprint(i)) }, 2, flow("b", "0")},
		{"a user", func(i int) fair.Flow { return flow(fmt.Sprint(i), "u") }, 3, flow("0", "v")},
		{"a source", func(i int) fair.Flow { return flow(fmt.Sprint(i), fmt.Sprint(i)) }, 6, fair.Flow{Source: "pod", Namespace: "0", User: "0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := fair.New(limits)
			var last *fair.Grant
			for i := range tt.most {
				g, err := l.Acquire(atOnce(), tt.takes(i), 1)
				if err != nil {
					t.Fatalf("number %d: %v", i, err)
				}
				last = g
			}
			if _, err := l.Acquire(atOnce(), tt.takes(tt.most), 1); !errors.Is(err, fair.ErrLate) {
				t.Errorf("one more: %v, want %v", err, fair.ErrLate)
			}
			if _, err := l.Acquire(atOnce(), tt.other, 1); err != nil {
				t.Errorf("another one's: %v", err)
			}
			last.Release()
			if _, err := l.Acquire(atOnce(), tt.takes(tt.most), 1); err != nil {
				t.Errorf("after one was given back: %v", err)
			}
		})
	}
}

// TestWaitingIsBounded lets as many wait as may: the next is refused at once,
// whatever time it has, and another namespace's may still wait.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fair.New(limits)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wait := func(f fair.Flow) {
			wg.Go(func() {
				if _, err := l.Acquire(ctx, f, 1); err != nil && !errors.Is(err, fair.ErrLate) {
					t.Errorf("%v: %v", f, err)
				}
			})
		}
		for n := range 4 {
			for i := range 12 { // two hold, ten wait
				wait(fair.Flow{Source: fmt.Sprint(n), Namespace: "shop", User: fmt.Sprint(i)})
			}
			synctest.Wait()
			began := time.Now()
			if _, err := l.Acquire(t.Context(), fair.Flow{Source: fmt.Sprint(n), Namespace: "shop", User: "more"}, 1); !errors.Is(err, fair.ErrQueue) {
				t.Errorf("the eleventh that waits in one namespace: %v", err)
			}
			if waited := time.Since(began); waited > 0 {
				t.Errorf("it was told after %v", waited)
			}
		}
		// Forty wait: nobody else may.
		if _, err := l.Acquire(t.Context(), flow("new", "new"), 1); !errors.Is(err, fair.ErrQueue) {
			t.Errorf("beyond all that may wait: %v", err)
		}
		cancel()
		wg.Wait()
	})
}

// TestPatience checks that a flow is told soon that its own share is taken, and
// that one that waits for others' waits on.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fair.New(fair.Limits{Total: 3, Namespace: 2, User: 2, Source: 3, Waiting: 9, WaitingEach: 9, Patience: 100 * time.Millisecond})
		var held []*fair.Grant
		for _, ns := range []string{"a", "a", "b"} {
			g, err := l.Acquire(t.Context(), flow(ns, ns), 1)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, g)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := l.Acquire(ctx, flow("a", "a"), 1); !errors.Is(err, fair.ErrShare) || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.AfterFunc(time.Second, held[2].Release)
		if g, err := l.Acquire(ctx, flow("c", "c"), 1); err != nil {
			t.Errorf("one that waits for others: %v", err)
		} else {
			g.Release()
		}
	})
}

// TestTheRareComesFirst has many wait in one namespace, and then one in another:
// it has the next place that is free, and all get theirs in the end.
func TestTheRareComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fair.New(fair.Limits{Total: 2, Namespace: 2, User: 2, Source: 2, Waiting: 100, WaitingEach: 100})
		var order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		send := func(f fair.Flow) {
			wg.Go(func() {
				g, err := l.Acquire(t.Context(), f, 1)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second)
				mu.Lock()
				order = append(order, f.Namespace)
				mu.Unlock()
				g.Release()
			})
			synctest.Wait()
		}
		for range 20 {
			send(flow("many", "m"))
		}
		send(flow("rare", "r"))
		wg.Wait()
		if len(order) != 21 {
			t.Fatalf("%d were served", len(order))
		}
		for i, ns := range order {
			if ns == "rare" && i > 3 { // two were in hand before it came
				t.Errorf("it was number %d: %v", i, order)
			}
		}
	})
}

// TestRoundRobin has three namespaces wait with the same number each: they are
// served in turns.
func TestRoundRobin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fair.New(fair.Limits{Total: 1, Namespace: 1, User: 1, Source: 1, Waiting: 100, WaitingEach: 100})
		var order []string
		var wg sync.WaitGroup
		first, err := l.Acquire(t.Context(), flow("x", "x"), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, ns := range []string{"a", "b", "c"} {
			for range 5 {
				wg.Go(func() {
					g, err := l.Acquire(t.Context(), flow(ns, "u-"+ns), 1)
					if err != nil {
						t.Error(err)
						return
					}
					order = append(order, ns) // one has the place at a time
					time.Sleep(time.Second)
					g.Release()
				})
				synctest.Wait()
			}
		}
		first.Release()
		wg.Wait()
		for i := 0; i+3 <= len(order); i += 3 {
			if order[i] == order[i+1] || order[i+1] == order[i+2] || order[i] == order[i+2] {
				t.Fatalf("not in turns: %v", order)
			}
		}
	})
}

// TestLargeGetsItsTurn has something wait that needs all there is, while small
// ones of others come and go.
func TestLargeGetsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fair.New(fair.Limits{Total: 8, Namespace: 8, User: 8, Source: 8, Waiting: 1000, WaitingEach: 1000})
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					g, err := l.Acquire(t.Context(), flow(fmt.Sprint(i), fmt.Sprint(i)), 3)
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Second)
					g.Release()
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		g, err := l.Acquire(ctx, flow("large", "large"), 100)
		if err != nil {
			t.Errorf("the large one: %v", err)
		}
		g.Release()
		close(stop)
		wg.Wait()
	})
}

// TestNothingIsLost sends flows at random, many of which give up, and then asks
// for everything at once: no amount was lost, none was given twice, and no name
// is remembered.
func TestNothingIsLost(t *testing.T) {
	l := fair.New(limits)
	var held atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				amount := 1 + rand.Int64N(3)
				f := fair.Flow{Source: fmt.Sprint(rand.IntN(3)), Namespace: fmt.Sprint(rand.IntN(5)), User: fmt.Sprint(rand.IntN(5))}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(300))*time.Microsecond)
				g, err := l.Acquire(ctx, f, amount)
				if err == nil {
					amount = min(amount, limits.Namespace)
					if n := held.Add(amount); n > limits.Total {
						t.Errorf("%d are given of %d", n, limits.Total)
					}
					time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
					held.Add(-amount)
					g.Release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if n := l.Known(); n != 0 {
		t.Errorf("%d names are remembered", n)
	}
	for i := range limits.Total {
		f := fair.Flow{Source: fmt.Sprint(i), Namespace: fmt.Sprint(i), User: fmt.Sprint(i)}
		if _, err := l.Acquire(atOnce(), f, 1); err != nil {
			t.Errorf("number %d of all: %v", i, err)
		}
	}
}

func BenchmarkAcquire(b *testing.B) {
	l := fair.New(limits)
	b.ReportAllocs()
	for b.Loop() {
		g, err := l.Acquire(b.Context(), flow("shop", "alice"), 1)
		if err != nil {
			b.Fatal(err)
		}
		g.Release()
	}
}
