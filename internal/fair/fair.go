// Package fair shares out what there is a fixed amount of, places or bytes,
// among those who ask for it, so that nobody can spend what belongs to others.
//
// Whoever asks is a [Flow]: it writes to a namespace, as a user, and comes from
// a source. What one namespace, one user or one source may hold at once is
// bounded, whether others wait or not: something is always left for those who
// come next. How many may wait is bounded as well. Of those who wait, those are
// served first whose namespace and user hold least, and then those who were
// served longest ago: who asks rarely hardly waits, however many the others
// send.
package fair

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Flow is whose request it is.
type Flow struct {
	// Source is where it comes from. What different sources say about namespaces
	// and users is kept apart: nobody can wait in another's name.
	Source    string
	Namespace string
	User      string
}

// Limits are what a [Limiter] shares out, and how.
type Limits struct {
	// Total is how much there is. Namespace, User and Source are how much of it
	// one of each may hold.
	Total, Namespace, User, Source int64
	// Waiting is how many may wait, WaitingEach how many of one namespace, and of
	// one user.
	Waiting, WaitingEach int
	// Patience is how long a flow may wait for what its own namespace or user
	// holds. Whoever sends it may keep something of others' taken meanwhile, and
	// is better told at once. Zero: until the context ends.
	Patience time.Duration
}

// Why nothing was given.
var (
	// ErrQueue is returned at once where too many wait already.
	ErrQueue = errors.New("too many wait already")
	// ErrShare is returned where the namespace or the user has had all it may
	// have for as long as it may wait for itself.
	ErrShare = errors.New("its share has been taken for too long")
	// ErrLate is returned where the context ended first.
	ErrLate = errors.New("no turn came in time")
)

// Limiter shares out an amount. It is safe for concurrent use.
type Limiter struct {
	limits Limits

	mu         sync.Mutex
	used       int64
	waiting    int
	turn       uint64 // counts what was given, and who came
	sources    map[string]*party
	namespaces map[key]*party
	users      map[key]*party
	flows      map[Flow]*flow
}

// key is a namespace or a user of a source.
type key struct{ source, name string }

// party is a source, a namespace or a user that holds something or waits.
type party struct {
	held    int64
	waiting int
	served  uint64 // the turn in which it was served last
	flows   int    // that refer to it
	next    *flow  // of a source, while it is looked for: the one whose turn it is
}

// flow is a [Flow] that holds something or waits.
type flow struct {
	Flow
	source, namespace, user *party
	queue                   []*waiter // the first came first
	holds                   int       // grants that were not given back
}

type waiter struct {
	amount int64
	came   uint64
	given  chan struct{} // closed when it is its turn
	done   bool          // the same, under the limiter's lock
}

// New returns a limiter of which nobody holds anything.
func New(l Limits) *Limiter {
	return &Limiter{
		limits:     l,
		sources:    make(map[string]*party),
		namespaces: make(map[key]*party),
		users:      make(map[key]*party),
		flows:      make(map[Flow]*flow),
	}
}

// Grant is what a flow was given.
type Grant struct {
	limiter *Limiter
	flow    *flow
	amount  int64
}

// Acquire waits until the flow may have that amount, the context ends, or its
// own share has been taken for too long. What
// is more than one flow may ever hold is cut down to that. The caller must give
// the grant back.
func (l *Limiter) Acquire(ctx context.Context, f Flow, amount int64) (*Grant, error) {
	amount = min(amount, l.limits.Total, l.limits.Namespace, l.limits.User, l.limits.Source)
	l.mu.Lock()
	flow := l.enter(f)
	if l.waiting == 0 && l.fits(flow, amount) {
		l.give(flow, amount)
		l.mu.Unlock()
		return &Grant{l, flow, amount}, nil
	}
	if l.waiting >= l.limits.Waiting || flow.namespace.waiting >= l.limits.WaitingEach || flow.user.waiting >= l.limits.WaitingEach {
		l.leave(flow)
		l.mu.Unlock()
		return nil, ErrQueue
	}
	w := &waiter{amount: amount, came: l.next(), given: make(chan struct{})}
	flow.queue = append(flow.queue, w)
	l.wait(flow, 1)
	l.serve()
	l.mu.Unlock()

	err := l.await(ctx, flow, w)
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.done { // perhaps only just
		return &Grant{l, flow, amount}, nil
	}
	for i := range flow.queue {
		if flow.queue[i] == w {
			flow.queue = append(flow.queue[:i], flow.queue[i+1:]...)
			break
		}
	}
	l.wait(flow, -1)
	l.leave(flow)
	l.serve() // who waited behind it may fit
	return nil, err
}

// await waits until it is the waiter's turn, or says why it will not be.
func (l *Limiter) await(ctx context.Context, f *flow, w *waiter) error {
	var look <-chan time.Time
	if l.limits.Patience > 0 {
		ticker := time.NewTicker(l.limits.Patience)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-w.given:
			return nil
		case <-ctx.Done():
			return ErrLate
		case <-look:
			l.mu.Lock()
			own := !l.may(f, w.amount)
			l.mu.Unlock()
			if own {
				return ErrShare
			}
		}
	}
}

// Release gives the grant back. A nil grant is nothing.
func (g *Grant) Release() {
	if g == nil {
		return
	}
	l := g.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used -= g.amount
	g.flow.holds--
	for _, p := range g.flow.parties() {
		p.held -= g.amount
	}
	l.leave(g.flow)
	l.serve()
}

func (f *flow) parties() [3]*party { return [3]*party{f.source, f.namespace, f.user} }

func (l *Limiter) next() uint64 {
	l.turn++
	return l.turn
}

// enter finds the flow, or makes it.
func (l *Limiter) enter(f Flow) *flow {
	if known, ok := l.flows[f]; ok {
		return known
	}
	made := &flow{
		Flow:      f,
		source:    join(l.sources, f.Source),
		namespace: join(l.namespaces, key{f.Source, f.Namespace}),
		user:      join(l.users, key{f.Source, f.User}),
	}
	l.flows[f] = made
	return made
}

func join[K comparable](parties map[K]*party, k K) *party {
	p := parties[k]
	if p == nil {
		p = new(party)
		parties[k] = p
	}
	p.flows++
	return p
}

// leave forgets a flow that holds nothing and waits for nothing: names that
// were made up take no memory afterwards.
func (l *Limiter) leave(f *flow) {
	if f.holds > 0 || len(f.queue) > 0 {
		return
	}
	delete(l.flows, f.Flow)
	part(l.sources, f.Source, f.source)
	part(l.namespaces, key{f.Source, f.Namespace}, f.namespace)
	part(l.users, key{f.Source, f.User}, f.user)
}

func part[K comparable](parties map[K]*party, k K, p *party) {
	if p.flows--; p.flows == 0 {
		delete(parties, k)
	}
}

func (l *Limiter) wait(f *flow, n int) {
	l.waiting += n
	for _, p := range f.parties() {
		p.waiting += n
	}
}

// may reports whether the bounds of its namespace and its user let a flow have
// an amount.
func (l *Limiter) may(f *flow, amount int64) bool {
	return f.namespace.held+amount <= l.limits.Namespace && f.user.held+amount <= l.limits.User
}

func (l *Limiter) fits(f *flow, amount int64) bool {
	return l.used+amount <= l.limits.Total && f.source.held+amount <= l.limits.Source && l.may(f, amount)
}

func (l *Limiter) give(f *flow, amount int64) {
	l.used += amount
	f.holds++
	turn := l.next()
	for _, p := range f.parties() {
		p.held += amount
		p.served = turn
	}
}

// serve gives to those who wait what there is to give. Whoever is next and
// does not fit is waited for: something large would never get its turn
// otherwise.
func (l *Limiter) serve() {
	for l.waiting > 0 {
		f := l.first()
		if f == nil || l.used+f.queue[0].amount > l.limits.Total {
			return
		}
		w := f.queue[0]
		f.queue[0] = nil
		f.queue = f.queue[1:]
		l.wait(f, -1)
		l.give(f, w.amount)
		w.done = true
		close(w.given)
	}
}

// first is the flow whose turn it is; nil where nobody may have more. A flow
// whose namespace or user may not is passed over. Where its source may not, the
// whole source waits with it: what is large would never get its turn there
// either.
func (l *Limiter) first() *flow {
	for _, f := range l.flows {
		if len(f.queue) > 0 && l.may(f, f.queue[0].amount) && (f.source.next == nil || f.before(f.source.next)) {
			f.source.next = f
		}
	}
	var first *flow
	for _, s := range l.sources {
		f := s.next
		s.next = nil
		if f != nil && s.held+f.queue[0].amount <= l.limits.Source && (first == nil || f.before(first)) {
			first = f
		}
	}
	return first
}

// before reports whether f's turn is before g's.
func (f *flow) before(g *flow) bool {
	if a, b := f.source.held, g.source.held; a != b {
		return a < b
	}
	if a, b := f.namespace.held+f.user.held, g.namespace.held+g.user.held; a != b {
		return a < b
	}
	if a, b := f.namespace.served, g.namespace.served; a != b {
		return a < b
	}
	if a, b := f.user.served, g.user.served; a != b {
		return a < b
	}
	return f.queue[0].came < g.queue[0].came
}
