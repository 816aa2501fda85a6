package reconcile

import (
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// queue is a queue of keys that lives as long as this replica leads, and anew
// when it leads again. In between it takes nothing and has nothing.
type queue struct {
	name string
	term atomic.Pointer[workqueue.TypedRateLimitingInterface[string]]
}

// begin begins a term; end ends it, and whoever waits in get is told.
func (q *queue) begin() (end func()) {
	term := workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 30*time.Second),
		workqueue.TypedRateLimitingQueueConfig[string]{Name: q.name})
	q.term.Store(&term)
	return func() {
		q.term.Store(nil)
		term.ShutDown()
	}
}

// leads reports whether this replica leads.
func (q *queue) leads() bool { return q.term.Load() != nil }

func (q *queue) add(key string) {
	if term := q.term.Load(); term != nil {
		(*term).Add(key)
	}
}

func (q *queue) addAfter(key string, after time.Duration) {
	if term := q.term.Load(); term != nil {
		(*term).AddAfter(key, after)
	}
}

// get waits for a key. It is handed back by done, or by again where something
// is still to be done for it.
func (q *queue) get() (key string, over bool) {
	term := q.term.Load()
	if term == nil {
		return "", true
	}
	return (*term).Get()
}

// done says that nothing is left to be done for a key for now.
func (q *queue) done(key string) {
	if term := q.term.Load(); term != nil {
		(*term).Forget(key)
		(*term).Done(key)
	}
}

// again says that it did not work, and is to be tried again after a while.
func (q *queue) again(key string) {
	if term := q.term.Load(); term != nil {
		(*term).AddRateLimited(key)
		(*term).Done(key)
	}
}
