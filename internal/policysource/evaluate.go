package policysource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

const (
	// evaluationTimeout bounds the evaluation of a set against the cluster.
	evaluationTimeout = 10 * time.Minute
	// maxFailures is how many objects may fail before an evaluation ends: the
	// set is refused after the first, the others help to find the cause.
	maxFailures = 10
	// maxLogged is how many newly denied objects are named in the log.
	maxLogged = 20
	// breath is how much the evaluation works at a time before it rests for as
	// long: reviews come first.
	breath = 10 * time.Millisecond
)

// Live is the cluster that new policies are evaluated against.
type Live struct {
	// Synced waits until Mesh is complete.
	Synced func(context.Context) error
	Mesh   func() *mesh.Mesh
	// List calls each with the JSON of every object of a kind. A kind that the
	// server does not read has none.
	List func(ctx context.Context, kind string, each func(raw []byte) error) error
}

// Evaluation is what a set of policies makes of the cluster, in comparison
// with the set in force.
type Evaluation struct {
	// Objects is the number of objects that were judged, each as if it were
	// created where it stands.
	Objects int `json:"objects"`
	// NewlyDenied would be denied by the new set alone, NewlyAllowed by the one
	// in force alone.
	NewlyDenied  int `json:"newlyDenied"`
	NewlyAllowed int `json:"newlyAllowed"`
	// Failed could not be judged by the new set.
	Failed int `json:"failed"`
	// Removed are the policies that the new set lacks, by name.
	Removed []string `json:"removed,omitempty"`
	Seconds float64  `json:"seconds"`
}

// evaluationError is a refusal for what is in the cluster, which may change
// without the policies. It names no object: that is for the log alone.
type evaluationError struct{ message string }

func (e *evaluationError) Error() string { return e.message }

// evaluation is one in progress.
type evaluation struct {
	*Loader
	Evaluation
	before, after *review.Judge
	mesh          *mesh.Mesh
	request       rules.Request
	causes        map[string]bool
	worked        time.Duration // since the last rest
}

// evaluate judges everything in the cluster that the policies have a say
// about by the set in force and by the new one. It works half of the time of
// one core at most.
func (l *Loader) evaluate(ctx context.Context, before, after *policies.Set) (*Evaluation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, evaluationTimeout,
		fmt.Errorf("it took longer than %v", evaluationTimeout))
	defer cancel()
	began := time.Now()
	if err := l.Live.Synced(ctx); err != nil {
		return nil, &evaluationError{fmt.Sprintf("evaluation against the cluster: %v", err)}
	}
	e := &evaluation{
		Loader: l,
		before: &review.Judge{Rules: before.Rules},
		after:  &review.Judge{Rules: after.Rules},
		mesh:   l.Live.Mesh(),
		// A request without user: what depends on who asks is judged when
		// somebody does.
		request: rules.Request{Operation: "CREATE", Time: began.UTC().Format(time.RFC3339)},
		causes:  map[string]bool{},
	}
	e.Removed = removed(before, after)
	for _, kind := range kinds(before, after) {
		err := l.Live.List(ctx, kind, func(raw []byte) error { return e.object(ctx, kind, raw) })
		if err != nil && !errors.Is(err, errEnough) {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, &evaluationError{fmt.Sprintf("evaluation against the cluster's %s objects: %v", kind, err)}
		}
	}
	e.Seconds = time.Since(began).Seconds()
	return &e.Evaluation, e.verdict()
}

// kinds are those that active policies of either set judge.
func kinds(sets ...*policies.Set) []string {
	all := map[string]bool{}
	for _, s := range sets {
		for _, r := range s.Rules {
			for _, kind := range r.Kinds {
				all[kind] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// removed are the names of the policies that judge in the first set alone.
func removed(before, after *policies.Set) []string {
	var names []string
	for _, r := range before.Rules {
		if !slices.ContainsFunc(after.Rules, func(other *rules.Rule) bool { return other.Name == r.Name }) {
			names = append(names, r.Name)
		}
	}
	return names
}

// errEnough ends an evaluation that has failed often enough.
var errEnough = errors.New("too many objects cannot be judged")

// object judges one object by both sets. Companions are passed over: admission
// does not ask policies about what Sallyport writes itself.
func (e *evaluation) object(ctx context.Context, kind string, raw []byte) error {
	began := time.Now()
	var o struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &o); err == nil && companion.Is(mesh.Ref{Kind: kind, Name: o.Metadata.Name}) {
		return nil
	}
	w := review.Write{Request: e.request, Object: raw}
	after, err := e.after.Review(ctx, e.mesh, w)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.Objects++
	if err != nil {
		e.Log.Error(err, "object could not be judged by new policies")
		e.causes[cause(err)] = true
		if e.Failed++; e.Failed >= maxFailures {
			return errEnough
		}
		return nil
	}
	before, err := e.before.Review(ctx, e.mesh, w)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What the set in force cannot judge it denies.
	wasDenied := err != nil || before.Denied()
	switch {
	case after.Denied() && !wasDenied:
		if e.NewlyDenied++; e.NewlyDenied <= maxLogged {
			f := after.Findings[0] // the gravest
			e.Log.Info("object would newly be denied", "object", after.Ref.String(), "policy", f.Rule, "path", f.Path, "message", f.Message)
		}
	case wasDenied && !after.Denied():
		e.NewlyAllowed++
	}
	if e.worked += time.Since(began); e.worked >= breath {
		pause(ctx, e.worked)
		e.worked = 0
	}
	return nil
}

// cause says which policy failed, and where, without what it was given.
func cause(err error) string {
	policy := "a policy"
	if f, ok := errors.AsType[*rules.Failure](err); ok {
		policy = f.Rule
	}
	if te, ok := errors.AsType[*topdown.Error](err); ok && te.Location != nil {
		return fmt.Sprintf("%s (%s:%d: %s)", policy, te.Location.File, te.Location.Row, te.Code)
	}
	return policy
}

// verdict is the error that refuses the set, or nil.
func (e *evaluation) verdict() error {
	switch limit := e.MaxNewDenials; {
	case e.Failed > 0:
		return &evaluationError{fmt.Sprintf("%d of %d objects in the cluster could not be judged, by %s; the log names them",
			e.Failed, e.Objects, strings.Join(slices.Sorted(maps.Keys(e.causes)), ", "))}
	case limit != nil && e.NewlyDenied > *limit:
		return &evaluationError{fmt.Sprintf("%d of %d objects in the cluster would newly be denied, more than policies.maxNewDenials (%d); "+
			"the log names them, exceptions or severity: warn let them pass", e.NewlyDenied, e.Objects, *limit)}
	}
	return nil
}
