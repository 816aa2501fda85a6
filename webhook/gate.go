package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport-io/sallyport/internal/fair"
	"github.com/sallyport-io/sallyport/internal/review"
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
	perCore = 4
	// maxLarge bounds the memory of all large reviews that are in hand, from
	// their first byte beyond maxAnnounced to their answer. A few of the
	// largest, or hundreds of those that an API server really sends, fit in:
	// what whoever reaches the port can send at once must not end the process.
	maxLarge = 16 << 20
	// patience is how long a review waits for others of its own namespace or user.
	// That is enough for hundreds of ordinary ones. While a review waits here the
	// API server keeps one of its own places taken for it, which another tenant's
	// write may be waiting for.
	patience = 100 * time.Millisecond
)

// What a namespace may have computed for it in the long run, in steps of a review
// ([review.MaxSteps]): the dearest that can be written, once in two seconds, is about a
// fifth of a core. An ordinary write takes a thousandth of it. A user writes to several
// namespaces, and may have four times as much: where one writes for all, as a
// deployment tool does, what one tenant has it write is not spent from the others'.
const (
	stepsASecond = review.MaxSteps / 2
	burst        = 8 // seconds
)

// Why a review is turned away. Whoever sent it is told to try again.
var (
	errManyReviews = errors.New("too many reviews of this namespace or user are in hand; try again")
	errDearReviews = errors.New("the reviews of this namespace or user have lately taken more computing than is its share; try again")
	errManyLarge   = errors.New("too many large reviews of this namespace or user are in hand; try again")
)

// busy is why a review was turned away unjudged, for want of room.
type busy struct {
	why  error  // errManyReviews, errDearReviews or errManyLarge
	what string // as metrics call it: place, steps or memory
	how  error  // of package fair
}

func (b *busy) Error() string { return b.why.Error() }

func (b *busy) Unwrap() error { return b.how }

// gates bound the work in hand, and share it out. Reviews that are known to be
// the API server's, and those that are not, never wait for one another.
type gates struct {
	known, unknown *class
	apart          bool // whether anything tells them apart; otherwise all are known
}

// class is what reviews of one kind share out among themselves.
type class struct {
	places *fair.Limiter
	large  *fair.Limiter // in bytes
	steps  *fair.Allowance
	// late has a place for each of those who have spent all they may and wait for
	// their answer. What each holds of its body is no more than maxAnnounced.
	late chan struct{}
}

// newGates returns gates of which nothing is taken. A namespace never has all
// cores: judging is pure computation, and an expensive review of the one would
// keep all others from being computed. A user who writes to many namespaces may
// have twice as much, and one source of reviews nearly all: where nothing proves
// who calls, whoever reaches the port leaves room for the API server.
func newGates(apart bool) *gates {
	cores := runtime.GOMAXPROCS(0)
	one := int64(max(1, cores-1))
	total := int64(perCore * cores)
	g := &gates{apart: apart, known: &class{
		places: fair.New(fair.Limits{Total: total, Namespace: one, User: max(2, 2*one), Source: total - one, Waiting: 1024, WaitingEach: 128, Patience: patience}),
		large:  fair.New(fair.Limits{Total: maxLarge, Namespace: maxLarge / 2, User: maxLarge / 2, Source: maxLarge * 3 / 4, Waiting: 128, WaitingEach: 32, Patience: patience}),
		steps:  fair.NewAllowance(fair.Rates{Namespace: stepsASecond, User: 4 * stepsASecond, Burst: burst}),
		late:   make(chan struct{}, 64),
	}}
	if apart {
		few := int64(max(1, cores/2))
		g.unknown = &class{
			places: fair.New(fair.Limits{Total: few, Namespace: few, User: few, Source: few, Waiting: 64, WaitingEach: 32, Patience: patience}),
			large:  fair.New(fair.Limits{Total: maxReview, Namespace: maxReview, User: maxReview, Source: maxReview, Waiting: 16, WaitingEach: 16, Patience: patience}),
			steps:  fair.NewAllowance(fair.Rates{Namespace: stepsASecond, User: stepsASecond, Burst: burst}),
			late:   make(chan struct{}, 16),
		}
	}
	return g
}

// visit is a request on its way through the gates: whom it comes from, and the
// room that its body takes until everybody who reads it is done.
type visit struct {
	*class
	source   string
	together bool // whether its sender has no name but those of its like
	body     *fair.Grant
	users    atomic.Int32
}

// visit says which way a request goes.
func (g *gates) visit(r *http.Request) *visit {
	v := &visit{class: g.known}
	if g.apart {
		if proven, _ := r.Context().Value(provenKey{}).(bool); proven {
			v.users.Store(1)
			return v // of one source: the API server, however many it is
		}
		v.class, v.together = g.unknown, true
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		v.source = host
	}
	v.users.Store(1)
	return v
}

// use says that somebody reads the body, until done.
func (v *visit) use() { v.users.Add(1) }

func (v *visit) done() {
	if v.users.Add(-1) == 0 {
		v.body.Release()
	}
}

// flow is whose turn a review waits for.
func (v *visit) flow(namespace, user string) fair.Flow {
	return fair.Flow{Source: v.source, Namespace: namespace, User: user}
}

// payer is who pays for the steps of a review. Where proof is asked for, those who
// have none pay together, whatever names they give.
func (v *visit) payer(namespace, user string) fair.Flow {
	if v.together {
		return fair.Flow{}
	}
	return v.flow(namespace, user)
}

// afford returns nil where the payer of a review may have it computed, if need be
// after patience. Who is told at once sends the next at once, and to turn that away
// costs more in the end than to let a few wait.
func (v *visit) afford(ctx context.Context, namespace, user string) error {
	payer := v.payer(namespace, user)
	if v.steps.Check(payer) == nil {
		return nil
	}
	select {
	case v.late <- struct{}{}:
		defer func() { <-v.late }()
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	default: // enough of them wait
	}
	if err := v.steps.Check(payer); err != nil {
		return &busy{errDearReviews, "steps", err}
	}
	return nil
}

// charge has the sender of a review pay for the steps that it took.
func (v *visit) charge(req *admission.Request, steps int64) {
	v.steps.Charge(v.payer(req.Namespace, req.UserInfo.Username), steps)
}

// place waits for a place for a review.
func (v *visit) place(ctx context.Context, req *admission.Request) (*fair.Grant, error) {
	if err := v.afford(ctx, req.Namespace, req.UserInfo.Username); err != nil {
		return nil, err
	}
	place, err := v.places.Acquire(ctx, v.flow(req.Namespace, req.UserInfo.Username), 1)
	if err != nil {
		return nil, &busy{errManyReviews, "place", err}
	}
	return place, nil
}

// room waits for the memory of a large body. It is given back when the visit is
// over. Who would not get a place is told before its body is read.
func (v *visit) room(ctx context.Context, namespace, user string, size int64) error {
	if err := v.afford(ctx, namespace, user); err != nil {
		return err
	}
	grant, err := v.large.Acquire(ctx, v.flow(namespace, user), size)
	if err != nil {
		return &busy{errManyLarge, "memory", err}
	}
	v.body = grant
	return nil
}

// visitKey is where a context has its visit.
type visitKey struct{}

func (v *visit) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

// visitOf is the visit of a request; of one that came otherwise than over HTTP
// there is nothing to tell.
func (g *gates) visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	v := &visit{class: g.known}
	v.users.Store(1)
	return v
}

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
