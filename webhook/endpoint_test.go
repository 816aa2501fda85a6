package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	kjson "sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/fair"
)

// server serves a handler by HTTPS.
func server(t *testing.T, h admission.Handler, http2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(timed(overHTTP(h, newGates(false), logr.Discard())))
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// send posts a body and returns the answer.
func send(t *testing.T, s *httptest.Server, contentType string, body io.Reader) *admissionv1.AdmissionReview {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"?timeout=200ms", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" || resp.ContentLength != int64(len(answer)) {
		t.Errorf("status %d, %s of %d bytes, received %d", resp.StatusCode, resp.Header.Get("Content-Type"), resp.ContentLength, len(answer))
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &review); err != nil || review.Response == nil {
		t.Fatalf("answer %s: %v", answer, err)
	}
	return &review
}

// TestSlowSender sends half a review and then nothing: the handler must not
// wait for the rest, nor hear of it.
func TestSlowSender(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%t", http2), func(t *testing.T) {
			handler := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
				t.Error("half a review reached the handler")
				return admission.Allowed("")
			})
			read, write := io.Pipe()
			s := server(t, handler, http2)
			go func() {
				_, _ = io.WriteString(write, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",`)
			}()
			began := time.Now()
			review := send(t, s, "application/json", read)
			_ = write.Close()
			if review.Response.Allowed || !strings.Contains(review.Response.Result.Message, "reading the review") {
				t.Errorf("allowed %v: %s", review.Response.Allowed, review.Response.Result.Message)
			}
			if waited := time.Since(began); waited > 10*time.Second {
				t.Errorf("waited %v for the rest", waited)
			}
		})
	}
}

// lateWriter is a response whose deadline takes a while to set.
type lateWriter struct {
	*httptest.ResponseRecorder
	closeBody func() error
	set       atomic.Bool
}

func (w *lateWriter) SetReadDeadline(time.Time) error {
	_ = w.closeBody() // the reader wakes up while this is still at work
	time.Sleep(50 * time.Millisecond)
	w.set.Store(true)
	return nil
}

// TestDeadlineIsSetBeforeTheEnd checks that nothing touches the response of a
// request that was cut off once the handler has returned.
func TestDeadlineIsSetBeforeTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	read, write := io.Pipe()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", read)
	r.Header.Set("Content-Type", "application/json")
	w := &lateWriter{ResponseRecorder: httptest.NewRecorder(), closeBody: write.Close}
	overHTTP(nil, newGates(false), logr.Discard()).ServeHTTP(w, r)
	if !w.set.Load() {
		t.Error("the handler returned while the deadline was being set on its response")
	}
}

// TestResetStreams resets many HTTP/2 streams half way through their bodies:
// the server must live on, and nothing of it touch a response that is over.
func TestResetStreams(t *testing.T) {
	allow := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	s := server(t, allow, true)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of writes to streams that are reset
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				read, write := io.Pipe()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"?timeout=3s", read)
				if err != nil {
					t.Error(err)
				} else {
					req.Header.Set("Content-Type", "application/json")
					go func() {
						_, _ = io.WriteString(write, `{"apiVersion":"admission.k8s.io/v1",`)
						cancel() // which resets the stream
					}()
					if resp, err := s.Client().Do(req); err == nil {
						_ = resp.Body.Close()
					}
				}
				cancel()
				_ = write.Close()
			}
		})
	}
	wg.Wait()
	good := body(t, "v1", request(entry("api", "good.example.com")))
	if review := send(t, s, "application/json", strings.NewReader(good)); !review.Response.Allowed {
		t.Errorf("after the resets: %+v", review.Response)
	}
}

// TestEndpoint checks what is answered around the handlers.
func TestEndpoint(t *testing.T) {
	allow := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	good := body(t, "v1", request(entry("api", "good.example.com")))
	for _, tt := range []struct {
		name, contentType, body string
		handler                 admission.Handler
		allowed                 bool
		code                    int32
		message                 string
		uid                     string
	}{
		{"a review", "application/json", good, allow, true, 200, "", "7f1c"},
		{"another type of content", "application/yaml", good, allow, false, 400, `the Content-Type is "application/yaml"`, ""},
		{"another case of the kind", "application/json", strings.Replace(good, `"kind":"AdmissionReview"`, `"Kind":"AdmissionReview"`, 1), allow, false, 400, `kind ""`, ""},
		{"two reviews", "application/json", good + good, allow, false, 400, "no AdmissionReview", ""},
		{"a large review", "application/json", good + strings.Repeat(" ", 1<<20), allow, true, 200, "", "7f1c"},
		{"too large a review", "application/json", good + strings.Repeat(" ", maxReview), allow, false, 400, "the limit is 7340032 bytes", ""},
		{"a panic", "application/json", good, admission.HandlerFunc(lostHandler), false, 500, "a fault of Sallyport's own", "7f1c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := send(t, server(t, tt.handler, true), tt.contentType, strings.NewReader(tt.body)).Response
			if resp.Allowed != tt.allowed || resp.Result.Code != tt.code || string(resp.UID) != tt.uid || !strings.Contains(resp.Result.Message, tt.message) {
				t.Errorf("allowed %v, code %d, uid %q: %s", resp.Allowed, resp.Result.Code, resp.UID, resp.Result.Message)
			}
		})
	}
}

// TestLostPanicIsTraced checks that the log says where a panic came from that
// no handler recovered from, and the answer does not.
func TestLostPanicIsTraced(t *testing.T) {
	var logged strings.Builder
	log := funcr.New(func(_, args string) { logged.WriteString(args) }, funcr.Options{})
	e := &endpoint{handler: admission.HandlerFunc(lostHandler), log: log}
	resp := e.guard(admission.Request{}, func() admission.Response { return lostHandler(t.Context(), admission.Request{}) })
	if !strings.Contains(logged.String(), "lostHandler") {
		t.Errorf("the log does not name the function that panicked: %s", &logged)
	}
	if resp.Allowed || strings.Contains(resp.Result.Message, "goroutine") {
		t.Errorf("allowed %v: %s", resp.Allowed, resp.Result.Message)
	}
}

func lostHandler(context.Context, admission.Request) admission.Response { panic("lost") }

// TestAnnouncedSize announces the largest review and sends none: what is said
// about a body takes no memory, only what is sent.
func TestAnnouncedSize(t *testing.T) {
	e := &endpoint{gates: newGates(false)}
	receive := func() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(""))
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = maxReview
		if _, err := e.receive(httptest.NewRecorder(), r, e.gates.visit(r)); err == nil {
			t.Error("nothing is taken for a review")
		}
	}
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			receive()
		}
	})
	if n := result.AllocedBytesPerOp(); n > maxReview/10 {
		t.Errorf("%d bytes for an empty body", n)
	}
}

// TestLargeReviewsAreBounded sends more of the largest reviews than there is
// room for, and stops short of their ends: the memory that they take is bounded,
// small reviews are answered meanwhile, and large ones as soon as there is room.
func TestLargeReviewsAreBounded(t *testing.T) {
	allow := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	g := newGates(false)
	e := overHTTP(allow, g, logr.Discard())
	post := func(body io.Reader, length int64) *httptest.ResponseRecorder {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", body)
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = length
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w
	}
	good := body(t, "v1", request(entry("api", "good.example.com")))
	large := good + strings.Repeat(" ", 1<<20)

	var wg sync.WaitGroup
	var ends []*io.PipeWriter
	var taken atomic.Int64 // of the bytes that are sent
	const senders = 8
	for range senders {
		read, write := io.Pipe()
		ends = append(ends, write)
		wg.Go(func() { post(read, -1) })
		wg.Go(func() {
			for range (maxReview - 1) / (1 << 10) {
				if _, err := write.Write(make([]byte, 1<<10)); err != nil {
					return
				}
				taken.Add(1 << 10)
			}
		})
	}
	steady := func() int64 {
		for {
			before := taken.Load()
			time.Sleep(100 * time.Millisecond)
			if taken.Load() == before {
				return before
			}
		}
	}
	if got := steady(); got < maxReview || got > maxLarge+senders*(maxAnnounced+bytes.MinRead) {
		t.Errorf("%d bytes are in hand of reviews that are not complete", got)
	}
	if w := post(strings.NewReader(good), int64(len(good))); !strings.Contains(w.Body.String(), `"allowed":true`) {
		t.Errorf("a small review beside large ones: %s", w.Body)
	}
	wg.Go(func() {
		if w := post(strings.NewReader(large), int64(len(large))); !strings.Contains(w.Body.String(), `"allowed":true`) {
			t.Errorf("a large review that had to wait: %s", w.Body)
		}
	})
	for _, end := range ends {
		_ = end.Close()
	}
	wg.Wait()
	// Of all that there is, each source of two may have the half: it was given back.
	for _, source := range []string{"one", "another"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		grant, err := g.known.large.Acquire(ctx, fair.Flow{Source: source}, maxLarge/2)
		if err != nil {
			t.Errorf("the room of some review was not given back: %v", err)
		}
		defer grant.Release()
	}
}

// FuzzDecodeReview checks that a review whose objects are cut out first says
// what it says as a whole.
func FuzzDecodeReview(f *testing.F) {
	good := body(f, "v1", request(entry("api", "good.example.com")))
	for _, change := range []struct{ old, new string }{
		{"", ""},
		{`"object":`, `"oldObject":{"a":[1,"}"]},"object":`},
		{`"object":`, `"object":null,"oldObject":`},
		{`"object":`, `"object":{"kind":"first"},"object":`},
		{`"object":`, `"\u006fbject":`},
		{`"object":`, `"options":{"object":{}},"Object":`},
		{`"request":{`, `"request":{"uid":"another","object":{}},"request":{`},
		{`"request":{`, `"response":{"uid":"x"},"request":{`},
		{`"request":{`, `"request":{"dryRun":true,"requestKind":{"group":"g","version":"v","kind":"k"},"requestResource":{"resource":"r"},"options":{"kind":"CreateOptions"},`},
		{`"request":{`, `"request":{"userInfo":{"username":"\u00e9","uid":"u","groups":["a","b"],"extra":{"c":["d"]}},`},
		{`"request":{`, `"request":{"dryRun":null,"requestKind":null,"subResource":"status","unknown":[],`},
		{`"request":{`, `"request":null,"other":{`},
	} {
		f.Add([]byte(strings.Replace(good, change.old, change.new, 1)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := decodeReview(in)
		if !json.Valid(in) {
			return // an object that is no JSON is found out when it is decoded
		}
		want := new(received)
		if wantErr := kjson.UnmarshalCaseSensitivePreserveInts(in, want); err != nil {
			if wantErr == nil && want.Kind == "AdmissionReview" && strings.HasPrefix(want.APIVersion, "admission.k8s.io/v1") && !strings.HasPrefix(err.Error(), "what was sent is no AdmissionReview of version") {
				t.Errorf("error %v for a review", err)
			}
			return
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}
