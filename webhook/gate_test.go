package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// hanging are rules of which one does not end by itself for the host
// hanging.example.com, nor hears of the end of the review: it says on entered
// that it has begun, and goes on until hold is closed.
func hanging(o *Options) (entered chan string, hold chan struct{}) {
	entered, hold = make(chan string, 1000), make(chan struct{})
	hang := &rules.Rule{
		Name: "hang", Doc: "never end", Severity: rules.Deny, Kinds: []string{"ServiceEntry"},
		Operations: []string{"CREATE", "UPDATE", "DELETE"},
		Check: func(_ context.Context, p *rules.Pass) error {
			if se := p.Subject.(*mesh.ServiceEntry); se.Hosts[0] == "hanging.example.com" {
				entered <- se.Namespace
				<-hold
			}
			return nil
		},
	}
	judge := &review.Judge{Rules: append([]*rules.Rule{hang}, testRules...)}
	o.Judge = func() *review.Judge { return judge }
	return entered, hold
}

// serverOf answers requests as the server does.
type serverOf struct {
	mutate, validate http.Handler
	gates            *gates
}

func newServerOf(o Options) *serverOf {
	g := newGates(o.Proven != nil)
	return &serverOf{
		timed(admitted(overHTTP(newMutator(o, g), g, o.Log), "mutate", o)),
		timed(admitted(overHTTP(newValidator(o, g), g, o.Log), "validate", o)),
		g,
	}
}

// ask sends a review to the validating entry, from a source, and returns the
// answer.
func (s *serverOf) ask(t testing.TB, source, timeout string, r *admissionv1.AdmissionRequest, padding int) *admissionv1.AdmissionResponse {
	t.Helper()
	return answerTo(t, s.validate, source, timeout, strings.NewReader(body(t, "v1", r)+strings.Repeat(" ", padding)))
}

func answerTo(t testing.TB, h http.Handler, source, timeout string, body io.Reader) *admissionv1.AdmissionResponse {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/?timeout="+timeout, body)
	req.Header.Set("Content-Type", "application/json")
	req.RemoteAddr = source + ":1234"
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &review); err != nil || review.Response == nil {
		t.Errorf("status %d, answer %s: %v", rec.Code, rec.Body, err)
		return &admissionv1.AdmissionResponse{Result: new(metav1.Status)}
	}
	return review.Response
}

// of is a review of a ServiceEntry in a namespace by a user.
func of(namespace, user, host string) *admissionv1.AdmissionRequest {
	return request(strings.ReplaceAll(entry("api", host), `"shop"`, fmt.Sprintf("%q", namespace)), func(r *admissionv1.AdmissionRequest) {
		r.UID = types.UID(namespace + "-" + user)
		r.Namespace, r.UserInfo.Username = namespace, user
	})
}

// eachCores runs a test with several numbers of cores.
func eachCores(t *testing.T, test func(t *testing.T, cores int)) {
	for _, cores := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d cores", cores), func(t *testing.T) {
			old := runtime.GOMAXPROCS(cores)
			defer runtime.GOMAXPROCS(old)
			test(t, cores)
		})
	}
}

// TestOneTenantLeavesPlaces has a tenant send 64 reviews at a time that do not
// end, as one user or many: every review of others is answered meanwhile, and
// those of the tenant that wait are told to try again.
func TestOneTenantLeavesPlaces(t *testing.T) {
	eachCores(t, func(t *testing.T, cores int) {
		for _, tt := range []struct {
			name           string
			namespace, who func(i int) string
		}{
			{"one user in one namespace", fixed("evil"), fixed("mallory")},
			{"many users of one namespace", fixed("evil"), numbered("system:serviceaccount:evil:m")},
			{"one user of many namespaces", numbered("evil-"), fixed("mallory")},
		} {
			t.Run(tt.name, func(t *testing.T) {
				o := options(t)
				entered, hold := hanging(&o)
				s := newServerOf(o)
				var wg sync.WaitGroup
				var mu sync.Mutex
				refused := 0
				for i := range 64 {
					wg.Go(func() {
						resp := s.ask(t, "10.0.0.1", "1s", of(tt.namespace(i), tt.who(i), "hanging.example.com"), 0)
						if resp.Allowed {
							t.Error("allowed")
						}
						if resp.Result.Code == http.StatusTooManyRequests {
							mu.Lock()
							refused++
							mu.Unlock()
							want := &metav1.StatusDetails{Group: "networking.istio.io", Kind: "ServiceEntry", Name: "api", RetryAfterSeconds: 1}
							if d := cmp.Diff(want, resp.Result.Details); d != "" || resp.Result.Reason != metav1.StatusReasonTooManyRequests {
								t.Errorf("reason %s, details (-want +got):\n%s", resp.Result.Reason, d)
							}
							if !strings.Contains(resp.Result.Message, "try again") {
								t.Errorf("nobody is told to try again: %s", resp.Result.Message)
							}
						}
					})
				}
				<-entered
				for i := range 20 {
					began := time.Now()
					if resp := s.ask(t, "10.0.0.1", "3s", of(fmt.Sprint("good-", i), fmt.Sprint("user-", i), "good.example.com"), 0); !resp.Allowed {
						t.Errorf("another tenant's review: %s", resp.Result.Message)
					}
					if took := time.Since(began); took > time.Second {
						t.Errorf("another tenant's review took %v", took)
					}
				}
				wg.Wait()
				close(hold)
				if most := 2 * max(1, cores-1); refused < 64-max(2, most) {
					t.Errorf("%d were told to try again", refused)
				}
				if n := testutil.ToFloat64(o.Metrics.turnedAway.WithLabelValues("validate", "place")); int(n) != refused {
					t.Errorf("%v turned away, %d were told", n, refused)
				}
			})
		}
	})
}

func fixed(s string) func(int) string { return func(int) string { return s } }

func numbered(s string) func(int) string { return func(i int) string { return fmt.Sprint(s, i) } }

// TestUnprovenKeepToThemselves floods the server with reviews that nothing
// proves to be the API server's, in the names of every tenant: those that are
// proven are answered as if there were none.
func TestUnprovenKeepToThemselves(t *testing.T) {
	o := options(t)
	o.Proven = fromAPIServer
	entered, hold := hanging(&o)
	s := newServerOf(o)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if s.ask(t, "10.1.0.7", "1s", of(fmt.Sprint("good-", i%20), fmt.Sprint("user-", i%20), "hanging.example.com"), i%2*100_000).Allowed {
				t.Error("allowed")
			}
		})
	}
	<-entered
	for i := range 20 {
		for _, padding := range []int{0, 1 << 20} {
			if resp := s.ask(t, "10.0.0.1", "3s", of(fmt.Sprint("good-", i), fmt.Sprint("user-", i), "good.example.com"), padding); !resp.Allowed {
				t.Errorf("a proven review: %s", resp.Result.Message)
			}
		}
	}
	if n := len(entered); n >= runtime.GOMAXPROCS(0) && n > 1 {
		t.Errorf("%d reviews of unknown origin were computed at once", n+1)
	}
	wg.Wait()
	close(hold)
}

// fromAPIServer takes an address for the proof.
func fromAPIServer(r *http.Request) error {
	if strings.HasPrefix(r.RemoteAddr, "10.0.0.1:") {
		return nil
	}
	return errors.New("no proof")
}

// TestProofIsRequired checks that without the proof that is required nothing is
// answered at either entry, nor read, and that the reason is given.
func TestProofIsRequired(t *testing.T) {
	o := options(t)
	o.Proven, o.Required = fromAPIServer, true
	s := newServerOf(o)
	for name, h := range map[string]http.Handler{"mutate": s.mutate, "validate": s.validate} {
		read := false
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", readerFunc(func([]byte) (int, error) { read = true; return 0, io.EOF }))
		req.RemoteAddr = "10.1.0.7:1"
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "no proof") || rec.Header().Get("Connection") != "close" || read {
			t.Errorf("%s: status %d, read %v: %s", name, rec.Code, read, rec.Body)
		}
		if n := testutil.ToFloat64(o.Metrics.unproven.WithLabelValues(name)); n != 1 {
			t.Errorf("%s: %v are counted", name, n)
		}
	}
	if resp := s.ask(t, "10.0.0.1", "3s", of("shop", "alice", "good.example.com"), 0); !resp.Allowed {
		t.Errorf("with the proof: %s", resp.Result.Message)
	}
	o.Required = false
	if resp := newServerOf(o).ask(t, "10.1.0.7", "3s", of("shop", "alice", "good.example.com"), 0); !resp.Allowed {
		t.Errorf("where it is not required: %s", resp.Result.Message)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestSourcesAreKeptApart floods a server that has no means to know the API
// server, from one address and in the names of every tenant: reviews from other
// addresses have places left.
func TestSourcesAreKeptApart(t *testing.T) {
	eachCores(t, func(t *testing.T, _ int) {
		o := options(t)
		entered, hold := hanging(&o)
		s := newServerOf(o)
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				s.ask(t, "10.1.0.7", "1s", of(fmt.Sprint("good-", i), fmt.Sprint("user-", i), "hanging.example.com"), 0)
			})
		}
		<-entered
		for i := range 20 {
			if resp := s.ask(t, "10.0.0.1", "3s", of(fmt.Sprint("good-", i), fmt.Sprint("user-", i), "good.example.com"), 0); !resp.Allowed {
				t.Errorf("a review from elsewhere: %s", resp.Result.Message)
			}
		}
		wg.Wait()
		close(hold)
	})
}

// TestLargeReviewsAreFair has a tenant send large reviews that do not end, in
// such numbers that they would take all memory for those: large reviews of
// others are answered, and what is told to try again was not read.
func TestLargeReviewsAreFair(t *testing.T) {
	o := options(t)
	entered, hold := hanging(&o)
	s := newServerOf(o)
	var wg sync.WaitGroup
	const large = 1_500_000
	for i := range 64 {
		wg.Go(func() {
			resp := s.ask(t, "10.0.0.1", "1s", of("evil", fmt.Sprint("m", i), "hanging.example.com"), large)
			if resp.Allowed || string(resp.UID) != fmt.Sprint("evil-m", i) {
				t.Errorf("allowed %v, uid %q", resp.Allowed, resp.UID)
			}
		})
	}
	<-entered
	for i := range 5 {
		began := time.Now()
		if resp := s.ask(t, "10.0.0.1", "3s", of(fmt.Sprint("good-", i), "alice", "good.example.com"), large); !resp.Allowed {
			t.Errorf("another tenant's large review: %s", resp.Result.Message)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("another tenant's large review took %v", took)
		}
	}
	wg.Wait()
	close(hold)
	if testutil.ToFloat64(o.Metrics.turnedAway.WithLabelValues("validate", "memory")) == 0 {
		t.Error("none was turned away for want of memory")
	}
}

// TestHead reads heads of reviews that are cut off at every byte: what is read
// is what the review says, or nothing.
func TestHead(t *testing.T) {
	yes := true
	r := of("shop", "alice", "good.example.com")
	r.DryRun = &yes
	whole := body(t, "v1", r)
	object := strings.Index(whole, `"object":`)
	for i := range len(whole) {
		h, complete := readHead([]byte(whole[:i]))
		got := []string{h.APIVersion, string(h.Request.UID), h.Request.Namespace, h.Request.UserInfo.Username, h.Request.Kind.Kind}
		for j, want := range []string{"admission.k8s.io/v1", "shop-alice", "shop", "alice", "ServiceEntry"} {
			if got[j] != want && (got[j] != "" || i >= object) {
				t.Fatalf("cut off at %d of %d: %q", i, len(whole), got)
			}
		}
		if want := i >= object+len(`"object"`); complete != want {
			t.Fatalf("cut off at %d of %d: complete %v", i, len(whole), complete)
		}
	}
}

// TestHeadIsCheap reads heads before objects of any size: what that allocates does not
// grow with the object.
func TestHeadIsCheap(t *testing.T) {
	small, large := []byte(body(t, "v1", of("shop", "alice", "good.example.com"))), []byte(body(t, "v1", dear("shop", "alice")))
	one := testing.AllocsPerRun(20, func() { readHead(small) })
	for _, data := range [][]byte{large, large[:maxAnnounced], bytes.ReplaceAll(large, []byte(`"object":{`), []byte(`"oldObject":{`))} {
		if more := testing.AllocsPerRun(20, func() { readHead(data) }); more > one+4 {
			t.Errorf("%v allocations, %v with a small object", more, one)
		}
	}
}

// TestWatchdogAnswers checks that a handler that does not end is answered for at
// the deadline, each entry in its own way; that it keeps its place until it
// ends; and that it is counted as one answer.
func TestWatchdogAnswers(t *testing.T) {
	o := options(t)
	o.Watch = NewWatch()
	entered, hold := hanging(&o)
	s := newServerOf(o)
	r := of("shop", "alice", "hanging.example.com")
	began := time.Now()
	resp := s.ask(t, "10.0.0.1", "400ms", r, 0)
	if took := time.Since(began); took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if resp.Allowed || resp.Result.Code != http.StatusInternalServerError || !strings.Contains(resp.Result.Message, "could not judge in time") || string(resp.UID) != "shop-alice" {
		t.Errorf("the validator, allowed %v, code %d, uid %q: %s", resp.Allowed, resp.Result.Code, resp.UID, resp.Result.Message)
	}
	<-entered
	if got := o.Watch.Late(); got != 1 {
		t.Errorf("%d handlers are late", got)
	}
	// It keeps its place: the namespace's own next one waits where it had one.
	if runtime.GOMAXPROCS(0) <= 2 {
		if resp := s.ask(t, "10.0.0.1", "100ms", of("shop", "alice", "good.example.com"), 0); resp.Allowed || resp.Result.Code != http.StatusTooManyRequests {
			t.Errorf("beside it: allowed %v, %+v", resp.Allowed, resp.Result)
		}
	}
	before := testutil.ToFloat64(o.Metrics.answers.WithLabelValues("validate", "allow"))
	close(hold)
	for o.Watch.Late() > 0 {
		time.Sleep(time.Millisecond)
	}
	if after := testutil.ToFloat64(o.Metrics.answers.WithLabelValues("validate", "allow")); after != before {
		t.Error("the answer that came too late is counted")
	}
	if n := testutil.ToFloat64(o.Metrics.watched.WithLabelValues("validate")); n != 1 {
		t.Errorf("the watchdog has answered %v times", n)
	}
	if resp := s.ask(t, "10.0.0.1", "3s", of("shop", "alice", "good.example.com"), 0); !resp.Allowed {
		t.Errorf("after it has ended: %s", resp.Result.Message)
	}
}

// TestWatchdogOfTheMutator has the mutator hang: the object goes on as it is.
func TestWatchdogOfTheMutator(t *testing.T) {
	o := options(t)
	hold := make(chan struct{})
	o.Mesh = func() *mesh.Mesh { <-hold; return mesh.New(mesh.DefaultSettings()) }
	s := newServerOf(o)
	resp := answerTo(t, s.mutate, "10.0.0.1", "300ms", strings.NewReader(body(t, "v1", of("shop", "alice", "good.example.com"))))
	close(hold)
	if !resp.Allowed || len(resp.Patch) > 0 || len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], "could not judge in time") {
		t.Errorf("allowed %v, patch %s, warnings %q", resp.Allowed, resp.Patch, resp.Warnings)
	}
	if n := testutil.ToFloat64(o.Metrics.watched.WithLabelValues("mutate")); n != 1 {
		t.Errorf("the watchdog has answered %v times", n)
	}
}

// TestStuckIsNotReady lets handlers go on after their time: a replica on which
// they may keep every core busy is not ready, one on which a single namespace
// has all it may have is.
func TestStuckIsNotReady(t *testing.T) {
	eachCores(t, func(t *testing.T, cores int) {
		synctest.Test(t, func(t *testing.T) {
			w := NewWatch()
			calls := make([]*call, cores)
			for i := range calls {
				calls[i] = new(call)
				w.began(calls[i])
			}
			time.Sleep(stuckFor)
			if err := w.Stuck(); err != nil {
				t.Errorf("not for long yet: %v", err)
			}
			time.Sleep(time.Second)
			if err := w.Stuck(); err == nil || !strings.Contains(err.Error(), "after their time was over") {
				t.Errorf("as many as cores: %v", err)
			}
			w.ended(calls[0])
			if err := w.Stuck(); err != nil {
				t.Errorf("one fewer than cores: %v", err)
			}
		})
	})
}
