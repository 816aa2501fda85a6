package webhook

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"
)

const (
	// maxTimeout is how long callers wait: the longer timeout of the two entries
	// in manifests/webhooks.yaml. One that says that it waits longer, or does
	// not say, is taken to wait this long: whoever reaches the port can say
	// anything, and what it has sent is held until its time is over.
	maxTimeout = 3 * time.Second
	// share of the caller's patience that is ours: the rest is for the way
	// back.
	share = 0.8
	// perCore is how many reviews may be in hand per core. Judging is pure
	// computation, so more would only make all of them slow.
	perCore = 8
)

// errBusy is why a review was turned away.
var errBusy = errors.New("too many reviews are in hand; try again, or run more replicas")

// gate bounds the work in hand. A review takes a place once it has been read
// completely, so that slow senders hold none; what they hold until then,
// maxLarge bounds.
type gate chan struct{}

func newGate() gate { return make(gate, perCore*runtime.GOMAXPROCS(0)) }

// enter waits for a place until the context ends.
func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errBusy
	}
}

func (g gate) leave() { <-g }

// timed gives each request a deadline: most of the timeout that the API
// server names in the query.
func timed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), deadline(r))
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func deadline(r *http.Request) time.Duration {
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || timeout <= 0 || timeout > maxTimeout {
		timeout = maxTimeout
	}
	return time.Duration(share * float64(timeout))
}
