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
	// patience is how long a review waits for others of its own namespace or user, and
	// for what they have spent. Who is told at once sends the next at once: what one
	// with so many reviews in hand has turned away in a second is bounded by that. With
	// the deadline it leaves time to judge. While a review waits here the API server
	// keeps one of its own places taken for it, so it is no longer than that.
	patience = time.Second
)

// What a namespace may have computed for it in the long run, in steps of a review
// ([review.MaxSteps]): the dearest that can be written, once in two seconds, is about a
// fifth of a core. An ordinary write takes a thousandth of it. A user writes to several
// namespaces, and may have four times as much: where one writes for all, as a
// deployment tool does, what one tenant has it write is not spent from the others'.
const (
	stepsASecond = review.MaxSteps / 2
	burst        = 8 // seconds
	// ordinary is how much one may owe who sends what is ordinary: a thousand of such
	// reviews, and not one of the dearest.
	ordinary = time.Second
	// bytesPerStep is how many bytes of a large body are received and taken apart in
	// the time of a step, whatever comes of them.
	bytesPerStep = 8
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
	// dear has a place for each review that is computed of those who owe more than
	// what is ordinary, of every class: they leave a core to the others, whoever they
	// are, and however many.
	dear chan struct{}
	// late has a place for each of those who are probably turned away and wait for
	// their answer. What each holds of its body is its head, and no more than
	// maxAnnounced.
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
	dear := make(chan struct{}, one)
	g := &gates{apart: apart, known: &class{
		dear:   dear,
		places: fair.New(fair.Limits{Total: total, Namespace: one, User: max(2, 2*one), Source: total - one, Waiting: 1024, WaitingEach: 128, Patience: patience}),
		large:  fair.New(fair.Limits{Total: maxLarge, Namespace: maxLarge / 2, User: maxLarge / 2, Source: maxLarge * 3 / 4, Waiting: 128, WaitingEach: 32, Patience: patience}),
		steps:  fair.NewAllowance(fair.Rates{Namespace: stepsASecond, User: 4 * stepsASecond, Burst: burst}),
		late:   make(chan struct{}, 256),
	}}
	if apart {
		few := int64(max(1, cores/2))
		g.unknown = &class{
			dear:   dear,
			places: fair.New(fair.Limits{Total: few, Namespace: few, User: few, Source: few, Waiting: 64, WaitingEach: 32, Patience: patience}),
			large:  fair.New(fair.Limits{Total: maxReview, Namespace: maxReview, User: maxReview, Source: maxReview, Waiting: 16, WaitingEach: 16, Patience: patience}),
			steps:  fair.NewAllowance(fair.Rates{Namespace: stepsASecond, User: stepsASecond, Burst: burst}),
			late:   make(chan struct{}, 64),
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
	waited   bool // whether it has waited before it was turned away
	body     *fair.Grant
	paid     func() // has its sender pay for what was read; nil where that is not much
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
	if v.users.Add(-1) > 0 {
		return
	}
	if v.paid != nil {
		v.paid() // not before, as the review would wait for that
	}
	v.body.Release()
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
// after it has waited until it may.
func (v *visit) afford(ctx context.Context, namespace, user string) error {
	payer := v.payer(namespace, user)
	due := v.steps.Due(payer)
	if due > 0 {
		v.wait(ctx, min(due, patience))
		due = v.steps.Due(payer)
	}
	if due > 0 {
		return &busy{errDearReviews, "steps", fair.ErrSpent}
	}
	return nil
}

// wait has a review wait that is probably turned away, once on its way. Who is told at
// once sends the next at once, and to turn away as many as that makes takes more than
// is saved.
func (v *visit) wait(ctx context.Context, d time.Duration) {
	if v.waited {
		return
	}
	v.waited = true
	select {
	case v.late <- struct{}{}:
	default:
		return // enough of them wait
	}
	defer func() { <-v.late }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// acquire waits for the sender's turn. Who may not even wait for that is told as late as
// who waits in vain.
func (v *visit) acquire(ctx context.Context, from *fair.Limiter, namespace, user string, amount int64) (*fair.Grant, error) {
	grant, err := from.Acquire(ctx, v.flow(namespace, user), amount)
	if errors.Is(err, fair.ErrQueue) {
		v.wait(ctx, patience)
	}
	return grant, err
}

// charge has the sender of a review pay for steps.
func (v *visit) charge(namespace, user string, steps int64) {
	v.steps.Charge(v.payer(namespace, user), steps)
}

// turn is what a review holds while it is computed.
type turn struct {
	place *fair.Grant
	dear  chan struct{} // nil where its sender owes little
}

// Release gives it back.
func (t *turn) Release() {
	if t.dear != nil {
		<-t.dear
	}
	t.place.Release()
}

// place waits for the turn of a review.
func (v *visit) place(ctx context.Context, req *admission.Request) (*turn, error) {
	namespace, user := req.Namespace, req.UserInfo.Username
	for {
		if err := v.afford(ctx, namespace, user); err != nil {
			return nil, err
		}
		place, err := v.acquire(ctx, v.places, namespace, user, 1)
		if err != nil {
			return nil, &busy{errManyReviews, "place", err}
		}
		payer := v.payer(namespace, user)
		if v.steps.Due(payer) > 0 {
			place.Release() // what had the place before it has spent the rest
			continue
		}
		if v.steps.Owed(payer) < ordinary {
			return &turn{place: place}, nil
		}
		select {
		case v.dear <- struct{}{}:
			return &turn{place, v.dear}, nil
		case <-ctx.Done():
			place.Release()
			return nil, &busy{errManyReviews, "place", fair.ErrLate}
		}
	}
}

// room waits for the memory of a large body, for whose reading the sender pays. It is
// given back when the visit is over. Who would not get a place is told before its body
// is read.
func (v *visit) room(ctx context.Context, namespace, user string, size int64) error {
	if err := v.afford(ctx, namespace, user); err != nil {
		return err
	}
	grant, err := v.acquire(ctx, v.large, namespace, user, size)
	if err != nil {
		return &busy{errManyLarge, "memory", err}
	}
	v.body, v.paid = grant, func() { v.charge(namespace, user, size/bytesPerStep) }
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
