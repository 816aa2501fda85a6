package gather

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/doctor"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// server is an API server that answers GET with what it was given, and fails
// the test where it is asked for anything that would leave a trace.
type server struct {
	t       *testing.T
	answers map[string]string        // body by path, with ?continue= where there is one
	refused map[string]metav1.Status // by path
	create  func(body string) (int, string)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Query().Get("dryRun") != "All" || s.create == nil {
			s.t.Errorf("%s %s is not a dry run", r.Method, r.URL)
		}
		status, answer := s.create(string(body))
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
		return
	}
	path := r.URL.Path
	if status, ok := s.refused[path]; ok {
		w.WriteHeader(int(status.Code))
		_ = json.NewEncoder(w).Encode(status)
		return
	}
	if next := r.URL.Query().Get("continue"); next != "" {
		path += "?continue=" + next
	}
	if body, ok := s.answers[path]; ok {
		fmt.Fprint(w, body)
		return
	}
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(failure(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource"))
}

func failure(code int32, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: code, Reason: reason, Message: message}
}

func (s *server) start() *rest.Config {
	srv := httptest.NewServer(s)
	s.t.Cleanup(srv.Close)
	return &rest.Config{Host: srv.URL}
}

// empty answers every list with nothing.
func empty(f *doctor.Facts) map[string]string {
	answers := map[string]string{"/version": `{}`}
	for _, q := range f.Queries() {
		if q.Name == "" {
			answers[q.Paths()[0]] = `{"kind":"List","items":[]}`
		}
	}
	return answers
}

func facts() *doctor.Facts {
	return doctor.NewFacts(mesh.DefaultSettings(), "sallyport-system", "sallyport-webhook", time.Now())
}

func statuses(f *doctor.Facts, names ...string) map[string]string {
	out := map[string]string{}
	for _, o := range doctor.Run(doctor.All, f) {
		for _, n := range names {
			if o.Name == n {
				out[n] = string(o.Status) + ": " + o.Results[0].Message
			}
		}
	}
	return out
}

func TestFill(t *testing.T) {
	f := facts()
	s := &server{t: t, answers: empty(f), refused: map[string]metav1.Status{
		"/apis/apps/v1/daemonsets": failure(http.StatusForbidden, metav1.StatusReasonForbidden, `daemonsets.apps is forbidden: User "x" cannot list it`),
	}}
	// Two pages, whose items have no kind, as API servers answer.
	s.answers["/api/v1/namespaces"] = `{"kind":"NamespaceList","metadata":{"continue":"more"},"items":[{"metadata":{"name":"a"}}]}`
	s.answers["/api/v1/namespaces?continue=more"] = `{"kind":"NamespaceList","metadata":{},"items":[{"metadata":{"name":"b","labels":{"sallyport.io/mode":"off"}}}]}`
	// A kind that is served in an older version only, and one that is not.
	delete(s.answers, "/apis/networking.istio.io/v1/sidecars")
	s.answers["/apis/networking.istio.io/v1beta1/sidecars"] = `{"items":[{"apiVersion":"networking.istio.io/v1beta1","kind":"Sidecar","metadata":{"namespace":"a","name":"s"},"spec":{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}]}`
	delete(s.answers, "/apis/gateway.networking.k8s.io/v1/tcproutes")
	// A built-in kind that is not served is a riddle, not an absence.
	delete(s.answers, "/api/v1/nodes")
	s.answers["/api/v1/pods"] = `{"items":[{"metadata":{"namespace":"sallyport-system","name":"w"},"spec":{"serviceAccountName":"sallyport-webhook","volumes":[{"name":"c","secret":{"secretName":"cert"}}],"containers":[]}}]}`
	s.refused["/api/v1/namespaces/sallyport-system/secrets/cert"] = failure(http.StatusForbidden, metav1.StatusReasonForbidden, "no secrets")
	// What nobody can decode.
	s.answers["/apis/networking.istio.io/v1/serviceentries"] = `{"items":[{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"a","name":"s"},"spec":{"hosts":7}}]}`

	c, err := New(t.Context(), s.start())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Fill(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"namespace-modes":         "fail: nothing is judged here",
		"sidecar-outbound":        "fail: mode ALLOW_ANY lets namespace a reach every host that nobody registered, directly",
		"network-policy-enforced": `unknown: DaemonSet objects cannot be read: daemonsets.apps is forbidden: User "x" cannot list it`,
		"gateway-nodes":           "unknown: Node objects cannot be read: the API server does not serve it",
		"held-entries":            "unknown: ServiceEntry objects cannot be read: ServiceEntry/a/s: ServiceEntry/a/s: spec.hosts: a number cannot be used here, want []string",
		"gateway-service":         "fail: the egress gateway istio-egressgateway has no Service",
	}
	got := statuses(f, "namespace-modes", "sidecar-outbound", "network-policy-enforced", "gateway-nodes", "held-entries", "gateway-service")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := f.SecretQueries(); len(got) != 1 || got[0].Name != "cert" {
		t.Errorf("SecretQueries: %v", got)
	}
}

func TestNew(t *testing.T) {
	for name, s := range map[string]struct {
		status metav1.Status
		want   string
	}{
		"unknown user":                {failure(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized"), "does not know the user"},
		"may not ask for the version": {failure(http.StatusForbidden, metav1.StatusReasonForbidden, "no"), ""},
	} {
		srv := &server{t: t, refused: map[string]metav1.Status{"/version": s.status}}
		_, err := New(t.Context(), srv.start())
		if (err == nil) != (s.want == "") || err != nil && !strings.Contains(err.Error(), s.want) {
			t.Errorf("%s: %v, want %q", name, err, s.want)
		}
	}
	if _, err := New(t.Context(), &rest.Config{Host: "http://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestProbe(t *testing.T) {
	status := func(code int32, reason metav1.StatusReason, message string) (int, string) {
		b, err := json.Marshal(failure(code, reason, message))
		if err != nil {
			t.Fatal(err)
		}
		return int(code), string(b)
	}
	for _, tt := range []struct {
		name   string
		create func(string) (int, string)
		want   string // of webhook-answers
	}{
		{"answers", func(body string) (int, string) {
			if strings.Contains(body, "sallyport-0000") {
				return status(http.StatusForbidden, metav1.StatusReasonForbidden, `admission webhook "validate.sallyport.io" denied the request: reserved`)
			}
			return http.StatusCreated, `{"metadata":{"annotations":{"sallyport.io/export-to":"."}}}`
		}, "pass"},
		{"may not write", func(string) (int, string) {
			return status(http.StatusForbidden, metav1.StatusReasonForbidden, `serviceentries.networking.istio.io is forbidden: User "x" cannot create resource`)
		}, "unknown"},
		{"away", func(string) (int, string) {
			return status(http.StatusInternalServerError, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "validate.sallyport.io": connection refused`)
		}, "fail"},
	} {
		f := facts()
		s := &server{t: t, answers: empty(f), create: tt.create}
		c, err := New(t.Context(), s.start())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Probe(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if got := statuses(f, "webhook-answers")["webhook-answers"]; !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestConfiguration(t *testing.T) {
	const pods = "/api/v1/namespaces/sallyport-system/pods"
	pod := `{"items":[{"spec":{"containers":[{"args":["--config","/etc/c/config.yaml"],"volumeMounts":[{"name":"v","mountPath":"/etc/c/"}]}],
"volumes":[{"name":"v","configMap":{"name":"sallyport-config-7"}}]}}]}`
	for _, tt := range []struct {
		name           string
		answers        map[string]string
		source, failed string
	}{
		{"mounted", map[string]string{
			pods: pod, "/api/v1/namespaces/sallyport-system/configmaps/sallyport-config-7": `{"data":{"config.yaml":"kind: Config"}}`,
		}, "ConfigMap sallyport-system/sallyport-config-7, config.yaml", ""},
		{"without the key", map[string]string{
			pods: pod, "/api/v1/namespaces/sallyport-system/configmaps/sallyport-config-7": `{"data":{}}`,
		}, "", "has no config.yaml"},
		{"no pod", map[string]string{pods: `{"items":[]}`}, "", "no pod of namespace sallyport-system runs as sallyport-webhook with a configuration"},
		{"not served", nil, "", "could not find"},
	} {
		s := &server{t: t, answers: tt.answers}
		c, err := New(t.Context(), s.start())
		if err != nil {
			t.Fatal(err)
		}
		source, data, err := c.Configuration(t.Context(), "sallyport-system", "sallyport-webhook")
		if source != tt.source || (err == nil) != (tt.failed == "") || err != nil && !strings.Contains(err.Error(), tt.failed) {
			t.Errorf("%s: %q, %q, %v", tt.name, source, data, err)
		}
		if err == nil && string(data) != "kind: Config" {
			t.Errorf("%s: %q", tt.name, data)
		}
	}
}
