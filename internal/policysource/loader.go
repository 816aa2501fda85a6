package policysource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

const (
	// loadTimeout bounds compiling a set and running its tests.
	loadTimeout = 2 * time.Minute
	// retryEvaluation is the time after which a set is evaluated again that was
	// refused because of what was in the cluster: that may have changed.
	retryEvaluation = 5 * time.Minute
)

// Options are what a [Loader] needs of the rest of the server.
type Options struct {
	// Rules judge beside the policies, whichever are in force.
	Rules []*rules.Rule
	// Parameters are those of the configuration, by the name of a policy.
	Parameters map[string]any
	// Sources are where policies come from, beside the shipped library.
	Sources []Source
	// Live is what new policies are evaluated against.
	Live Live
	// MaxNewDenials refuses policies that would deny more objects of the
	// cluster than that, beyond those that the policies in force deny; nil is
	// no limit.
	MaxNewDenials *int
	Metrics       prometheus.Registerer
	Log           logr.Logger
}

// Loader keeps the judge in force. Make one with [New], then run Start.
type Loader struct {
	Options

	judge atomic.Pointer[review.Judge]
	loads *prometheus.CounterVec
	retry time.Duration // see retryEvaluation

	mu      sync.Mutex // guards what follows
	sources []*tracked
	set     *policies.Set // in force; nil at first
	loaded  time.Time
	refused *refusal
	last    *Evaluation
}

// tracked is a source and how far it got. Its snapshots are never changed.
type tracked struct {
	Source
	newest   *Snapshot // fetched last
	fetched  time.Time
	err      error     // of the last fetch
	tried    *Snapshot // loaded last, for better or worse
	inForce  *Snapshot
	since    time.Time
	failures int
}

// refusal is why the newest state of the sources is not in force.
type refusal struct {
	err error
	at  time.Time
}

// New returns a loader that has loaded what can be had at once: everything,
// where no source is remote. What is wrong with policies that lie beside the
// server is an error, for there are no old ones to fall back on; the remote
// sources are waited for, see [Loader.Waiting].
func New(ctx context.Context, o Options) (*Loader, error) {
	l := &Loader{Options: o, loads: newLoads(), retry: retryEvaluation}
	l.judge.Store(&review.Judge{Rules: []*rules.Rule{l.gate()}})
	if err := errors.Join(o.Metrics.Register(l.loads), o.Metrics.Register(collector{l})); err != nil {
		return nil, err
	}
	remote := false
	names := map[string]bool{}
	for _, s := range o.Sources {
		if names[s.Name()] {
			return nil, fmt.Errorf("%s: two sources of policies have this name; give each folder once, and no bundle the name of a folder", s.Name())
		}
		names[s.Name()] = true
		t := &tracked{Source: s}
		l.sources = append(l.sources, t)
		if s.Remote() {
			remote = true
			continue
		}
		l.fetch(ctx, t)
		if t.err != nil {
			return nil, t.err
		}
	}
	if !remote {
		if err := l.load(ctx); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Judge returns the judge in force.
func (l *Loader) Judge() *review.Judge { return l.judge.Load() }

// gate is all that judges before the first policies are in force: nothing is
// let through by policies that are not there yet.
func (l *Loader) gate() *rules.Rule {
	return &rules.Rule{
		Name:     "policies-loaded",
		Severity: rules.Deny,
		Check:    func(context.Context, *rules.Pass) error { return l.Waiting() },
	}
}

// NeedLeaderElection tells the manager that every replica judges.
func (l *Loader) NeedLeaderElection() bool { return false }

// Start follows the sources until the context ends.
func (l *Loader) Start(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for _, t := range l.sources {
		wg.Go(func() { l.follow(ctx, t, changed) })
	}
	defer wg.Wait()
	for {
		again := (<-chan time.Time)(nil)
		if err := l.refusal(); err != nil {
			if _, ok := errors.AsType[*evaluationError](err); ok {
				again = time.After(l.retry)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
			l.forget()
		}
		if err := l.load(ctx); err != nil && ctx.Err() == nil {
			l.Log.Error(err, "policies refused: "+l.consequence(), "inForce", l.Status().Revision)
		}
	}
}

// consequence says what new policies that are not to be had mean.
func (l *Loader) consequence() string {
	if l.inForce() == nil {
		return "there are none before them, and nothing is judged until there are"
	}
	return "the ones before stay in force"
}

// follow fetches a source whenever it asks for it, and says so where that
// brought something.
func (l *Loader) follow(ctx context.Context, t *tracked, changed chan<- struct{}) {
	for {
		if t.newest != nil || t.failures > 0 {
			t.Wait(ctx, t.failures)
		}
		if ctx.Err() != nil {
			return
		}
		if l.fetch(ctx, t) {
			select {
			case changed <- struct{}{}:
			default: // the loop has not looked yet, and will see this as well
			}
		}
		if t.err != nil {
			l.Log.Error(t.err, "source of policies not read: "+l.consequence(), "source", t.Name(), "failures", t.failures)
		}
	}
}

// fetch fetches a source, and reports whether that brought something new.
func (l *Loader) fetch(ctx context.Context, t *tracked) bool {
	s, err := t.Fetch(ctx)
	if err != nil && ctx.Err() != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = s.Stale
	}
	t.err = err
	if err != nil {
		t.failures++
		l.loads.WithLabelValues(t.Name(), "error").Inc()
	} else {
		t.failures = 0
		t.fetched = time.Now()
	}
	if s.FS == nil || s.same(t.newest) {
		return false
	}
	t.newest = &s
	return true
}

// load puts the newest state of all sources in force, if it is another than
// the one tried last and good.
func (l *Loader) load(ctx context.Context) error {
	newest, changed, complete := l.take()
	if !complete || len(changed) == 0 && l.inForce() != nil {
		return nil
	}
	set, evaluation, err := l.prepare(ctx, newest)
	result := "ok"
	if err != nil {
		result = "error"
	}
	for _, t := range changed {
		l.loads.WithLabelValues(t.Name(), result).Inc()
	}
	if err != nil && l.inForce() == nil {
		l.fallBack(ctx, newest)
	}
	l.conclude(set, newest, evaluation, err)
	if err != nil {
		return err
	}
	revisions := map[string]string{}
	for i, t := range l.sources {
		revisions[t.Name()] = newest[i].Revision
	}
	l.Log.Info("policies in force", "revision", set.Revision, "active", len(set.Rules), "sources", revisions, "evaluation", evaluation)
	for _, t := range changed {
		if err := t.keep(); err != nil {
			l.Log.Error(err, "policies in force not kept: a start while the source is away will find nothing", "source", t.Name())
		}
	}
	return nil
}

// fallBack puts in force what was so in an earlier run, where the first
// policies of this one are refused and a source has kept others.
func (l *Loader) fallBack(ctx context.Context, refused []*Snapshot) {
	snapshots, some := slices.Clone(refused), false
	for i, s := range refused {
		if s.kept == nil {
			continue
		}
		kept, err := s.kept()
		switch {
		case err == nil:
			snapshots[i], some = &kept, true
		case !errors.Is(err, fs.ErrNotExist):
			l.Log.Error(err, "policies of an earlier run not read")
		}
	}
	if !some {
		return
	}
	set, _, err := l.prepare(ctx, snapshots)
	if err != nil {
		l.Log.Error(err, "policies of an earlier run refused")
		return
	}
	l.conclude(set, snapshots, nil, nil)
	l.Log.Info("policies of an earlier run in force", "revision", set.Revision)
}

// keep has the source keep what is in force, where it does such a thing.
func (t *tracked) keep() error {
	if t.inForce.keep == nil {
		return nil
	}
	return t.inForce.keep()
}

// take returns the newest snapshots and which sources have changed since the
// last try; complete is false where one has never been read. Where everything
// is as it is in force again, the refusal of what was between is gone.
func (l *Loader) take() (newest []*Snapshot, changed []*tracked, complete bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reverted := true
	for _, t := range l.sources {
		if t.newest == nil {
			return nil, nil, false
		}
		newest = append(newest, t.newest)
		if !t.newest.same(t.tried) {
			changed = append(changed, t)
		}
		reverted = reverted && t.newest.same(t.inForce)
		t.tried = t.newest
	}
	if reverted && l.set != nil {
		l.refused = nil
		return newest, nil, true
	}
	return newest, changed, true
}

// prepare makes a set of the snapshots, and finds out whether it is good.
func (l *Loader) prepare(ctx context.Context, snapshots []*Snapshot) (*policies.Set, *Evaluation, error) {
	from := []policies.Source{policies.Library()}
	for i, s := range snapshots {
		from = append(from, policies.Source{Name: l.sources[i].Name(), FS: s.FS})
	}
	set, err := loadAndTest(ctx, l.Parameters, from)
	if err != nil {
		return nil, nil, err
	}
	before := l.inForce()
	if before == nil || before.Revision == set.Revision {
		return set, nil, nil // nothing to compare with, or nothing to say
	}
	evaluation, err := l.evaluate(ctx, before, set)
	return set, evaluation, err
}

// loadAndTest compiles a set and runs its tests.
func loadAndTest(ctx context.Context, parameters map[string]any, from []policies.Source) (*policies.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	set, err := policies.Load(ctx, parameters, from...)
	if err != nil || len(from) == 1 { // the library's tests ran before it was shipped
		return set, err
	}
	results, _, err := set.Test(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, r := range results {
		if r.Failure != "" && !has(from[0], r.File) {
			errs = append(errs, fmt.Errorf("%s:%d: test %s fails: %s", r.File, r.Line, r.Name, r.Failure))
		}
	}
	return set, errors.Join(errs...)
}

// has reports whether a file is the source's. Its name alone does not tell:
// another source may be called alike.
func has(s policies.Source, file string) bool {
	rest, ok := strings.CutPrefix(file, s.Name+"/")
	if !ok {
		return false
	}
	_, err := fs.Stat(s.FS, rest)
	return err == nil
}

// conclude puts a set in force, or notes why not.
func (l *Loader) conclude(set *policies.Set, snapshots []*Snapshot, evaluation *Evaluation, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if evaluation != nil {
		l.last = evaluation
	}
	if err != nil {
		l.refused = &refusal{err, now}
		return
	}
	l.judge.Store(&review.Judge{Rules: slices.Concat(l.Rules, set.Rules), Revision: set.Revision})
	l.set, l.loaded, l.refused = set, now, nil
	for i, t := range l.sources {
		if !snapshots[i].same(t.inForce) {
			t.since = now
		}
		t.inForce = snapshots[i]
	}
}

// inForce returns the set in force, or nil.
func (l *Loader) inForce() *policies.Set {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set
}

func (l *Loader) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == nil {
		return nil
	}
	return l.refused.err
}

// forget has the newest state tried again, though it did not change.
func (l *Loader) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.sources {
		if !t.newest.same(t.inForce) {
			t.tried = nil
		}
	}
}

// Waiting says what the first policies wait for. It is nil once there are
// some: it never goes back.
func (l *Loader) Waiting() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set != nil {
		return nil
	}
	var errs []error
	for _, t := range l.sources {
		switch {
		case t.err != nil && t.newest == nil:
			errs = append(errs, t.err)
		case t.newest == nil:
			errs = append(errs, fmt.Errorf("%s: not read yet", t.Name()))
		}
	}
	if l.refused != nil {
		errs = append(errs, l.refused.err)
	}
	return fmt.Errorf("policies are not loaded: %w", errors.Join(errs...))
}
