package webhook

import (
	"fmt"
	"math"
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

	"github.com/sallyport-io/sallyport/internal/fair"
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

// overdraw has one tenant, of the source 10.0.0.1, spend all it may for some time to
// come.
func (s *serverOf) overdraw(namespace, user string, beyond time.Duration) {
	f := fair.Flow{Source: "10.0.0.1", Namespace: namespace, User: user}
	s.gates.known.steps.Charge(f, int64((burst+beyond.Seconds())*stepsASecond))
}

// TestDearBodiesAreNotRead sends a large review of who has spent all it may: no more
// than its head is read, be it longer than usual.
func TestDearBodiesAreNotRead(t *testing.T) {
	for _, groups := range []int{1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			s := newServerOf(options(t))
			s.overdraw("evil", "mallory", time.Minute)
			r := dear("evil", "mallory")
			for i := range groups {
				r.UserInfo.Groups = append(r.UserInfo.Groups, fmt.Sprint("group-", i))
			}
			large := body(t, "v1", r)
			head := strings.Index(large, `"object":{`)
			most := usualHead
			if head > usualHead {
				most = maxAnnounced
			}
			rest := strings.NewReader(large)
			resp := answerTo(t, s.validate, "10.0.0.1", "3s", rest)
			if resp.Result.Code != http.StatusTooManyRequests {
				t.Fatalf("%+v", resp.Result)
			}
			if read := len(large) - rest.Len(); read < head || read > most {
				t.Errorf("%d of %d bytes were read, the head has %d", read, len(large), head)
			}
		})
	}
}

// TestReadingIsPaidFor sends large reviews of which nothing is judged, as they make no
// sense: what they take is charged all the same, and in the end they are not read.
func TestReadingIsPaidFor(t *testing.T) {
	for name, of := range map[string]func(*admissionv1.AdmissionRequest) string{
		"no JSON":      func(r *admissionv1.AdmissionRequest) string { return body(t, "v1", r) + "}" },
		"no version":   func(r *admissionv1.AdmissionRequest) string { return body(t, "v9", r) },
		"no operation": func(r *admissionv1.AdmissionRequest) string { r.Operation = "CONNECT"; return body(t, "v1", r) },
		"one of ours": func(r *admissionv1.AdmissionRequest) string {
			r.Operation, r.Name = admissionv1.Delete, "sallyport-gateway-0123456789"
			r.OldObject, r.Object = r.Object, runtime.RawExtension{}
			return body(t, "v1", r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServerOf(options(t))
				large := of(dear("evil", "mallory"))
				most := burst*stepsASecond/(len(large)/bytesPerStep) + 2
				for range most {
					answerTo(t, s.validate, "10.0.0.1", "3s", strings.NewReader(large))
				}
				if s.gates.known.steps.Due(fair.Flow{Source: "10.0.0.1", Namespace: "evil", User: "mallory"}) == 0 {
					t.Errorf("%d reviews of %d bytes have cost nothing", most, len(large))
				}
			})
		})
	}
}

// TestManyWaitForNothing has a tenant who has spent all it may keep 64 reviews in hand,
// for a minute: each waits for its answer, and so no more are to be turned away than as
// many a second. Those who wait hold no more than the beginnings of bodies, and what is
// beyond their number is answered at once.
func TestManyWaitForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerOf(options(t))
		large := body(t, "v1", dear("evil", "mallory"))
		const hostile, seconds = 64, 60
		s.overdraw("evil", "mallory", 2*seconds*time.Second)
		began := time.Now()
		var wg sync.WaitGroup
		var answered atomic.Int32
		for range hostile {
			wg.Go(func() {
				for time.Since(began) < seconds*time.Second {
					if resp := answerTo(t, s.validate, "10.0.0.1", "3s", strings.NewReader(large)); resp.Result.Code != http.StatusTooManyRequests {
						t.Errorf("%+v", resp.Result)
					}
					answered.Add(1)
				}
			})
		}
		wg.Wait()
		if n := answered.Load(); n != hostile*seconds {
			t.Errorf("%d were turned away, want %d", n, hostile*seconds)
		}

		most := cap(s.gates.known.late)
		began = time.Now()
		var waited, once atomic.Int32
		for range most + 50 {
			wg.Go(func() {
				answerTo(t, s.validate, "10.0.0.1", "3s", strings.NewReader(large))
				if time.Since(began) >= patience {
					waited.Add(1)
				} else {
					once.Add(1)
				}
			})
		}
		wg.Wait()
		if int(waited.Load()) != most || once.Load() != 50 {
			t.Errorf("%d have waited, and %d have not; want %d and 50", waited.Load(), once.Load(), most)
		}
	})
}

// TestFewAreTurnedAwayForRoom is the same with a tenant that has not spent anything, and
// whose place and memory are taken: what is turned away of its reviews, small and large,
// is no more.
func TestFewAreTurnedAwayForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerOf(options(t))
		f := fair.Flow{Source: "10.0.0.1", Namespace: "evil", User: "mallory"}
		for _, l := range []*fair.Limiter{s.gates.known.places, s.gates.known.large} {
			held, err := l.Acquire(t.Context(), f, math.MaxInt64)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Release()
		}
		const hostile, seconds = 200, 20
		began := time.Now()
		var wg sync.WaitGroup
		var answered atomic.Int32
		for i := range hostile {
			wg.Go(func() {
				for time.Since(began) < seconds*time.Second {
					if resp := s.ask(t, "10.0.0.1", "3s", of("evil", "mallory", "good.example.com"), i%2*100_000); resp.Result.Code != http.StatusTooManyRequests {
						t.Errorf("%+v", resp.Result)
					}
					answered.Add(1)
				}
			})
		}
		wg.Wait()
		if n := answered.Load(); n > hostile*seconds || n < hostile*seconds/3 {
			t.Errorf("%d were turned away, want %d", n, hostile*seconds)
		}
	})
}

// TestWaitsForItsAllowance sends one review of who has nearly paid for what it has
// spent: it is judged as soon as that is so, and not turned away.
func TestWaitsForItsAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerOf(options(t))
		s.overdraw("shop", "alice", patience/2)
		began := time.Now()
		resp := s.ask(t, "10.0.0.1", "3s", of("shop", "alice", "good.example.com"), 0)
		if took := time.Since(began).Round(time.Millisecond); !resp.Allowed || took != patience/2 {
			t.Errorf("allowed %v, after %v: %+v", resp.Allowed, took, resp.Result)
		}
	})
}

// TestReviewsWaitForTheirLike has a namespace with one place write two things at a time
// while its place takes long to come free, as the cores are busy with something else:
// both are judged.
func TestReviewsWaitForTheirLike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerOf(options(t))
		held, err := s.gates.known.places.Acquire(t.Context(), fair.Flow{Source: "10.0.0.1", Namespace: "shop", User: "alice"}, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(patience/2, held.Release)
		if resp := s.ask(t, "10.0.0.1", "3s", of("shop", "alice", "good.example.com"), 0); !resp.Allowed {
			t.Errorf("%+v", resp.Result)
		}
	})
}

// TestDearReviewsLeaveACore has those who have lately sent what is dear send reviews that
// do not end, as several tenants and without a proof: no more of them are computed at
// once than leave a core to others, who are answered meanwhile.
func TestDearReviewsLeaveACore(t *testing.T) {
	eachCores(t, func(t *testing.T, cores int) {
		o := options(t)
		o.Proven = fromAPIServer
		entered, hold := hanging(&o)
		s := newServerOf(o)
		s.gates.unknown.steps.Charge(fair.Flow{}, 2*stepsASecond)
		var wg sync.WaitGroup
		for i := range 8 {
			ns, source := fmt.Sprint("evil-", i), []string{"10.0.0.1", "10.1.0.7"}[i%2]
			s.gates.known.steps.Charge(fair.Flow{Namespace: ns, User: ns}, 2*stepsASecond)
			wg.Go(func() { s.ask(t, source, "1s", of(ns, ns, "hanging.example.com"), 0) })
		}
		<-entered
		for i := range 10 {
			if resp := s.ask(t, "10.0.0.1", "3s", of(fmt.Sprint("good-", i), "alice", "good.example.com"), 0); !resp.Allowed {
				t.Errorf("another tenant's review: %s", resp.Result.Message)
			}
		}
		wg.Wait()
		if n := len(entered) + 1; n > max(1, cores-1) {
			t.Errorf("%d were computed at once", n)
		}
		close(hold)
	})
}
