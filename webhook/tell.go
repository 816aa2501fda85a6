package webhook

import (
	"context"
	"errors"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/internal/sight"
	"github.com/sallyport-io/sallyport/internal/told"
	"github.com/sallyport-io/sallyport/rules"
)

// An answer tells whoever gets it nothing about others: no name of an object, a
// host or a namespace that the namespace of the written object does not see. All
// of that is in the decision log, under the identifier that ends the answer.
//
// Whoever reaches the port can forge a review, in the name of any user and for any
// namespace. So users count for nothing here; and that a review is about an object
// of the platform's opens the rest of the mesh only where a client certificate
// proves that an API server sent it. Where certificates are asked for, a review
// without one is told what everybody sees.

// sender is who has sent a review, as far as that is known.
type sender int

const (
	unproven  sender = iota // nobody is asked for a proof
	apiServer               // it has proved to be the API server
	stranger                // it was asked for a proof, and has none
)

// senderOf is the sender of a request.
func (g *gates) senderOf(v *visit) sender {
	switch {
	case !g.apart:
		return unproven
	case v.class == g.known:
		return apiServer
	default:
		return stranger
	}
}

// leftOut ends with the decision under which the log says more.
const leftOut = "names of other namespaces are left out here, and in Sallyport's log under "

// readerOf is who is told of the write: the namespace of its object.
func (c *call) readerOf(m *mesh.Mesh) *sight.Reader {
	r := &c.request
	namespace := r.Namespace
	if r.Kind.Group == "" && r.Kind.Kind == "Namespace" {
		namespace = r.Name
	}
	platform := namespace == "" || m.Settings().Platform(namespace)
	switch {
	case platform && c.sender == apiServer:
		return sight.Everything()
	case platform, c.sender == stranger:
		// What others export to the platform by name is for the platform.
		namespace = ""
	}
	return sight.From(m, namespace, r.Object.Raw, r.OldObject.Raw)
}

// told is the outcome as the reader is told it, and false where that is not all
// of it.
func (c *call) told(out review.Outcome) (review.Outcome, bool) {
	if c.reader == nil { // nothing of the mesh was looked at
		return out, true
	}
	var whole bool
	out.Findings, whole = c.judge.Told(out.Findings, c.reader)
	var companions []mesh.Object
	for _, o := range out.Companions {
		if c.reader.Sees(told.Name{Kind: told.Objects, Value: o.Metadata().Ref.String()}) {
			companions = append(companions, o)
		}
	}
	out.Companions = companions
	return out, whole
}

// sayableError is an error of which the text may be told to anybody: it speaks of
// nothing but the request, or the server itself.
type sayableError struct{ error }

// Unwrap returns the cause.
func (e sayableError) Unwrap() error { return e.error }

// aboutRequest marks an error that says nothing but what the request does.
func aboutRequest(err error) error { return sayableError{err} }

// aboutServer marks an error that says how the server does, and nothing of what
// it has read.
func aboutServer(err error) error { return sayableError{err} }

// sayable is what may be said of a failure. Of one that nobody has thought of,
// a panic first of all, the text may hold anything: that is for the log.
func (c *call) sayable(err error) string {
	if c.reader != nil && c.reader.SeesAll() {
		return firstLine(err)
	}
	if _, ok := errors.AsType[sayableError](err); ok {
		return firstLine(err)
	}
	if _, ok := errors.AsType[*review.InputError](err); ok {
		return firstLine(err)
	}
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, errNotInTime, errManyReviews, errManyLarge} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if _, ok := errors.AsType[*budget.TooLarge](err); ok {
		return firstLine(err) // the object, a count and the limit
	}
	const why = "Sallyport's log says why"
	if failure, ok := errors.AsType[*rules.Failure](err); ok {
		return "rule " + failure.Rule + " failed; " + why
	}
	return "something failed; " + why
}
