// Package webhook answers admission reviews: it decodes a review, puts the
// question to package review, and turns what comes back into an answer.
//
// The handlers are pure. A review causes an answer and nothing else: no write,
// no event, no call to the API server. Whoever reaches the port can forge a
// review, and a dry run must tell the truth.
package webhook

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
)

// The paths at which [Register] serves.
const (
	MutatePath   = "/mutate"
	ValidatePath = "/validate"
)

// Options are what the handlers need of the rest of the server.
type Options struct {
	// Mesh returns the mesh to judge in.
	Mesh func() *mesh.Mesh
	// Ready returns nil while Mesh and Judge are complete and current, and what
	// is missing where they are not.
	Ready func() error
	// Judge returns the judge in force.
	Judge func() *review.Judge
	// User is the user name of Sallyport's own service account: it alone may
	// write companions.
	User string
	// Now is the clock.
	Now func() time.Time
	// Metrics are those of [NewMetrics].
	Metrics *Metrics
	// Decisions is where answers of the validator are written down; nil where
	// they are not.
	Decisions *DecisionLog
	Log       logr.Logger
}

// Register serves both entries on the server.
func Register(server webhook.Server, o Options) {
	server.Register(MutatePath, timed(overHTTP(NewMutator(o), o.Log)))
	server.Register(ValidatePath, timed(overHTTP(NewValidator(o), o.Log)))
}

// NewValidator returns the handler that judges writes. It fails closed: what
// it cannot judge it does not let through.
func NewValidator(o Options) admission.Handler {
	gate := newGate()
	return admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		c := newCall(o, req, "validate")
		if err := gate.enter(ctx); err != nil {
			return c.cannotJudge(err)
		}
		defer gate.leave()
		return c.validate(ctx)
	})
}

// NewMutator returns the handler that fills in what a client left out. It
// fails open: the validator judges what it leaves behind.
func NewMutator(o Options) admission.Handler {
	gate := newGate()
	return admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		c := newCall(o, req, "mutate")
		if err := gate.enter(ctx); err != nil {
			return c.unchanged(err)
		}
		defer gate.leave()
		return c.mutate(ctx)
	})
}
