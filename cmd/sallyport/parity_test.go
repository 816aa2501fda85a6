package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/decisionlog"
	"github.com/sallyport-io/sallyport/internal/gen"
	"github.com/sallyport-io/sallyport/internal/hostiletest"
	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
	"github.com/sallyport-io/sallyport/webhook"
)

var parityMeshes = flag.Int("parity-meshes", 30, "how many random meshes to put to the server and the command line")

// answer is what one of the two says about an object: the same words in the same form.
type answer struct {
	allowed  bool
	findings []string // "severity rule path: message", sorted
	failure  string   // why it could not be judged
	held     bool     // the server holds the entry back
}

func (a answer) String() string {
	return fmt.Sprintf("allowed %t %s\n  %s", a.allowed, a.failure, strings.Join(a.findings, "\n  "))
}

// builtin are the rules about how a file is written, which no server sees.
var builtin = func() (names []string) {
	for _, r := range report.Builtin {
		names = append(names, r.Name)
	}
	return names
}()

func (a *answer) add(severity rules.Severity, rule, path, message string) {
	if severity == rules.Audit {
		severity = rules.Info // the review document has three severities
	}
	if !slices.Contains(builtin, rule) {
		a.findings = append(a.findings, fmt.Sprintf("%s %s %s: %s", severity, rule, path, message))
	}
}

// server is the admission server with some objects in its cluster, at both entries as the
// API server calls them.
func server(t *testing.T, settings mesh.Settings, state ...[]byte) func(object []byte) answer {
	t.Helper()
	var objects []mesh.Object
	for _, raw := range state {
		if o, err := mesh.Decode(raw); err == nil {
			objects = append(objects, o)
		}
	}
	m := mesh.New(settings, objects...)
	metrics, err := webhook.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	mask, err := decisionlog.NewMask(nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(object []byte) (a answer) {
		t.Helper()
		var log bytes.Buffer
		decisions := decisionlog.New(&log, mask, false, metrics.LostDecisions, logr.Discard())
		mux := http.NewServeMux()
		webhook.Register(ctrlwebhook.NewServer(ctrlwebhook.Options{WebhookMux: mux}), webhook.Options{
			Mesh: func() *mesh.Mesh { return m }, Ready: func() error { return nil },
			Judge: func() *review.Judge { return &review.Judge{Rules: rules.All} },
			User:  "system:serviceaccount:sallyport-system:sallyport-webhook", Now: time.Now, Metrics: metrics, Decisions: decisions, Log: logr.Discard(),
		})
		if mutated := call(t, mux, webhook.MutatePath, object); len(mutated.Patch) > 0 {
			var ops []review.PatchOp
			if err := json.Unmarshal(mutated.Patch, &ops); err != nil {
				t.Fatal(err)
			}
			if object, err = review.Patched(object, ops); err != nil {
				t.Fatal(err)
			}
		}
		if o, err := mesh.Decode(object); err == nil {
			entry, ok := o.(*mesh.ServiceEntry)
			a.held = ok && entry.Held()
		}
		got := call(t, mux, webhook.ValidatePath, object)
		decisions.Close()
		a.allowed = got.Allowed
		var d decisionlog.Decision
		if err := json.Unmarshal(log.Bytes(), &d); err != nil {
			t.Fatalf("the decision log has %q: %v", log.Bytes(), err)
		}
		for _, f := range d.Findings {
			a.add(f.Severity, f.Rule, f.Path, f.Message)
		}
		a.failure = d.Error
		slices.Sort(a.findings)
		return a
	}
}

// call sends a review of a CREATE and returns the answer.
func call(t *testing.T, h http.Handler, path string, object []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	var head metav1.PartialObjectMetadata
	if err := json.Unmarshal(object, &head); err != nil {
		t.Fatal(err)
	}
	gvk := head.GroupVersionKind()
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Kind: metav1.GroupVersionKind(gvk), Namespace: head.Namespace, Name: head.Name, Operation: admissionv1.Create,
			Resource: metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"},
			Object:   runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path+"?timeout=30s", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || out.Response == nil {
		t.Fatalf("HTTP %d: %s: %v", rec.Code, rec.Body, err)
	}
	return out.Response
}

// commandLine reviews some objects with others in the state, and returns what is said of
// each, by its kind, namespace and name.
func commandLine(t *testing.T, state, objects [][]byte) (map[string]answer, error) {
	t.Helper()
	args := []string{"review", "-o", "json"}
	write := func(name string, objects [][]byte) string {
		path := filepath.Join(t.TempDir(), name)
		list := slices.Concat([]byte(`{"apiVersion":"v1","kind":"List","items":[`), bytes.Join(objects, []byte(",\n")), []byte("]}"))
		if err := os.WriteFile(path, list, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if len(state) > 0 {
		args = append(args, "--state", write("state.json", state))
	}
	args = append(args, write("objects.json", objects))
	var out bytes.Buffer
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(new(bytes.Buffer))
	err := cmd.ExecuteContext(t.Context())
	if err != nil && !errors.Is(err, errDenied) {
		return nil, err
	}
	var r report.Review
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	answers := map[string]answer{}
	for _, o := range r.Objects {
		a := answer{allowed: o.Verdict != report.Deny}
		for _, f := range o.Findings {
			a.add(f.Severity, f.Rule, f.Path, f.Message)
		}
		slices.Sort(a.findings)
		answers[o.Kind+"/"+o.Namespace+"/"+o.Name] = a
	}
	return answers, nil
}

// disagreement says in what the two differ, if they do. Of an entry that the server holds
// back the command line says what becomes of it once it is opened, which the server lets
// nobody see.
func disagreement(server, commandLine answer) string {
	if server.String() == commandLine.String() || server.held && (server.allowed || !commandLine.allowed) {
		return ""
	}
	return fmt.Sprintf("server: %.2000v\ncommand line: %.2000v", server, commandLine)
}

// TestParityOfMeshes: of every object of a random mesh, with the others there, the server
// and the command line say the same, word for word. Of all of them together the command
// line says no less of what leads past the gateway.
func TestParityOfMeshes(t *testing.T) {
	cfg, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	judged, denied, unread := 0, 0, 0
	for seed := range uint64(*parityMeshes) {
		var all [][]byte
		var names []string
		for _, o := range gen.New(seed) {
			raw, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			// What an API server with Istio refuses never comes to ours.
			read, err := manifest.Reader{Stdin: bytes.NewReader(raw)}.Read(t.Context(), "-")
			if err != nil {
				unread++
				continue
			}
			all = append(all, read[0].Raw)
			names = append(names, read[0].Kind+"/"+read[0].Namespace+"/"+read[0].Name)
		}
		together, err := commandLine(t, nil, all)
		if err != nil {
			t.Fatalf("mesh %d: %v", seed, err)
		}
		leads := false
		for i, object := range all {
			others := slices.Delete(slices.Clone(all), i, i+1)
			theirs := server(t, cfg.Settings(), others...)(object)
			ours, err := commandLine(t, others, [][]byte{object})
			if err != nil {
				t.Fatalf("mesh %d, %s: %v", seed, names[i], err)
			}
			if judged++; !theirs.allowed {
				denied++
			}
			if d := disagreement(theirs, ours[names[i]]); d != "" {
				t.Errorf("mesh %d, %s:\n%s", seed, names[i], d)
			}
			leads = leads || slices.ContainsFunc(theirs.findings, func(f string) bool { return strings.HasPrefix(f, "deny direct-path") })
		}
		// Whose mistake it is may be seen otherwise where all come at once.
		if leads && !slices.ContainsFunc(slices.Collect(maps.Values(together)), func(a answer) bool { return !a.allowed }) {
			t.Errorf("mesh %d: an object of it is denied for a direct path, and all of them together are not", seed)
		}
	}
	t.Logf("%d objects, %d denied, %d that Istio refuses", judged, denied, unread)
	if judged < 100 || denied < judged/50 || denied == judged {
		t.Errorf("%d of %d objects are denied: nothing is compared", denied, judged)
	}
}

// TestParityOfLargeObjects: what is too large or too dear to judge is so for both, and for
// the same reason.
func TestParityOfLargeObjects(t *testing.T) {
	cfg, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	state := [][]byte{[]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"attacker","labels":{"istio-injection":"enabled"}}}`)}
	ask := server(t, cfg.Settings(), state...)
	judged, failed := 0, 0
	for o := range hostiletest.Objects(60_000, false) {
		if _, err := (manifest.Reader{Stdin: bytes.NewReader(o.JSON)}).Read(t.Context(), "-"); err != nil {
			continue
		}
		theirs := ask(o.JSON)
		if strings.HasSuffix(theirs.failure, "nothing is judged there") {
			continue // no API server sends these
		}
		judged++
		ours, err := commandLine(t, state, [][]byte{o.JSON})
		switch {
		case strings.HasPrefix(theirs.failure, "could not judge in time"), strings.Contains(theirs.failure, "deadline exceeded"): // the machine is slow
		case theirs.failure != "" || err != nil:
			failed++
			if err == nil || !strings.Contains(err.Error(), theirs.failure) || theirs.allowed {
				t.Errorf("%s: the server says %.300q, and the command line %v", o.Name(), theirs.failure, err)
			}
		default:
			for _, got := range ours {
				if d := disagreement(theirs, got); d != "" {
					t.Errorf("%s:\n%s", o.Name(), d)
				}
			}
		}
	}
	t.Logf("%d objects, %d not judged", judged, failed)
	if judged < 50 {
		t.Errorf("%d objects are compared", judged)
	}
}
