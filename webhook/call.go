package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	kjson "sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/internal/sight"
	"github.com/sallyport-io/sallyport/internal/surface"
	"github.com/sallyport-io/sallyport/rules"
)

// call is one review on its way to an answer.
type call struct {
	Options
	request admission.Request
	entry   string
	began   time.Time
	// id identifies the answer in messages, logs and the API server's audit
	// log. It is our own: a review says about itself what it likes.
	id string

	// claimed is set by whoever answers: the handler, or who answers for it.
	claimed *atomic.Bool

	sender sender
	// reader is who is told of what was found; nil until something is looked for.
	reader *sight.Reader
	judge  *review.Judge

	steps    int64  // that the handler took
	revision string // of the policies that judged
	failure  string // why the write could not be judged
}

func newCall(o Options, req admission.Request, entry string) *call {
	return &call{Options: o, request: req, entry: entry, began: time.Now(), id: string(uuid.NewUUID()), claimed: new(atomic.Bool)}
}

// claim reports whether nobody has answered yet; from then on somebody has.
func (c *call) claim() bool { return c.claimed.CompareAndSwap(false, true) }

// again is the call for somebody who answers in the handler's place: what the
// handler finds out stays its own.
func (c *call) again() *call {
	return &call{Options: c.Options, request: c.request, entry: c.entry, began: c.began, id: c.id, sender: c.sender, claimed: new(atomic.Bool)}
}

// validate judges the write.
func (c *call) validate(ctx context.Context) (resp admission.Response) {
	defer func() {
		if v := recover(); v != nil {
			resp = c.cannotJudge(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}
	}()
	write, err := c.write()
	if err != nil {
		return c.cannotJudge(aboutRequest(err))
	}
	ref := c.ref()
	ours := companion.Is(ref) || netpol.Is(ref)
	switch {
	case ours && (c.request.UserInfo.Username == c.User || c.notes()):
		return c.allowed(review.Outcome{Ref: ref, Known: true}, nil)
	case ours && !c.collects():
		return c.reserved(ref)
	}
	if err := c.Ready(); err != nil {
		return c.cannotJudge(aboutServer(err))
	}
	m := c.Mesh()
	c.judge = c.Judge()
	c.revision = c.judge.Revision
	c.reader = c.readerOf(m)
	out, err := review.Outcome{}, error(nil)
	if ours {
		out, err = c.judge.Collect(ctx, m, ref)
	} else {
		out, err = c.judge.Review(ctx, m, write)
	}
	c.steps = out.Steps
	if err != nil {
		return c.cannotJudge(err)
	}
	if err := c.agrees(out); err != nil {
		return c.cannotJudge(aboutRequest(err))
	}
	c.Metrics.judged(out, time.Since(c.began))
	if out.Denied() {
		return c.denied(out)
	}
	return c.allowed(out, m)
}

// mutate fills in what the client left out.
func (c *call) mutate(ctx context.Context) (resp admission.Response) {
	defer func() {
		if v := recover(); v != nil {
			resp = c.unchanged(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}
	}()
	write, err := c.write()
	if err != nil {
		return c.unchanged(aboutRequest(err))
	}
	if c.request.UserInfo.Username == c.User {
		return c.patched(nil)
	}
	if err := c.Ready(); err != nil {
		return c.unchanged(aboutServer(err))
	}
	if c.request.Kind.Kind == "VirtualService" && bytes.Contains(write.Object, []byte(mesh.RewriteAnnotation)) {
		c.await(ctx, write)
	}
	ops, steps, err := review.Default(ctx, c.Mesh(), write)
	c.steps += steps
	if err != nil {
		return c.unchanged(err)
	}
	if len(ops) == 0 {
		return c.patched(nil)
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return c.unchanged(err)
	}
	return c.patched(patch)
}

// awaitFor is how long a write that asks to be rewritten waits for the entry that it is
// about. The watch of a busy API server is behind by some milliseconds.
const awaitFor = 250 * time.Millisecond

// await waits for what the write may build on: an entry that was written just before,
// and that the server may not have been told of yet. The validating entry would know it
// by then, and deny what was not rewritten.
func (c *call) await(ctx context.Context, w review.Write) {
	hosts, steps := review.Awaited(ctx, c.Mesh(), w)
	c.steps += steps
	timeout := time.NewTimer(awaitFor)
	defer timeout.Stop()
	for _, host := range hosts {
		for len(c.Mesh().EntriesFor(host)) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-timeout.C:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

// write is the review as the judge wants it.
func (c *call) write() (review.Write, error) {
	r := &c.request
	w := review.Write{
		Request: rules.Request{
			Operation: string(r.Operation),
			DryRun:    r.DryRun != nil && *r.DryRun,
			User:      r.UserInfo.Username,
			Groups:    r.UserInfo.Groups,
			Time:      c.Now().UTC().Format(time.RFC3339),
		},
		Object:    r.Object.Raw,
		OldObject: r.OldObject.Raw,
	}
	if r.Operation == admissionv1.Delete {
		var err error
		if w.Propagation, err = propagation(r.Options.Raw); err != nil {
			return w, err
		}
	}
	switch {
	case r.UID == "" && r.Operation == "":
		return w, errors.New("what was sent is no AdmissionReview with a request")
	case r.Operation != admissionv1.Create && r.Operation != admissionv1.Update && r.Operation != admissionv1.Delete:
		return w, fmt.Errorf("the operation is %q; only CREATE, UPDATE and DELETE are judged", r.Operation)
	case r.Operation == admissionv1.Delete && len(w.OldObject) == 0:
		return w, errors.New("the review of a DELETE has no request.oldObject")
	case r.Operation != admissionv1.Delete && len(w.Object) == 0:
		return w, fmt.Errorf("the review of a %s has no request.object", r.Operation)
	case r.Operation == admissionv1.Update && len(w.OldObject) == 0:
		return w, errors.New("the review of an UPDATE has no request.oldObject")
	}
	return w, nil
}

// propagation is what the options of a DELETE say about what the object owns.
func propagation(options []byte) (string, error) {
	if len(options) == 0 {
		return "", nil
	}
	var o struct {
		PropagationPolicy string `json:"propagationPolicy"`
		OrphanDependents  *bool  `json:"orphanDependents"` // the older way to say it
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(options, &o); err != nil {
		return "", fmt.Errorf("request.options: %w", err)
	}
	switch {
	case o.PropagationPolicy != "":
		return o.PropagationPolicy, nil
	case o.OrphanDependents == nil:
		return "", nil
	case *o.OrphanDependents:
		return string(metav1.DeletePropagationOrphan), nil
	default:
		return string(metav1.DeletePropagationBackground), nil
	}
}

// ref names the object as the review does. Where a collection is deleted the
// review of each object has no name but the object's own.
func (c *call) ref() mesh.Ref {
	r := &c.request
	ref := mesh.Ref{Kind: mesh.NameOf(r.Kind.Group, r.Kind.Kind), Namespace: r.Namespace, Name: r.Name}
	if ref.Name == "" && r.Operation == admissionv1.Delete {
		ref.Name = c.old().Name
	}
	return ref
}

// oldMeta is what is read here of the object before the write.
type oldMeta struct {
	Name              string `json:"name"`
	DeletionTimestamp string `json:"deletionTimestamp"`
}

func (c *call) old() (m oldMeta) {
	_ = kjson.UnmarshalCaseSensitivePreserveInts(rawjson.Member(c.request.OldObject.Raw, "metadata"), &m) // what cannot be read is not there
	return m
}

// agrees checks that the object is the one that the review says it is. The
// API server sees to that; a review that does not agree with itself is not
// its own.
func (c *call) agrees(out review.Outcome) error {
	r := &c.request
	if !out.Known {
		raw := r.Object.Raw
		if r.Operation == admissionv1.Delete {
			raw = r.OldObject.Raw
		}
		var object struct {
			Kind string `json:"kind"`
		}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &object); err != nil {
			return fmt.Errorf("decoding the object: %w", err)
		}
		if object.Kind != r.Kind.Kind {
			return fmt.Errorf("the review is about a %s and holds a %s", r.Kind.Kind, object.Kind)
		}
		return c.belongs("")
	}
	ref := c.ref()
	switch {
	case out.Ref.Kind != ref.Kind,
		out.Ref.Namespace != "" && out.Ref.Namespace != ref.Namespace,
		ref.Name != "" && out.Ref.Name != ref.Name:
		return fmt.Errorf("the review is about %s and holds %s", ref, out.Ref)
	}
	return c.belongs(out.Ref.Kind)
}

// belongs checks that a review of that resource holds an object of the kind, the
// model's name of it or "" for one that the model does not hold. A subresource may
// hold something else than its resource does: what is not known to be harmless
// is not let through because nobody can judge it.
func (c *call) belongs(kind string) error {
	r := &c.request
	name := r.Resource.Resource
	if r.SubResource != "" {
		name += "/" + r.SubResource
	}
	switch resource, known := surface.Find(r.Resource.Group, name); {
	case known && resource.Kind != kind:
		return fmt.Errorf("a review of %s holds a %s, and %s is judged there", resource, r.Kind.Kind, cmp.Or(resource.Kind, "nothing"))
	case !known && r.SubResource != "":
		return fmt.Errorf("the subresource %s is neither judged nor known to be harmless", surface.Resource{Group: r.Resource.Group, Name: name})
	}
	return nil
}

// collectors are the users as whom Kubernetes deletes what belongs to an
// object or a namespace that goes: with and without
// --use-service-account-credentials.
var collectors = []string{
	"system:serviceaccount:kube-system:generic-garbage-collector",
	"system:serviceaccount:kube-system:namespace-controller",
	"system:kube-controller-manager",
}

// collects reports whether Kubernetes deletes what belongs to something that has
// gone, or lets go of what it has deleted. The label on an object, or its content,
// is no proof of anything.
func (c *call) collects() bool {
	if !slices.Contains(collectors, c.request.UserInfo.Username) {
		return false
	}
	return c.request.Operation == admissionv1.Delete || c.request.Operation == admissionv1.Update && c.old().DeletionTimestamp != ""
}

// notes reports whether the cluster's own machinery writes the status of an
// object, and that alone: istiod notes there which addresses it has given to an
// entry, and the API server lets nothing else through with it.
func (c *call) notes() bool {
	return c.request.SubResource == "status" && c.Mesh().Settings().Operates(c.request.UserInfo.Username)
}
