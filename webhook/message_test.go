package webhook

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

func TestWarningsFitTheLimits(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("%d %s", i, strings.Repeat("ä", 40)))
	}
	long := "the first\n  " + strings.Repeat("ü", 500)
	tests := []struct {
		name string
		in   []string
		want int
	}{
		{"none", nil, 0},
		{"one long", []string{long}, 1},
		{"many", many, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := fit(tt.in)
			total := 0
			for _, w := range out {
				if len(w) > maxWarning || strings.Contains(w, "\n") || !utf8.ValidString(w) {
					t.Errorf("%d bytes: %q", len(w), w)
				}
				total += len(w)
			}
			if total > maxWarnings {
				t.Errorf("%d bytes together", total)
			}
			if tt.name != "many" {
				if len(out) != tt.want {
					t.Errorf("%d warnings, want %d", len(out), tt.want)
				}
				return
			}
			if want := fmt.Sprintf("%d more warnings", len(many)-len(out)+1); !strings.HasPrefix(out[len(out)-1], want) {
				t.Errorf("the last of %d warnings is %q, want %q", len(out), out[len(out)-1], want)
			}
			if !strings.HasPrefix(out[0], "0 ") {
				t.Errorf("the most important warning comes first, not %q", out[0])
			}
		})
	}
}

// TestWarningsSayCauseAndRemedyFirst: however long a finding is, the first 200 bytes
// of its warning have what is wrong and what to do.
func TestWarningsSayCauseAndRemedyFirst(t *testing.T) {
	long := "traffic for api.example.com:443 (TLS) leaves directly: " + strings.Repeat("because of something else, ", 30)
	for _, test := range []struct{ name, message, fix, want string }{
		{"short", "is odd", "Rename it.", "[r] spec.ports[0]: is odd; fix: Rename it"},
		{"no fix", "is odd", "", "[r] spec.ports[0]: is odd"},
		{"objects", long, "# Let Sallyport keep the route:\napiVersion: v1\nkind: Gateway\nspec:\n  kind: x\n---\nkind: VirtualService\n", "; fix: Gateway, VirtualService (sallyport review prints it)"},
		{"a sentence", long, "Register the host by its DNS name. Or else\nask somebody.\n", "; fix: Register the host by its DNS name"},
		{"a long sentence", long, strings.Repeat("Do this and that, ", 40), "; fix: Do this and that, Do this"},
		{"a comment", long, "# Have them written first:\n#   kubectl annotate x y\n", "; fix: Have them written first: kubectl annotate x y"},
	} {
		got := warning(rules.Finding{Rule: "r", Severity: rules.Warn, Path: "spec.ports[0]", Message: test.message, Fix: test.fix})
		if i := strings.Index(got, test.want); i < 0 || i+len(test.want) > maxRead {
			t.Errorf("%s: %q (%d bytes) lacks %q", test.name, got, len(got), test.want)
		}
		if !strings.HasPrefix(got, "[r] spec.ports[0]: "+test.message[:6]) {
			t.Errorf("%s: %q does not begin with the cause", test.name, got)
		}
	}
}

func TestDenialIsBounded(t *testing.T) {
	out := review.Outcome{Ref: mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "all"}}
	for range 1000 {
		out.Findings = append(out.Findings, rules.Finding{Rule: "r", Severity: rules.Deny, Path: "spec", Message: "straße", Fix: "a: 1\nb: 2"})
	}
	got := denial(out, "id-1")
	if len(got) > maxDenial || !utf8.ValidString(got) || !strings.HasSuffix(got, "decision id-1") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-40:])
	}
}

func TestDeadline(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"":                2400 * time.Millisecond,
		"?timeout=2s":     1600 * time.Millisecond,
		"?timeout=30s":    2400 * time.Millisecond,
		"?timeout=500ms":  400 * time.Millisecond,
		"?timeout=-1s":    2400 * time.Millisecond,
		"?timeout=900h":   2400 * time.Millisecond,
		"?timeout=potato": 2400 * time.Millisecond,
	} {
		if got := deadline(httptest.NewRequest("POST", "/validate"+query, nil)); got != want {
			t.Errorf("deadline of %q = %v, want %v", query, got, want)
		}
	}
}

// TestTimeoutIsThatOfTheManifests: a review gets as long as the API server
// really waits for it, and nobody gets longer.
func TestTimeoutIsThatOfTheManifests(t *testing.T) {
	data, err := os.ReadFile("../manifests/webhooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var c admissionregistrationv1.ValidatingWebhookConfiguration // as far as this goes, the other kind is the same
		if err := yaml.Unmarshal(doc, &c); err != nil {
			t.Fatal(err)
		}
		for _, w := range c.Webhooks {
			longest = max(longest, time.Duration(*w.TimeoutSeconds)*time.Second)
		}
	}
	if longest != maxTimeout {
		t.Errorf("the API server waits for %v, maxTimeout is %v", longest, maxTimeout)
	}
}

func TestDenialGivesAFixOnce(t *testing.T) {
	out := review.Outcome{
		Ref: mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "cnn"},
		Findings: []rules.Finding{
			{Rule: "one", Severity: rules.Deny, Path: "spec.http[0]", Message: "goes out", Fix: "spec:\n  hosts: []\n"},
			{Rule: "two", Severity: rules.Deny, Message: "is direct", Fix: "spec:\n  hosts: []\n"},
			{Rule: "three", Severity: rules.Deny, Message: "is ugly", Fix: "Rename it."},
			{Rule: "four", Severity: rules.Deny, Message: "is beyond help"},
			{Rule: "five", Severity: rules.Warn, Message: "is odd", Fix: "Never mind."},
		},
	}
	want := `VirtualService/shop/cnn must not be written like this:
- spec.http[0]: goes out [one]
  fix: |
    spec:
      hosts: []
- is direct [two]
  fix: the one above
- is ugly [three]
  fix: Rename it.
- is beyond help [four]
decision 42`
	if got := denial(out, "42"); got != want {
		t.Errorf("denial() = %s\nwant %s", got, want)
	}
}
