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
	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// maxReview bounds the size of a review: two objects of at most 3 MB each, and
// what is said about them. It is the limit of controller-runtime.
const maxReview = 7 << 20

// maxAnnounced bounds the memory that is taken for a review because of the size
// that its sender announces: almost all are smaller, and whoever reaches the
// port can announce anything. What is larger shares maxLarge.
const maxAnnounced = 64 << 10

// maxLarge bounds the memory of all large reviews that an entry has in hand,
// from their first byte beyond maxAnnounced to their answer. A few of the
// largest, or hundreds of those that an API server really sends, fit in: what
// whoever reaches the port can send at once must not end the process.
const maxLarge = 16 << 20

// errManyLarge is why a large review was turned away before it was read.
var errManyLarge = errors.New("too many large reviews are in hand; try again, or run more replicas")

// endpoint serves one entry over HTTP. It does what admission.Webhook of
// controller-runtime does, but decodes a review in one pass where that takes
// three: half of what a webhook does for a review can be that.
type endpoint struct {
	handler admission.Handler
	log     logr.Logger
	large   *semaphore.Weighted // of the bytes of large reviews
}

func overHTTP(h admission.Handler, log logr.Logger) http.Handler {
	return &endpoint{handler: h, log: log, large: semaphore.NewWeighted(maxLarge)}
}

// ServeHTTP answers one review. HTTP is only the carrier: what is wrong with a
// review is said in an AdmissionReview too.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	growStack(0)
	in, held, err := e.receive(w, r)
	if held > 0 {
		defer e.large.Release(held)
	}
	if err != nil {
		e.log.Error(err, "bad review")
		e.answer(w, admissionv1.SchemeGroupVersion.String(), refused(http.StatusBadRequest, err))
		return
	}
	var request admission.Request
	if in.Request != nil {
		request.AdmissionRequest = *in.Request
	}
	e.answer(w, in.APIVersion, e.handle(r.Context(), request))
}

// receive reads and decodes a review. It returns what the review holds of
// e.large, with an error too: the caller gives it back after the answer, as the
// objects of the review are part of its body.
func (e *endpoint) receive(w http.ResponseWriter, r *http.Request) (in *received, held int64, err error) {
	if contentType := r.Header.Get("Content-Type"); contentType != "application/json" {
		return nil, 0, fmt.Errorf("the Content-Type is %q; a review is application/json", contentType)
	}
	body, held, err := e.read(w, r)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, held, fmt.Errorf("the review is too large; the limit is %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, held, fmt.Errorf("reading the review: %w", err)
	}
	in, err = decodeReview(body)
	return in, held, err
}

// read reads the body of a request until the time of the request is over.
func (e *endpoint) read(w http.ResponseWriter, r *http.Request) (body []byte, held int64, err error) {
	// Whoever sends slowly is cut off when the time of the request is over.
	// A deadline set beforehand would do the same, at the price of a message
	// to the goroutine of the connection for every request.
	cut := make(chan struct{})
	stop := context.AfterFunc(r.Context(), func() {
		defer close(cut)
		// Where the connection cannot do this the server's own limits hold.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now())
	})
	body, held, err = e.readAll(r.Context(), http.MaxBytesReader(w, r.Body, maxReview), r.ContentLength)
	if !stop() {
		// A sender who resets the stream ends the time of the request and the
		// body at once. The response of HTTP/2 is torn down when the handler
		// returns; a deadline that is set on it after that is a panic in a
		// goroutine where nothing recovers, and the end of the process.
		<-cut
	}
	return body, held, err
}

// readAll reads a body of which the sender announced the size, or -1. What is
// beyond maxAnnounced is read once there is room for all of it.
func (e *endpoint) readAll(ctx context.Context, from io.Reader, announced int64) (body []byte, held int64, err error) {
	if announced > maxReview {
		return nil, 0, &http.MaxBytesError{Limit: maxReview}
	}
	buffer := bytes.NewBuffer(make([]byte, 0, max(0, min(announced, maxAnnounced))+bytes.MinRead))
	if 0 <= announced && announced <= maxAnnounced { // and no more will come
		_, err = buffer.ReadFrom(from)
		return buffer.Bytes(), 0, err
	}
	n, err := buffer.ReadFrom(io.LimitReader(from, maxAnnounced))
	if err != nil || n < maxAnnounced {
		return buffer.Bytes(), 0, err
	}
	// All at once: reviews that wait for one another's remainders would wait
	// until their time is over.
	size := announced
	if size < 0 {
		size = maxReview
	}
	if e.large.Acquire(ctx, size) != nil {
		return nil, 0, errManyLarge
	}
	all := bytes.NewBuffer(append(make([]byte, 0, size+bytes.MinRead), buffer.Bytes()...))
	_, err = all.ReadFrom(from)
	return all.Bytes(), size, err
}

// handle lets the handler answer. The handlers recover from panics by
// themselves, each in its own way; this is for what may go wrong around that.
func (e *endpoint) handle(ctx context.Context, request admission.Request) (resp admission.Response) {
	defer func() {
		if v := recover(); v != nil {
			err := fmt.Errorf("panic: %v", v)
			// The sender needs no stack; whoever mends this needs nothing else.
			e.log.Error(fmt.Errorf("%w\n%s", err, debug.Stack()), "no answer", "uid", string(request.UID))
			resp = refused(http.StatusInternalServerError, err)
		}
		resp.UID = request.UID
	}()
	resp = e.handler.Handle(ctx, request)
	if err := resp.Complete(request); err != nil {
		resp = refused(http.StatusInternalServerError, err)
	}
	return resp
}

// answer writes a response in the version of its review.
func (e *endpoint) answer(w http.ResponseWriter, version string, resp admission.Response) {
	out, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "AdmissionReview"},
		Response: &resp.AdmissionResponse,
	})
	if err != nil { // no answer is a refusal as well
		e.log.Error(err, "encoding an answer", "decision", string(resp.UID))
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	if _, err := w.Write(out); err != nil {
		e.log.Error(err, "writing an answer", "decision", string(resp.UID))
	}
}
