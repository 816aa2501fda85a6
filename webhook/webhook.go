// Package webhook answers admission reviews: it decodes a review, puts the
// question to package review, and turns what comes back into an answer.
//
// The handlers are pure. A review causes an answer and nothing else: no write,
// no event, no call to the API server. Whoever reaches the port can forge a
// review, and a dry run must tell the truth.
package webhook

import (
	"context"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport-io/sallyport/internal/decisionlog"
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
	// Proven returns nil where the API server sent a request, and why that is not
	// known otherwise; it is nil where nothing tells who calls. Reviews of others
	// have places of their own, or, where the proof is Required, no answer.
	Proven   func(*http.Request) error
	Required bool
	// Watch answers for handlers that do not; nil stands for one that nobody asks.
	Watch *Watch
	// Now is the clock.
	Now func() time.Time
	// Metrics are those of [NewMetrics].
	Metrics *Metrics
	// Decisions is where answers of the validator are written down; nil where
	// they are not.
	Decisions *decisionlog.Log
	Log       logr.Logger
}

// Register serves both entries on the server. They share their places: what is
// spent on one is not there for the other.
func Register(server webhook.Server, o Options) {
	g := newGates(o.Proven != nil)
	server.Register(MutatePath, timed(admitted(overHTTP(newMutator(o, g), g, o.Log), "mutate", o)))
	server.Register(ValidatePath, timed(admitted(overHTTP(newValidator(o, g), g, o.Log), "validate", o)))
}

// NewValidator returns the handler that judges writes. It fails closed: what
// it cannot judge it does not let through.
func NewValidator(o Options) admission.Handler { return newValidator(o, newGates(false)) }

// NewMutator returns the handler that fills in what a client left out. It
// fails open: the validator judges what it leaves behind.
func NewMutator(o Options) admission.Handler { return newMutator(o, newGates(false)) }

// handler answers the reviews of one entry.
type handler struct {
	Options
	entry  string
	gates  *gates
	answer func(context.Context, *call) admission.Response
	// instead is the answer where the handler gives none.
	instead func(*call, error) admission.Response
}

func newValidator(o Options, g *gates) *handler {
	return newHandler(handler{
		Options: o, entry: "validate", gates: g, instead: (*call).cannotJudge,
		answer: func(ctx context.Context, c *call) admission.Response { return c.validate(ctx) },
	})
}

func newMutator(o Options, g *gates) *handler {
	return newHandler(handler{
		Options: o, entry: "mutate", gates: g, instead: (*call).unchanged,
		answer: func(ctx context.Context, c *call) admission.Response { return c.mutate(ctx) },
	})
}

func newHandler(h handler) *handler {
	if h.Watch == nil {
		h.Watch = NewWatch()
	}
	return &h
}

// Handle implements [admission.Handler].
func (h *handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	c := newCall(h.Options, req, h.entry)
	v := h.gates.visitOf(ctx)
	c.sender = h.gates.senderOf(v)
	place, err := v.place(ctx, &c.request)
	if err != nil {
		return h.instead(c, err)
	}
	return h.Watch.answer(ctx, v, place, c, h.answer, h.instead)
}

// refuse answers a review of which no more than the head was read.
func (h *handler) refuse(req admission.Request, why error) admission.Response {
	return h.instead(newCall(h.Options, req, h.entry), why)
}
