package webhook

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	// grace is how long a handler may take to notice that its time is over: one
	// that does says more about it than somebody else could.
	grace = 50 * time.Millisecond
	// stuckFor is how long handlers may go on after they were answered for
	// before that counts against the replica.
	stuckFor = 10 * time.Second
)

// errNotInTime is the answer for a handler that gives none.
var errNotInTime = errors.New("could not judge in time")

// Watch answers for handlers that do not answer in time, and knows those that
// have not ended since. What a handler does is bounded by a count of its steps;
// this is for what the count does not know.
type Watch struct {
	cores int

	mu   sync.Mutex
	late map[*call]time.Time // since when
}

// NewWatch returns a Watch to which nobody is late.
func NewWatch() *Watch { return &Watch{cores: runtime.GOMAXPROCS(0), late: make(map[*call]time.Time)} }

// Stuck is an error while handlers have gone on for long after they were
// answered for, and there are as many of them as there are cores: each may keep
// one busy, so that others wait for a turn. One namespace cannot bring that
// about: it never has as many places.
func (w *Watch) Stuck() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, since := range w.late {
		if time.Since(since) > stuckFor {
			n++
		}
	}
	if n < w.cores {
		return nil
	}
	return fmt.Errorf("%d reviews have been computed for more than %v after their time was over, on %d cores", n, stuckFor, w.cores)
}

// Late is how many handlers go on after they were answered for.
func (w *Watch) Late() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.late)
}

func (w *Watch) began(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late[c] = time.Now()
}

func (w *Watch) ended(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.late, c)
}

// panicked carries a panic of a handler to the goroutine that waits for it.
type panicked struct {
	value any
	stack []byte
}

// Error leaves the stack to the log.
func (p *panicked) Error() string { return fmt.Sprint(p.value) }

// answer has the handler answer the call, or, where it does not in time,
// answers for it. The handler's place and what it reads stay taken until it
// really ends.
func (w *Watch) answer(ctx context.Context, v *visit, place *turn, c *call,
	handler func(context.Context, *call) admission.Response, instead func(*call, error) admission.Response,
) admission.Response {
	type result struct {
		resp  admission.Response
		panic *panicked
	}
	results := make(chan result, 1)
	v.use()
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.panic = &panicked{p, debug.Stack()}
			}
			v.charge(c.request.Namespace, c.request.UserInfo.Username, c.steps)
			place.Release()
			v.done()
			results <- r
		}()
		growStack(0)
		r.resp = handler(ctx, c)
	}()
	take := func(r result) admission.Response {
		if r.panic != nil {
			panic(r.panic)
		}
		return r.resp
	}
	select {
	case r := <-results:
		return take(r)
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-results:
		return take(r)
	case <-timer.C:
	}
	if !c.claim() { // it is just answering
		return take(<-results)
	}
	w.began(c)
	c.Metrics.watched.WithLabelValues(c.entry).Inc()
	go func() {
		r := <-results
		w.ended(c)
		if r.panic != nil {
			c.Log.Error(fmt.Errorf("panic: %w\n%s", r.panic, r.panic.stack), "a handler that was answered for has ended", c.fields()...)
			return
		}
		c.Log.Info("a handler that was answered for has ended", append(c.fields(), "seconds", time.Since(c.began).Seconds())...)
	}()
	return instead(c.again(), errNotInTime)
}
