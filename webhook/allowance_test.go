package webhook

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sallyport-io/sallyport/internal/review"
)

// dear is a review that takes all steps that there are, before it is even decoded.
func dear(namespace, user string) *admissionv1.AdmissionRequest {
	r := of(namespace, user, "dear.example.com")
	labels := strings.Repeat(`"a":"b",`, 120_000)
	r.Object = runtime.RawExtension{Raw: []byte(strings.Replace(string(r.Object.Raw), `"metadata":{`, `"metadata":{"labels":{`+labels+`"z":"z"},`, 1))}
	return r
}

// TestComputingIsShared has a tenant send what is dearest to judge, one after the
// other, as one user or many, to both entries: it is computed for a time, then a share
// of the time, and the rest is turned away. Neither other tenants nor, where one user
// writes for all, that user in other namespaces are kept from anything.
func TestComputingIsShared(t *testing.T) {
	for _, tt := range []struct {
		name   string
		proven bool // whether somebody proves to be the API server, and this is not it
		who    func(i int) (namespace, user string)
		good   func(i int) (source, namespace, user string)
	}{
		{
			"one user", false,
			func(int) (string, string) { return "evil", "mallory" },
			func(i int) (string, string, string) {
				return "10.0.0.1", fmt.Sprint("good-", i), fmt.Sprint("user-", i)
			},
		},
		{
			"many users of one namespace", false,
			func(i int) (string, string) { return "evil", fmt.Sprint("m", i) },
			func(i int) (string, string, string) { return "10.0.0.1", fmt.Sprint("good-", i), "alice" },
		},
		{
			"one user who writes for all", false,
			func(int) (string, string) { return "evil", "deployer" },
			func(i int) (string, string, string) { return "10.0.0.1", fmt.Sprint("good-", i), "deployer" },
		},
		{
			"forged, in all names", true,
			func(i int) (string, string) { return fmt.Sprint("good-", i%20), fmt.Sprint("user-", i%20) },
			func(i int) (string, string, string) {
				return "10.0.0.1", fmt.Sprint("good-", i%20), fmt.Sprint("user-", i%20)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(t)
				source := "10.0.0.1"
				if tt.proven {
					o.Proven, source = fromAPIServer, "10.1.0.7"
				}
				s := newServerOf(o)
				const sent = 60
				began := time.Now()
				for i := range sent {
					ns, user := tt.who(i)
					answerTo(t, []http.Handler{s.validate, s.mutate}[i%2], source, "3s", strings.NewReader(body(t, "v1", dear(ns, user))))
					from, ns, user := tt.good(i)
					if resp := s.ask(t, from, "3s", of(ns, user, "good.example.com"), 0); !resp.Allowed {
						t.Fatalf("another tenant's review: %s", resp.Result.Message)
					}
					time.Sleep(200 * time.Millisecond)
				}
				computed := sent
				for _, entry := range []string{"validate", "mutate"} {
					computed -= int(testutil.ToFloat64(o.Metrics.turnedAway.WithLabelValues(entry, "steps")))
				}
				// Each takes two thirds of the steps or more: it is a new object.
				most := int((time.Since(began).Seconds()+burst)*stepsASecond)/(review.MaxSteps/3*2) + 1
				if computed > most || computed < most/3 {
					t.Errorf("%d were computed; at most %d are to be, and not much less", computed, most)
				}
			})
		})
	}
}

// TestDearBodiesAreNotRead sends a large review of who has spent all it may: no more
// than its head is read.
func TestDearBodiesAreNotRead(t *testing.T) {
	o := options(t)
	s := newServerOf(o)
	large := body(t, "v1", dear("evil", "mallory"))
	for range 2*burst + 2 {
		answerTo(t, s.validate, "10.0.0.1", "3s", strings.NewReader(large))
	}
	rest := strings.NewReader(large)
	resp := answerTo(t, s.validate, "10.0.0.1", "3s", rest)
	if resp.Result.Code != http.StatusTooManyRequests {
		t.Fatalf("%+v", resp.Result)
	}
	if read := len(large) - rest.Len(); read > 2*maxAnnounced {
		t.Errorf("%d of %d bytes were read", read, len(large))
	}
}

// TestFewWaitForNothing sends many reviews at a time of who has spent all it may: some
// wait for their answer, as the next would come at once; and no more than may hold the
// beginnings of bodies, the others being answered at once.
func TestFewWaitForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerOf(options(t))
		large := body(t, "v1", dear("evil", "mallory"))
		for range 2*burst + 2 {
			answerTo(t, s.validate, "10.0.0.1", "3s", strings.NewReader(large))
		}
		began := time.Now()
		var wg sync.WaitGroup
		var waited, once atomic.Int32
		for range 200 {
			wg.Go(func() {
				if resp := answerTo(t, s.validate, "10.0.0.1", "3s", strings.NewReader(large)); resp.Result.Code != http.StatusTooManyRequests {
					t.Errorf("%+v", resp.Result)
				}
				if time.Since(began) >= patience {
					waited.Add(1)
				} else {
					once.Add(1)
				}
			})
		}
		wg.Wait()
		if n := waited.Load(); n == 0 || n > 64 || once.Load() == 0 {
			t.Errorf("%d have waited, and %d have not", n, once.Load())
		}
	})
}
