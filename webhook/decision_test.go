package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport-io/sallyport/internal/decisionlog"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

// logged answers the reviews, and returns the decision log's lines and the
// answers.
func logged(t *testing.T, o Options, objects bool, requests ...*admissionv1.AdmissionRequest) ([]string, []*admissionv1.AdmissionResponse) {
	t.Helper()
	mask, err := decisionlog.NewMask(decisionlog.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o.Decisions = decisionlog.New(&out, mask, objects, o.Metrics.LostDecisions, o.Log)
	var answers []*admissionv1.AdmissionResponse
	for _, r := range requests {
		answers = append(answers, post(t, o, ValidatePath, body(t, "v1", r)).Response)
	}
	o.Decisions.Close()
	return strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n"), answers
}

func decode(t *testing.T, line string) decisionlog.Decision {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	var out decisionlog.Decision
	if err := d.Decode(&out); err != nil {
		t.Fatalf("line %s: %v", line, err)
	}
	return out
}

func admissionRequest(r *admissionv1.AdmissionRequest) admission.Request {
	return admission.Request{AdmissionRequest: *r}
}

// varying is what differs from run to run.
var varying = regexp.MustCompile(`"decision":"[^"]*"|"durationSeconds":[0-9.e-]+`)

// TestDecisionLog checks a line, whole, and that the documentation shows it.
func TestDecisionLog(t *testing.T) {
	o := options(t)
	o.Judge = func() *review.Judge { return &review.Judge{Rules: testRules, Revision: "4f1d0c2ab9e87731"} }
	lines, answers := logged(t, o, false, request(entry("api", "denied.example.com"), func(r *admissionv1.AdmissionRequest) {
		r.UserInfo.Groups = []string{"dev"}
		r.DryRun = new(true)
	}))
	if len(lines) != 1 {
		t.Fatalf("%d lines, want 1:\n%s", len(lines), lines)
	}
	got := varying.ReplaceAllStringFunc(lines[0], func(s string) string {
		if strings.HasPrefix(s, `"decision"`) {
			return `"decision":"398da0c8-53fe-40c8-8920-25e7fc7c9e8c"`
		}
		return `"durationSeconds":0.000412`
	})
	want := `{"time":"2026-11-22T12:00:00Z","decision":"398da0c8-53fe-40c8-8920-25e7fc7c9e8c",` +
		`"request":{"uid":"7f1c","operation":"CREATE","kind":{"group":"networking.istio.io","version":"v1","kind":"ServiceEntry"},"namespace":"shop","name":"api",` +
		`"userInfo":{"username":"alice","groups":["dev"]},"dryRun":true},"allowed":false,"verdict":"deny",` +
		`"findings":[{"rule":"by-host","severity":"deny","path":"spec.hosts[0]","message":"this host is not for you"},` +
		`{"rule":"by-host","severity":"warn","path":"spec.ports[0]","message":"and look at the port"}],` +
		`"policyRevision":"4f1d0c2ab9e87731","durationSeconds":0.000412}`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("line (-want +got):\n%s", d)
	}
	d := decode(t, lines[0])
	if id := answers[0].AuditAnnotations["decision"]; d.Decision != id || !strings.HasSuffix(answers[0].Result.Message, "decision "+id) {
		t.Errorf("decision %s in the log, %s for the audit log, and to the user:\n%s", d.Decision, id, answers[0].Result.Message)
	}
	page, err := os.ReadFile("../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown decisionlog.Decision
	for block := range strings.SplitSeq(string(page), "```") {
		if text, ok := strings.CutPrefix(block, "json\n"); ok && strings.Contains(text, `"durationSeconds"`) {
			shown = decode(t, text)
		}
	}
	if d := cmp.Diff(decode(t, want), shown); d != "" {
		t.Errorf("the line in docs/server.md (-real +shown):\n%s", d)
	}
}

// TestDecisionLogHasEveryAnswer checks that what is let through, and what could not be judged, is written down too, and
// that the mutator's answers are not: they decide nothing.
func TestDecisionLogHasEveryAnswer(t *testing.T) {
	o := options(t)
	lines, _ := logged(t, o, false,
		request(entry("api", "good.example.com")), request(entry("api", "failing.example.com")), request(`"no object at all"`))
	var got []string
	for _, line := range lines {
		d := decode(t, line)
		got = append(got, fmt.Sprintf("%s %v %s", d.Verdict, d.Allowed, d.Error))
	}
	want := []string{"allow true ", "error false could not judge: rule by-host on ServiceEntry/shop/api: no answer from the oracle"}
	if d := cmp.Diff(want, got[:2]); d != "" || !strings.HasPrefix(got[2], "error false ") {
		t.Errorf("lines (-want +got):\n%s\n%s", d, got[2:])
	}
	var out bytes.Buffer
	o.Decisions = decisionlog.New(&out, &decisionlog.Mask{}, false, o.Metrics.LostDecisions, o.Log)
	post(t, o, MutatePath, body(t, "v1", request(entry("api", "good.example.com"))))
	o.Decisions.Close()
	if out.Len() > 0 {
		t.Errorf("the mutator wrote %s", out.String())
	}
}

// TestDecisionIDs checks that a review cannot choose the id of its decision.
func TestDecisionIDs(t *testing.T) {
	o := options(t)
	same := func() *admissionv1.AdmissionRequest { return request(entry("api", "denied.example.com")) }
	lines, _ := logged(t, o, false, same(), same())
	a, b := decode(t, lines[0]), decode(t, lines[1])
	if a.Decision == b.Decision || a.Decision == a.Request.UID || len(a.Decision) != 36 {
		t.Errorf("decisions %q and %q of a review with uid %q", a.Decision, b.Decision, a.Request.UID)
	}
}

// TestForgedReviews checks what somebody who reaches the port can do to the log: have lines of his own content, each of
// them one line of JSON and of bounded length.
func TestForgedReviews(t *testing.T) {
	long := strings.Repeat("\x00<\u2028\"\n", 1<<10)
	var groups []string
	for range 1000 {
		groups = append(groups, long[:500])
	}
	noisy := []*rules.Rule{{Name: "noisy", Severity: rules.Deny, Check: func(_ context.Context, p *rules.Pass) error {
		for i := range 1000 {
			p.Report(rules.Finding{Path: fmt.Sprint(i, long[:5000]), Message: long})
		}
		return nil
	}}}
	forged := func(object string) *admissionv1.AdmissionRequest {
		return request(object, func(r *admissionv1.AdmissionRequest) {
			r.UID = types.UID(long)
			r.UserInfo.Username = "alice\n{\"decision\":\"1\"}" + long
			r.UserInfo.Groups = groups
		})
	}
	for _, objects := range []bool{false, true} {
		o := options(t)
		o.Judge = func() *review.Judge { return &review.Judge{Rules: noisy} }
		huge := strings.Replace(entry("api", "good.example.com"), `"spec"`, fmt.Sprintf(`"note":%q,"spec"`, strings.Repeat("x", 2<<20)), 1)
		lines, _ := logged(t, o, objects, forged(entry("api", "good.example.com")), forged(huge), forged(`"no object at all"`))
		if len(lines) != 3 {
			t.Fatalf("%d lines, want 3", len(lines))
		}
		for i, line := range lines {
			d := decode(t, line)
			limit := decisionlog.MaxLine
			if objects && d.Request.Object != nil {
				limit = decisionlog.MaxObjectsLine
			}
			if len(line) > limit || !d.Truncated {
				t.Errorf("line %d has %d bytes, truncated %v", i, len(line), d.Truncated)
			}
		}
	}
}

// TestDecisionLogChangesNoAnswer checks that a log which cannot make its line leaves the answer as it is.
func TestDecisionLogChangesNoAnswer(t *testing.T) {
	o := options(t)
	o.Decisions = decisionlog.New(io.Discard, nil, false, o.Metrics.LostDecisions, o.Log) // without a mask nothing can be masked
	resp := post(t, o, ValidatePath, body(t, "v1", request(entry("api", "warned.example.com")))).Response
	if !resp.Allowed || len(resp.Warnings) != 1 {
		t.Errorf("allowed %v, warnings %q", resp.Allowed, resp.Warnings)
	}
	if lost := testutil.ToFloat64(o.Metrics.lostDecisions.WithLabelValues("encode")); lost != 1 {
		t.Errorf("%v decisions are counted as lost", lost)
	}
}

// TestSecretsAreMasked checks that what may be a credential is nowhere in the log: not in a recorded object, not in a
// message that quotes it.
func TestSecretsAreMasked(t *testing.T) {
	const secret = `hunter2"correct horse`
	quoting := []*rules.Rule{{Name: "quoting", Severity: rules.Deny, Check: func(_ context.Context, p *rules.Pass) error {
		p.Reportf("metadata.annotations", "one of them is %q", secret)
		p.Reportf(`metadata.annotations["x.example/api-token"]`, "it is %s", "xyzzy") // which no random number in hexadecimal can hold
		p.Reportf("spec", "see https://bob:hunter2@git.example.com/x?sig=hunter2 with Authorization: Bearer hunter2hunter2")
		return nil
	}}}
	object := fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"shop","name":"api","annotations":{
		"kubectl.kubernetes.io/last-applied-configuration":%q,"x.example/api-token":"xyzzy","note":"token=hunter2"}},
		"spec":{"hosts":["good.example.com"],"ports":[{"number":443,"name":"tls","protocol":"TLS"}],"credentialName":"stripe-client"}}`, secret)
	o := options(t)
	o.Judge = func() *review.Judge { return &review.Judge{Rules: quoting} }
	lines, _ := logged(t, o, true, request(object))
	if strings.Contains(lines[0], "hunter2") || strings.Contains(lines[0], "xyzzy") {
		t.Errorf("the line has a secret:\n%s", lines[0])
	}
	d := decode(t, lines[0])
	for _, want := range []string{`"host`, `"good.example.com"`, `"credentialName":"stripe-client"`, `"note":"token=***"`} {
		if !strings.Contains(string(d.Request.Object), want) {
			t.Errorf("the recorded object lacks %s:\n%s", want, d.Request.Object)
		}
	}
	var messages []string
	for _, f := range d.Findings {
		messages = append(messages, f.Message)
	}
	want := []string{
		`one of them is "***"`,
		`***`,
		`see https://***@git.example.com/x?sig=*** with Authorization: Bearer ***`,
	}
	slices.Sort(messages)
	slices.Sort(want)
	if d := cmp.Diff(want, messages); d != "" {
		t.Errorf("messages (-want +got):\n%s", d)
	}
}

// TestSeverityPerNamespace judges the same object of three namespaces by one policy of the library: its severity is
// another in each.
func TestSeverityPerNamespace(t *testing.T) {
	set, err := policies.Load(t.Context(), map[string]any{"no-wildcard-hosts": map[string]any{
		"severityOverrides": []any{
			map[string]any{"namespaces": []any{"legacy"}, "severity": "audit"},
			map[string]any{"selector": "team=payments", "severity": "warn"},
		},
	}}, policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	payments, err := mesh.Decode([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"payments","labels":{"team":"payments"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		namespace string
		allowed   bool
		warnings  int
		severity  rules.Severity
	}{
		{"shop", false, 0, rules.Deny},
		{"payments", true, 1, rules.Warn},
		{"legacy", true, 0, rules.Audit},
	} {
		t.Run(tt.namespace, func(t *testing.T) {
			o := options(t, payments)
			o.Judge = func() *review.Judge { return &review.Judge{Rules: set.Rules} }
			lines, answers := logged(t, o, false, request(strings.Replace(entry("api", "*.example.com"), `"shop"`, `"`+tt.namespace+`"`, 1),
				func(r *admissionv1.AdmissionRequest) { r.Namespace, r.DryRun = tt.namespace, new(true) }))
			a := answers[0]
			var warnings []string
			for _, w := range a.Warnings {
				if strings.Contains(w, "no-wildcard-hosts") {
					warnings = append(warnings, w)
				}
			}
			if a.Allowed != tt.allowed || len(warnings) != tt.warnings {
				t.Errorf("allowed %v, warnings %q", a.Allowed, a.Warnings)
			}
			d := decode(t, lines[0])
			if len(d.Findings) != 1 || d.Findings[0].Severity != tt.severity || d.Findings[0].Rule != "no-wildcard-hosts" {
				t.Errorf("findings in the log: %v", d.Findings)
			}
			if got := testutil.ToFloat64(o.Metrics.findings.WithLabelValues("no-wildcard-hosts", string(tt.severity), "ServiceEntry")); got != 1 {
				t.Errorf("counted %v findings of severity %s", got, tt.severity)
			}
		})
	}
}
