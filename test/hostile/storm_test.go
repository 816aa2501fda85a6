package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/internal/hostiletest"
)

const (
	// attackers is how many reviews of the hostile tenant are in hand at a time, as
	// several API servers send them; writers is how many writes it has in hand at
	// the one that there is here, which lets a few of them through at a time.
	attackers = 64
	writers   = 16
	// forgers is how many reviews somebody has in hand who reaches the port.
	forgers = 8
	// honest is how many other tenants there are, who write something every
	// pause.
	honest = 8
	pause  = 400 * time.Millisecond
)

// storm is what is done to a cluster at the same time, and what came of it.
type storm struct {
	*cluster
	name string // of what the other tenants write in it
	// writes is whether the attacker writes for real, too.
	writes bool
	// port is where reviews are sent that the API server at hand does not send;
	// "" for none.
	port string
	// calm is whether nobody attacks.
	calm bool
	// process is the server that is attacked, whose end is the storm's; nil where
	// it is not ours.
	process *controlplane.Process

	mu       sync.Mutex
	took     []time.Duration // by the other tenants' writes
	answered []time.Duration // by reviews of theirs at the port
	used     float64         // by the process, in cores
	refused  []string        // of theirs
	lost     []string        // of theirs: the API server itself gave no answer
	outcomes map[string]int  // of the attacker's and the forger's reviews
}

// rage lets it last for so long.
func (s *storm) rage(t *testing.T, tenants []*client, attacker *client, arms []object, length time.Duration) {
	t.Helper()
	s.outcomes = map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	if !s.calm {
		for i := range writers {
			wg.Go(func() { s.attack(ctx, attacker, arms, i) })
		}
		if s.port != "" {
			reviews := reviewsOf(t, arms)
			known, unknown := s.caller(t, &s.proof), s.caller(t, nil)
			for i := range attackers {
				wg.Go(func() { s.send(ctx, known, "attacker at the port", reviews, i) })
			}
			for i := range forgers {
				wg.Go(func() { s.send(ctx, unknown, "forger", reviews, i) })
			}
		}
	}
	time.Sleep(length / 20) // until all of it has begun
	for i, c := range tenants {
		wg.Go(func() { s.live(ctx, c, i) })
	}
	if s.port != "" {
		another := s.caller(t, &s.proof)
		for i := range honest {
			wg.Go(func() { s.ask(ctx, another, honest+i) }) // others again: a tenant's share is for all it does
		}
	}
	var ended <-chan struct{}
	var before time.Duration
	if s.process != nil {
		ended, before = s.process.Done(), cpuTime(t, s.process.PID())
	}
	end := time.NewTimer(length)
	defer end.Stop()
	select {
	case <-end.C:
		if s.process != nil {
			s.used = (cpuTime(t, s.process.PID()) - before).Seconds() / length.Seconds()
		}
	case <-ended:
		t.Errorf("the server has ended: %v\n%s", s.process.Err(), s.process.LogTail(40))
	}
	cancel()
	wg.Wait()
	slices.Sort(s.took)
	slices.Sort(s.answered)
}

// attack sends the dearest objects, one after the other.
func (s *storm) attack(ctx context.Context, c *client, arms []object, worker int) {
	for i := worker; ctx.Err() == nil; i += writers {
		arm := arms[i%len(arms)]
		// One of all writes for real, and clears up after itself: more than that
		// would fill the test's disk.
		dry := "?dryRun=All"
		if worker == 0 && s.writes {
			dry = ""
		}
		a := c.do(ctx, http.MethodPost, arm.path+dry, arm.raw)
		if ctx.Err() != nil {
			return
		}
		s.count("attacker", a)
		if dry == "" {
			if a.status < 300 {
				s.count("attacker", c.do(ctx, http.MethodDelete, arm.path+"/hostile", nil))
			}
			time.Sleep(time.Second)
		}
	}
}

// caller is a client of the port itself, with the API server's certificate or
// with none.
func (s *storm) caller(t *testing.T, proof *tls.Certificate) *client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.cp.CA.PEM)
	cfg := &tls.Config{RootCAs: pool}
	if proof != nil {
		cfg.Certificates = []tls.Certificate{*proof}
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{&http.Client{Transport: transport}, s.port}
}

// send sends reviews to the port itself. Between two of them is what an API server
// needs at least to read an object of that size.
func (s *storm) send(ctx context.Context, c *client, who string, reviews [][]byte, worker int) {
	for i := worker; ctx.Err() == nil; i += attackers {
		resp, err := c.raw(ctx, reviews[i%len(reviews)])
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.count(who, answer{message: err.Error()})
		case resp.Allowed:
			s.count(who, answer{status: http.StatusOK})
		default:
			s.count(who, answer{status: int(resp.Result.Code), message: resp.Result.Message})
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// raw sends a review and returns the answer.
func (c *client) raw(ctx context.Context, review []byte) (*admissionv1.AdmissionResponse, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.host+"/validate?timeout=3s", bytes.NewReader(review))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &out); err != nil || out.Response == nil {
		return nil, fmt.Errorf("%s: %.200s", resp.Status, body)
	}
	if out.Response.Result == nil {
		out.Response.Result = new(metav1.Status)
	}
	return out.Response, nil
}

// ask sends the port what another API server sends it, which nobody attacks, when a
// tenant writes an entry: how long the server itself keeps others waiting.
func (s *storm) ask(ctx context.Context, c *client, i int) {
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		host := fmt.Sprintf("asked-%d.tenant%d.example", n, i)
		began := time.Now()
		resp, err := c.raw(ctx, fmt.Appendf(nil, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":%q,
"kind":{"group":"networking.istio.io","version":"v1","kind":"ServiceEntry"},"resource":{"group":"networking.istio.io","version":"v1","resource":"serviceentries"},
"name":"asked","namespace":%q,"operation":"CREATE","userInfo":{"username":"user-%d","groups":["tenants","system:authenticated"]},"dryRun":true,
"object":{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"asked","namespace":%q},
"spec":{"hosts":[%q],"exportTo":["~"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}}}`, host, namespaceOf(i), i, namespaceOf(i), host))
		took := time.Since(began)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.answered = append(s.answered, took)
		switch {
		case err != nil:
			s.refused = append(s.refused, fmt.Sprintf("a review at the port: %v", err))
		case !resp.Allowed:
			s.refused = append(s.refused, "a review at the port: "+resp.Result.Message)
		}
		s.mu.Unlock()
	}
}

// reviewsOf makes reviews of objects, as an API server would.
func reviewsOf(t *testing.T, arms []object) [][]byte {
	t.Helper()
	var out [][]byte
	for i, arm := range arms {
		var o struct {
			APIVersion, Kind string
		}
		if err := json.Unmarshal(arm.raw, &o); err != nil {
			t.Fatal(err)
		}
		group, version, ok := strings.Cut(o.APIVersion, "/")
		if !ok {
			group, version = "", o.APIVersion
		}
		body, err := json.Marshal(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
			Request: &admissionv1.AdmissionRequest{
				UID:  types.UID(fmt.Sprint("forged-", i)),
				Kind: metav1.GroupVersionKind{Group: group, Version: version, Kind: o.Kind},
				Name: "hostile", Namespace: hostiletest.Namespace, Operation: admissionv1.Create,
				UserInfo: authenticationv1.UserInfo{Username: "mallory", Groups: []string{"tenants", "system:authenticated"}},
				Object:   runtime.RawExtension{Raw: arm.raw},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, body)
	}
	return out
}

// live is what an ordinary tenant does: it writes an entry, a route and a pod,
// changes the entry, and takes all away again.
func (s *storm) live(ctx context.Context, c *client, i int) {
	ns := namespaceOf(i)
	at := func(group, resource string) string { return group + "/namespaces/" + ns + "/" + resource }
	entries, routes, pods := at("/apis/networking.istio.io/v1", "serviceentries"), at("/apis/networking.istio.io/v1", "virtualservices"), at("/api/v1", "pods")
	step := func(method, path, body string) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		a := c.do(ctx, method, path, []byte(body))
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.took = append(s.took, a.took)
		if a.status >= 300 || a.status == 0 {
			if a.status == 0 || a.status == http.StatusNotFound { // as what was to create it got no answer
				s.lost = append(s.lost, fmt.Sprintf("%s %s: %s", method, path, a))
			} else {
				s.refused = append(s.refused, fmt.Sprintf("%s %s: %s", method, path, a))
			}
		}
	}
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("%s-%d", s.name, n)
		step(http.MethodPost, entries, fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":%q},
"spec":{"hosts":["%s.tenant%d.example"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}`, name, name, i))
		step(http.MethodPost, routes, fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":%q},
"spec":{"hosts":["reviews"],"http":[{"timeout":"5s","route":[{"destination":{"host":"reviews"}}]}]}}`, name))
		step(http.MethodPost, pods, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"labels":{"app":"reviews"}},"spec":{"containers":[{"name":"app","image":"app"}]}}`, name))
		step(http.MethodPatch, entries+"/"+name, `{"metadata":{"labels":{"changed":"yes"}}}`)
		for _, path := range []string{pods, routes, entries} {
			step(http.MethodDelete, path+"/"+name, `{"gracePeriodSeconds":0}`)
		}
	}
}

func namespaceOf(i int) string { return fmt.Sprint("team-", i) }

// outcomes are what the answers mean, by what they say.
var outcomes = []struct{ says, means string }{
	{"try again", "turned away: its fair share was in hand"},
	{"could not judge in time", "not judged in time (watchdog)"},
	{"deadline exceeded", "not judged in time"},
	{"too large", "too large to judge"},
	{"must not be written like this", "denied by a rule"},
	{"could not judge", "could not be judged"},
	{"failed calling webhook", "the API server gave up waiting"},
	{"too many requests", "turned away by the API server"},
	{"is invalid", "invalid to the API server"},
}

func (s *storm) count(who string, a answer) {
	means := fmt.Sprintf("other (%d)", a.status)
	if a.status >= 200 && a.status < 300 {
		means = "allowed"
	} else {
		for _, o := range outcomes {
			if strings.Contains(strings.ToLower(a.message), strings.ToLower(o.says)) {
				means = o.means
				break
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[who+": "+means]++
	if strings.HasPrefix(means, "other") && s.outcomes[who+": "+means] == 1 {
		fmt.Fprintf(os.Stderr, "%s: %s\n", who, a)
	}
}

// percentile is that of sorted times; 0 of none.
func percentile(took []time.Duration, p int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return took[(len(took)-1)*p/100]
}

// sorted are the outcomes, the most frequent first.
func (s *storm) sorted() []string {
	return slices.SortedFunc(maps.Keys(s.outcomes), func(a, b string) int {
		if d := s.outcomes[b] - s.outcomes[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}
