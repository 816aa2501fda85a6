package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

const ownUser = "system:serviceaccount:sallyport-system:sallyport-webhook"

// testRules say what the host of a ServiceEntry asks them to say.
var testRules = []*rules.Rule{{
	Name: "by-host", Doc: "do what the host says", Severity: rules.Deny, Kinds: []string{"ServiceEntry"},
	Operations: []string{"CREATE", "UPDATE", "DELETE"},
	Check: func(ctx context.Context, p *rules.Pass) error {
		se := p.Subject.(*mesh.ServiceEntry)
		switch host := se.Hosts[0]; host {
		case "denied.example.com":
			p.Report(rules.Finding{Path: "spec.hosts[0]", Told: "this host is not for you", ToldFix: "spec:\n  hosts:\n  - allowed.example.com\n"})
			p.Report(rules.Finding{Severity: rules.Warn, Path: "spec.ports[0]", Told: "and look at the port"})
		case "warned.example.com":
			p.Report(rules.Finding{Severity: rules.Info, Path: "spec", Told: "for those who ask"})
			p.Report(rules.Finding{Severity: rules.Warn, Path: "spec.hosts[0]", Told: "think again"})
		case "failing.example.com":
			return errors.New("no answer from the oracle")
		case "panicking.example.com":
			panic("the rule has a bug")
		case "slow.example.com":
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	},
}}

func options(t testing.TB, objects ...mesh.Object) Options {
	t.Helper()
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	m := mesh.New(mesh.DefaultSettings(), objects...)
	return Options{
		Mesh:    func() *mesh.Mesh { return m },
		Ready:   func() error { return nil },
		Judge:   func() *review.Judge { return &review.Judge{Rules: testRules} },
		User:    ownUser,
		Now:     func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) },
		Metrics: metrics,
		Log:     logr.Discard(),
	}
}

func entry(name, host string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"shop","name":%q},
		"spec":{"hosts":[%q],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}`, name, host)
}

// request makes the review of a CREATE of a ServiceEntry; change changes it.
func request(object string, change ...func(*admissionv1.AdmissionRequest)) *admissionv1.AdmissionRequest {
	r := &admissionv1.AdmissionRequest{
		UID:       "7f1c",
		Kind:      metav1.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"},
		Resource:  metav1.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
		Namespace: "shop",
		Name:      "api",
		Operation: admissionv1.Create,
		UserInfo:  authenticationv1.UserInfo{Username: "alice"},
		Object:    runtime.RawExtension{Raw: []byte(object)},
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func body(t testing.TB, version string, r *admissionv1.AdmissionRequest) string {
	t.Helper()
	b, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/" + version, Kind: "AdmissionReview"},
		Request:  r,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// post sends a body to one entry, as the API server does, and returns the
// answer.
func post(t testing.TB, o Options, path, body string) *admissionv1.AdmissionReview {
	t.Helper()
	h := NewValidator(o)
	if path == MutatePath {
		h = NewMutator(o)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path+"?timeout=300ms", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	timed(overHTTP(h, newGates(false), o.Log)).ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Fatalf("HTTP status %d: %s", rec.Code, rec.Body)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &review); err != nil {
		t.Fatalf("answer %s: %v", rec.Body, err)
	}
	if review.Response == nil {
		t.Fatalf("answer without a response: %s", rec.Body)
	}
	return &review
}

func TestValidate(t *testing.T) {
	dryRun := func(r *admissionv1.AdmissionRequest) { r.DryRun = new(true) }
	as := func(user string) func(*admissionv1.AdmissionRequest) {
		return func(r *admissionv1.AdmissionRequest) { r.UserInfo.Username = user }
	}
	named := func(name string) func(*admissionv1.AdmissionRequest) {
		return func(r *admissionv1.AdmissionRequest) { r.Name = name }
	}
	deleted := func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.OldObject, r.Object = admissionv1.Delete, r.Object, runtime.RawExtension{}
	}
	own := companion.Key("api.example.com")

	tests := []struct {
		name     string
		request  *admissionv1.AdmissionRequest
		allowed  bool
		code     int32
		message  []string // substrings, in order
		warnings []string
		verdict  string
	}{
		{
			name: "good", request: request(entry("api", "good.example.com")),
			allowed: true, code: 200, verdict: "allow",
		}, {
			name: "denied", request: request(entry("api", "denied.example.com")),
			code: 403, verdict: "deny",
			message: []string{
				"ServiceEntry/shop/api", "spec.hosts[0]: this host is not for you", "[by-host]",
				"fix: |", "    spec:\n      hosts:\n      - allowed.example.com", "decision ",
			},
			warnings: []string{"[by-host] spec.ports[0]: and look at the port"},
		}, {
			name: "denied in a dry run as well", request: request(entry("api", "denied.example.com"), dryRun),
			code: 403, verdict: "deny", message: []string{"this host is not for you"},
			warnings: []string{"[by-host] spec.ports[0]: and look at the port"},
		}, {
			name: "warned", request: request(entry("api", "warned.example.com")),
			allowed: true, code: 200, verdict: "warn",
			warnings: []string{"[by-host] spec.hosts[0]: think again"},
		}, {
			name: "delete is judged by the object that goes", request: request(entry("api", "denied.example.com"), deleted),
			code: 403, verdict: "deny", message: []string{"this host is not for you"},
			warnings: []string{"[by-host] spec.ports[0]: and look at the port"},
		}, {
			name: "a rule that fails", request: request(entry("api", "failing.example.com")),
			code: 500, verdict: "error", message: []string{"could not judge", "rule by-host failed", "(decision "},
		}, {
			name: "a rule that panics", request: request(entry("api", "panicking.example.com")),
			code: 500, verdict: "error", message: []string{"could not judge", "rule by-host failed"},
		}, {
			name: "a rule that is too slow", request: request(entry("api", "slow.example.com")),
			code: 500, verdict: "error", message: []string{"could not judge", "deadline exceeded"},
		}, {
			name: "object is no JSON", request: request(`"just a string"`),
			code: 500, verdict: "error", message: []string{"could not judge", "object"},
		}, {
			name:    "host is no host",
			request: request(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"shop","name":"api"},"spec":{"hosts":[{"a":1}]}}`),
			code:    500, verdict: "error", message: []string{"could not judge", "spec.hosts"},
		}, {
			name:    "object of another kind than the review's",
			request: request(`{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"namespace":"shop","name":"api"}}`),
			code:    500, verdict: "error", message: []string{"the review is about ServiceEntry/shop/api and holds Sidecar/shop/api"},
		}, {
			name: "object of another namespace than the review's", request: request(entry("api", "good.example.com"), func(r *admissionv1.AdmissionRequest) { r.Namespace = "istio-system" }),
			code: 500, verdict: "error", message: []string{"the review is about ServiceEntry/istio-system/api and holds ServiceEntry/shop/api"},
		}, {
			name:    "object without kind",
			request: request(`{"metadata":{"namespace":"shop","name":"api"}}`),
			code:    500, verdict: "error", message: []string{"could not judge", "kind"},
		}, {
			name: "a companion's status, by istiod",
			request: request(entry(companion.Key("allowed.example.com"), "allowed.example.com"), func(r *admissionv1.AdmissionRequest) {
				r.Namespace, r.Name, r.SubResource = "istio-system", companion.Key("allowed.example.com"), "status"
				r.Operation, r.OldObject = admissionv1.Update, r.Object
				r.UserInfo.Username = "system:serviceaccount:istio-system:istiod"
			}),
			allowed: true, code: 200, verdict: "allow",
		}, {
			name: "a companion's status, by a tenant",
			request: request(entry(companion.Key("allowed.example.com"), "allowed.example.com"), func(r *admissionv1.AdmissionRequest) {
				r.Namespace, r.Name, r.SubResource = "istio-system", companion.Key("allowed.example.com"), "status"
				r.Operation, r.OldObject = admissionv1.Update, r.Object
			}),
			code: 403, verdict: "deny", message: []string{"reserved-companion"},
		}, {
			name:    "unknown object in a review about a known kind",
			request: request(`{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":"shop","name":"api"}}`),
			code:    500, verdict: "error", message: []string{"the review is about a ServiceEntry and holds a Secret"},
		}, {
			name: "a kind that the model does not hold",
			request: request(`{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":"shop","name":"api"}}`, func(r *admissionv1.AdmissionRequest) {
				r.Kind = metav1.GroupVersionKind{Version: "v1", Kind: "Secret"}
				r.Resource = metav1.GroupVersionResource{Version: "v1", Resource: "secrets"}
			}),
			allowed: true, code: 200, verdict: "allow",
			warnings: []string{"sallyport does not know the kind Secret and has not judged the object"},
		}, {
			name: "a subresource that is known to be harmless",
			request: request(`{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"namespace":"shop","name":"api"}}`, func(r *admissionv1.AdmissionRequest) {
				r.Kind = metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
				r.Resource, r.SubResource = metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "scale"
			}),
			allowed: true, code: 200, verdict: "allow",
			warnings: []string{"sallyport does not know the kind Scale and has not judged the object"},
		}, {
			name: "a subresource that nobody knows",
			request: request(`{"apiVersion":"example.com/v1","kind":"Teleport","metadata":{"namespace":"shop","name":"api"}}`, func(r *admissionv1.AdmissionRequest) {
				r.Kind = metav1.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Teleport"}
				r.Resource, r.SubResource = metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, "teleport"
			}),
			code: 500, verdict: "error", message: []string{"the subresource pods/teleport is neither judged nor known to be harmless"},
		}, {
			name: "an object that a judged subresource does not hold",
			request: request(`{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"namespace":"shop","name":"api"}}`, func(r *admissionv1.AdmissionRequest) {
				r.Kind = metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
				r.Resource, r.SubResource = metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, "status"
			}),
			code: 500, verdict: "error", message: []string{"a review of pods/status holds a Scale, and Pod is judged there"},
		}, {
			name:    "an object of a kind that is judged elsewhere",
			request: request(entry("api", "good.example.com"), func(r *admissionv1.AdmissionRequest) { r.SubResource = "scale" }),
			code:    500, verdict: "error", message: []string{"the subresource networking.istio.io/serviceentries/scale is neither judged"},
		}, {
			name: "create without object", request: request("", func(r *admissionv1.AdmissionRequest) { r.Object.Raw = nil }),
			code: 500, verdict: "error", message: []string{"has no request.object"},
		}, {
			name: "update without old object", request: request(entry("api", "good.example.com"), func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }),
			code: 500, verdict: "error", message: []string{"has no request.oldObject"},
		}, {
			name: "connect", request: request(entry("api", "good.example.com"), func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Connect }),
			code: 500, verdict: "error", message: []string{`operation is "CONNECT"`},
		}, {
			name: "no operation", request: request(entry("api", "good.example.com"), func(r *admissionv1.AdmissionRequest) { r.Operation = "" }),
			code: 500, verdict: "error", message: []string{`operation is ""`},
		}, {
			name: "companion written by somebody", request: request(entry(own, "good.example.com"), named(own)),
			code: 403, verdict: "deny", message: []string{"metadata.name", `user "alice" may not`, "fix: change the ServiceEntry"},
		}, {
			name: "companion deleted by somebody", request: request(entry(own, "good.example.com"), named(own), deleted),
			code: 403, verdict: "deny", message: []string{"reserved-companion"},
		}, {
			name: "companion written by Sallyport", request: request(entry(own, "denied.example.com"), named(own), as(ownUser)),
			allowed: true, code: 200, verdict: "allow",
		}, {
			name: "companion collected by Kubernetes", request: request(entry(own, "good.example.com"), named(own), deleted, as("system:serviceaccount:kube-system:generic-garbage-collector")),
			allowed: true, code: 200, verdict: "allow",
		}, {
			name: "companion created by Kubernetes", request: request(entry(own, "good.example.com"), named(own), as("system:serviceaccount:kube-system:generic-garbage-collector")),
			code: 403, verdict: "deny", message: []string{"reserved-companion"},
		}, {
			name: "AuthorizationPolicy of Sallyport changed by somebody",
			request: request(`{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"namespace":"istio-system","name":"`+own+`"},"spec":{}}`,
				named(own), func(r *admissionv1.AdmissionRequest) {
					r.Namespace = "istio-system"
					r.Kind = metav1.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "AuthorizationPolicy"}
				}),
			code: 403, verdict: "deny", message: []string{"reserved-companion", "fix: change the ServiceEntry"},
		}, {
			name: "NetworkPolicy of Sallyport deleted by somebody",
			request: request(`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"namespace":"shop","name":"`+netpol.EgressName+`"},"spec":{"podSelector":{}}}`,
				named(netpol.EgressName), deleted, func(r *admissionv1.AdmissionRequest) {
					r.Kind = metav1.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"}
				}),
			code: 403, verdict: "deny", message: []string{"reserved-companion", "sallyport.io/network-policy=enabled"},
		}, {
			name: "Sallyport's account is judged like any other otherwise", request: request(entry("api", "denied.example.com"), as(ownUser)),
			code: 403, verdict: "deny", message: []string{"this host is not for you"},
			warnings: []string{"[by-host] spec.ports[0]: and look at the port"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t)
			review := post(t, o, ValidatePath, body(t, "v1", tt.request))
			resp := review.Response
			if resp.Allowed != tt.allowed || resp.Result.Code != tt.code {
				t.Errorf("allowed %v with code %d, want %v with %d: %s", resp.Allowed, resp.Result.Code, tt.allowed, tt.code, resp.Result.Message)
			}
			if resp.UID != tt.request.UID {
				t.Errorf("uid %q, want %q", resp.UID, tt.request.UID)
			}
			rest := resp.Result.Message
			for _, want := range tt.message {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Errorf("message lacks %q (in this order):\n%s", want, resp.Result.Message)
					break
				}
				rest = after
			}
			if d := cmp.Diff(tt.warnings, resp.Warnings); d != "" {
				t.Errorf("warnings (-want +got):\n%s", d)
			}
			if got := resp.AuditAnnotations["verdict"]; got != tt.verdict {
				t.Errorf("audit annotation verdict = %q, want %q", got, tt.verdict)
			}
			if id := resp.AuditAnnotations["decision"]; len(id) != 36 || !resp.Allowed && !strings.Contains(resp.Result.Message, "decision "+id) {
				t.Errorf("audit annotation decision = %q is not that of the message:\n%s", id, resp.Result.Message)
			}
			if got := testutil.ToFloat64(o.Metrics.answers.WithLabelValues("validate", tt.verdict)); got != 1 {
				t.Errorf("counted %v answers with verdict %s, want 1", got, tt.verdict)
			}
			if tt.allowed == (resp.Result.Details != nil) && tt.code == 403 {
				t.Error("a denial must carry its causes")
			}
		})
	}
}

// TestDenialHasCauses checks what a program reads of a denial.
func TestDenialHasCauses(t *testing.T) {
	resp := post(t, options(t), ValidatePath, body(t, "v1", request(entry("api", "denied.example.com")))).Response
	want := &metav1.StatusDetails{
		Group: "networking.istio.io", Kind: "ServiceEntry", Name: "api",
		Causes: []metav1.StatusCause{{Type: "by-host", Field: "spec.hosts[0]", Message: "this host is not for you"}},
	}
	if d := cmp.Diff(want, resp.Result.Details); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestBadReviews posts what is no proper review at all: nothing of it may be
// allowed, at either entry.
func TestBadReviews(t *testing.T) {
	tests := []struct{ name, body, message string }{
		{"empty", "", "no AdmissionReview"},
		{"not JSON", "{", "unexpected end of JSON input"},
		{"null", "null", "no AdmissionReview"},
		{"another kind", `{"apiVersion":"v1","kind":"Pod"}`, ""},
		{"no request", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, "no AdmissionReview"},
		{"null request", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}`, "no AdmissionReview"},
		{"request of the wrong type", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":[]}`, "cannot unmarshal"},
		{"unknown version", `{"apiVersion":"admission.k8s.io/v7","kind":"AdmissionReview","request":{}}`, ""},
		{"oversized", `{"padding":"` + strings.Repeat("x", 8<<20) + `"}`, "too large"},
		{"deep", strings.Replace(body(t, "v1", request(`"here"`)), `"here"`, strings.Repeat("[", 1<<16)+strings.Repeat("]", 1<<16), 1), "max depth"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := post(t, options(t), ValidatePath, tt.body).Response
			if resp.Allowed || resp.Result.Message == "" || !strings.Contains(resp.Result.Message, tt.message) {
				t.Errorf("allowed %v: %q; want a refusal that says %q", resp.Allowed, resp.Result.Message, tt.message)
			}
			if resp := post(t, options(t), MutatePath, tt.body).Response; resp.Patch != nil {
				t.Errorf("patch %s", resp.Patch)
			}
		})
	}
}

// TestReviewVersions checks that a review is answered in its own version.
func TestReviewVersions(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		for _, host := range []string{"good.example.com", "denied.example.com"} {
			review := post(t, options(t), ValidatePath, body(t, version, request(entry("api", host))))
			if want := "admission.k8s.io/" + version; review.APIVersion != want || review.Kind != "AdmissionReview" {
				t.Errorf("%s is answered by %s %s", want, review.APIVersion, review.Kind)
			}
			if got, want := review.Response.Allowed, host == "good.example.com"; got != want {
				t.Errorf("%s of %s: allowed %v", version, host, got)
			}
		}
	}
}

// TestNotReady has reviews before the mesh is complete: the validator fails
// closed, the mutator open.
func TestNotReady(t *testing.T) {
	o := options(t)
	o.Ready = func() error { return errors.New("the cluster has not been read completely") }
	in := body(t, "v1", request(entry("api", "good.example.com")))
	if resp := post(t, o, ValidatePath, in).Response; resp.Allowed || !strings.Contains(resp.Result.Message, "not been read completely") {
		t.Errorf("validate: allowed %v: %s", resp.Allowed, resp.Result.Message)
	}
	resp := post(t, o, MutatePath, in).Response
	if !resp.Allowed || resp.Patch != nil {
		t.Errorf("mutate: allowed %v, patch %s", resp.Allowed, resp.Patch)
	}
	if d := cmp.Diff([]string{"sallyport filled in no defaults: the cluster has not been read completely"}, resp.Warnings); d != "" {
		t.Errorf("mutate (-want +got):\n%s", d)
	}
}

func TestMutate(t *testing.T) {
	tests := []struct {
		name     string
		request  *admissionv1.AdmissionRequest
		patch    string
		warnings []string
	}{
		{
			name: "a new host is held", request: request(entry("api", "api.example.com")),
			patch: `[{"op":"add","path":"/metadata/annotations","value":{"sallyport.io/export-to":"."}},` +
				`{"op":"add","path":"/spec/exportTo","value":["~"]}]`,
		}, {
			name: "what a client set is left alone",
			request: request(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"shop","name":"api"},
				"spec":{"hosts":["api.example.com"],"exportTo":["."],"ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}`),
		}, {
			name: "Sallyport's own writes are left alone",
			request: request(entry("api", "api.example.com"), func(r *admissionv1.AdmissionRequest) {
				r.UserInfo.Username = ownUser
			}),
		}, {
			name:    "what cannot be read is left to the validator",
			request: request(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"shop","name":"api"},"spec":{"hosts":7}}`),
			warnings: []string{
				"sallyport filled in no defaults: decoding the object: ServiceEntry/shop/api: spec.hosts: a number cannot be used here, want []string",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := post(t, options(t), MutatePath, body(t, "v1", tt.request)).Response
			if !resp.Allowed {
				t.Errorf("refused: %s", resp.Result.Message)
			}
			if d := cmp.Diff(tt.patch, string(resp.Patch)); d != "" {
				t.Errorf("patch (-want +got):\n%s", d)
			}
			if (resp.PatchType != nil) != (tt.patch != "") {
				t.Errorf("patch type %v with patch %q", resp.PatchType, resp.Patch)
			}
			if d := cmp.Diff(tt.warnings, resp.Warnings); d != "" {
				t.Errorf("warnings (-want +got):\n%s", d)
			}
		})
	}
}

// TestMutateFailsOpen checks our own decision: whatever breaks in the mutator,
// the write goes on to the validator.
func TestMutateFailsOpen(t *testing.T) {
	o := options(t)
	o.Mesh = func() *mesh.Mesh { panic("bug") }
	resp := post(t, o, MutatePath, body(t, "v1", request(entry("api", "api.example.com")))).Response
	if !resp.Allowed || len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], "something failed") {
		t.Errorf("allowed %v, warnings %q", resp.Allowed, resp.Warnings)
	}
	if resp := post(t, o, ValidatePath, body(t, "v1", request(entry("api", "api.example.com")))).Response; resp.Allowed {
		t.Error("the validator let through what it could not judge")
	}
}

// TestDryRunTellsThePlan checks that a dry run names what would be created,
// and a real write does not.
func TestDryRunTellsThePlan(t *testing.T) {
	shop := &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}}}
	gateway := &mesh.Service{
		Meta:     mesh.Meta{Ref: mesh.Ref{Kind: "Service", Namespace: "istio-system", Name: "istio-egressgateway"}},
		Selector: map[string]string{"istio": "egressgateway"},
		Ports:    []mesh.K8sServicePort{{Name: "http2", Port: 80, TargetPort: "8080"}, {Name: "https", Port: 443, TargetPort: "8443"}},
	}
	o := options(t, shop, gateway)
	in := request(entry("api", "api.example.com"))
	if got := post(t, o, ValidatePath, body(t, "v1", in)).Response; len(got.Warnings) != 0 || !got.Allowed {
		t.Errorf("a real write: allowed %v with warnings %q", got.Allowed, got.Warnings)
	}
	in.DryRun = new(true)
	resp := post(t, o, ValidatePath, body(t, "v1", in)).Response
	if !resp.Allowed {
		t.Fatalf("refused: %s", resp.Result.Message)
	}
	key := companion.Key("api.example.com")
	for _, want := range []string{
		"would create ServiceEntry istio-system/" + key,
		"would create Gateway istio-system/" + key,
		"would create VirtualService shop/" + key,
	} {
		if !strings.Contains(strings.Join(resp.Warnings, "\n"), want) {
			t.Errorf("the plan lacks %q:\n%s", want, strings.Join(resp.Warnings, "\n"))
		}
	}
}

// FuzzReview posts arbitrary bodies and arbitrary objects: no answer may be a
// panic, and none that is no review may be allowed by the validator.
func FuzzReview(f *testing.F) {
	f.Add(entry("api", "good.example.com"), true)
	f.Add(`{"kind":"ServiceEntry","spec":{"hosts":[]}}`, true)
	f.Add(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"shop","name":"api"},"spec":{"hosts":["\u0000"]}}`, true)
	f.Add("{}", false)
	f.Add(body(f, "v1", request(entry("api", "good.example.com"))), false)
	f.Fuzz(func(t *testing.T, in string, object bool) {
		o := options(t)
		o.Judge = func() *review.Judge { return &review.Judge{Rules: rules.All} }
		if object {
			if !json.Valid([]byte(in)) {
				return
			}
			in = body(t, "v1", request(in))
		}
		resp := post(t, o, ValidatePath, in).Response
		post(t, o, MutatePath, in)
		if !resp.Allowed {
			if resp.Result == nil || resp.Result.Message == "" {
				t.Error("refused without a reason")
			}
			return
		}
		var r admissionv1.AdmissionReview
		if err := json.Unmarshal([]byte(in), &r); err != nil || r.Request == nil {
			t.Errorf("allowed what is no review: %q", in)
		}
	})
}
