package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// maxReview bounds the size of a review: two objects of at most 3 MB each, and
// what is said about them. It is the limit of controller-runtime.
const maxReview = 7 << 20

// maxAnnounced bounds the memory that is taken for a review because of the size
// that its sender announces: almost all are smaller, and whoever reaches the
// port can announce anything. What is larger shares maxLarge.
const maxAnnounced = 64 << 10

// usualHead is how much of a larger review is read at first: what is said about it is
// hardly ever longer, and of one that is turned away nothing else is read.
const usualHead = 8 << 10

// endpoint serves one entry over HTTP. It does what admission.Webhook of
// controller-runtime does, but decodes a review in one pass where that takes
// three: half of what a webhook does for a review can be that.
type endpoint struct {
	handler admission.Handler
	gates   *gates
	log     logr.Logger
}

func overHTTP(h admission.Handler, g *gates, log logr.Logger) http.Handler {
	return &endpoint{handler: h, gates: g, log: log}
}

// refuser is a handler that can answer a review of which only the head is
// known.
type refuser interface {
	refuse(req admission.Request, why error) admission.Response
}

// ServeHTTP answers one review. HTTP is only the carrier: what is wrong with a
// review is said in an AdmissionReview too.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := e.gates.visit(r)
	defer v.done()
	in, err := e.receive(w, r, v)
	if err != nil && in == nil {
		e.log.Error(loggable(err), "bad review")
		e.answer(w, "", refused(http.StatusBadRequest, err))
		return
	}
	var request admission.Request
	if in.Request != nil {
		request.AdmissionRequest = *in.Request
	}
	ctx := v.in(r.Context())
	e.answer(w, in.APIVersion, e.guard(request, func() admission.Response {
		if err != nil {
			return e.turnAway(request, err)
		}
		return e.handler.Handle(ctx, request)
	}))
}

// turnAway answers a review of which there was no room for more than the head.
func (e *endpoint) turnAway(request admission.Request, why error) admission.Response {
	if h, ok := e.handler.(refuser); ok {
		return h.refuse(request, why)
	}
	return refused(http.StatusTooManyRequests, why)
}

// receive reads and decodes a review. With an error it returns what is known of
// a review that was turned away, and nil of one that is none.
func (e *endpoint) receive(w http.ResponseWriter, r *http.Request, v *visit) (*received, error) {
	if contentType := r.Header.Get("Content-Type"); contentType != "application/json" {
		return nil, fmt.Errorf("the Content-Type is %q; a review is application/json", truncate(contentType, maxName))
	}
	body, head, err := e.read(w, r, v)
	if head != nil {
		return head, err
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fmt.Errorf("the review is too large; the limit is %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the review: %w", err)
	}
	return decodeReview(body)
}

// read reads the body of a request until the time of the request is over.
func (e *endpoint) read(w http.ResponseWriter, r *http.Request, v *visit) (body []byte, head *received, err error) {
	// Whoever sends slowly is cut off when the time of the request is over.
	// A deadline set beforehand would do the same, at the price of a message
	// to the goroutine of the connection for every request.
	cut := make(chan struct{})
	stop := context.AfterFunc(r.Context(), func() {
		defer close(cut)
		// Where the connection cannot do this the server's own limits hold.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now())
	})
	body, head, err = readAll(r.Context(), v, http.MaxBytesReader(w, r.Body, maxReview), r.ContentLength)
	if !stop() {
		// A sender who resets the stream ends the time of the request and the
		// body at once. The response of HTTP/2 is torn down when the handler
		// returns; a deadline that is set on it after that is a panic in a
		// goroutine where nothing recovers, and the end of the process.
		<-cut
	}
	return body, head, err
}

// readAll reads a body of which the sender announced the size, or -1. What is
// beyond maxAnnounced is read once there is room for all of it, in the turn of
// the namespace and user that its head names: small reviews never wait for that,
// and nobody's large ones for those of a single other tenant. Where there is no
// room it returns the head.
func readAll(ctx context.Context, v *visit, from io.Reader, announced int64) (body []byte, head *received, err error) {
	if announced > maxReview {
		return nil, nil, &http.MaxBytesError{Limit: maxReview}
	}
	if 0 <= announced && announced <= maxAnnounced { // and no more will come
		buffer := bytes.NewBuffer(make([]byte, 0, announced+bytes.MinRead))
		_, err = buffer.ReadFrom(from)
		return buffer.Bytes(), nil, err
	}
	steps := []int64{usualHead, maxAnnounced}
	if announced < 0 {
		steps = steps[1:] // it may be small
	}
	buffer := bytes.NewBuffer(make([]byte, 0, steps[0]+bytes.MinRead))
	for _, most := range steps {
		if _, err := buffer.ReadFrom(io.LimitReader(from, most-int64(buffer.Len()))); err != nil || int64(buffer.Len()) < most {
			return buffer.Bytes(), nil, err
		}
		var complete bool
		if head, complete = readHead(buffer.Bytes()); complete {
			break
		}
	}
	// All at once: reviews that wait for one another's remainders would wait
	// until their time is over.
	size := announced
	if size < 0 {
		size = maxReview
	}
	if err := v.room(ctx, head.Request.Namespace, head.Request.UserInfo.Username, size); err != nil {
		return nil, head, err
	}
	all := bytes.NewBuffer(append(make([]byte, 0, size+bytes.MinRead), buffer.Bytes()...))
	_, err = all.ReadFrom(from)
	return all.Bytes(), nil, err
}

// errFault is said of a panic, of which the text may hold anything.
var errFault = errors.New("a fault of Sallyport's own, of which its log says more")

// guard lets something answer a request. The handlers recover from panics by
// themselves, each in its own way; this is for what may go wrong around that.
func (e *endpoint) guard(request admission.Request, answer func() admission.Response) (resp admission.Response) {
	defer func() {
		if v := recover(); v != nil {
			err, stack := fmt.Errorf("panic: %v", v), debug.Stack()
			if p, ok := v.(*panicked); ok {
				stack = p.stack
			}
			// The sender needs no stack; whoever mends this needs nothing else.
			e.log.Error(fmt.Errorf("%w\n%s", err, stack), "no answer", "uid", truncate(string(request.UID), maxName))
			resp = refused(http.StatusInternalServerError, errFault)
		}
		// An API server's is shorter by far; whatever an answer repeats is bounded.
		resp.UID = types.UID(truncate(string(request.UID), maxName))
	}()
	resp = answer()
	if err := resp.Complete(request); err != nil {
		resp = refused(http.StatusInternalServerError, err)
	}
	return resp
}

// answer writes a response in the version of its review.
func (e *endpoint) answer(w http.ResponseWriter, version string, resp admission.Response) {
	out, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: typeMeta(version),
		Response: &resp.AdmissionResponse,
	})
	if err != nil { // no answer is a refusal as well
		e.log.Error(err, "encoding an answer", "uid", string(resp.UID))
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	if _, err := w.Write(out); err != nil {
		e.log.Error(err, "writing an answer", "uid", string(resp.UID))
	}
}
