package status

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/build"
	"github.com/sallyport-io/sallyport/internal/policysource"
)

var at = time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)

func example() Status {
	return Status{
		Build:   build.Info{Version: "v1.2.3", Commit: "abcdef", Istio: "1.31.1"},
		Time:    at.Add(time.Hour),
		Started: at,
		Leader:  true,
		Mesh:    Mesh{Synced: true, Objects: map[string]int{"ServiceEntry": 12, "Namespace": 3}, Hosts: 11},
		Policies: policysource.Status{
			Revision: "0123456789abcdef", Loaded: at,
			Evaluation: &policysource.Evaluation{Objects: 12, NewlyDenied: 2, NewlyAllowed: 1, Removed: []string{"thaw"}, Seconds: 0.25},
			Sources: []policysource.SourceStatus{
				{Name: "platform", Revision: "v7", Since: at, Refused: "v8", Fetched: at, Error: "the server is away"},
			},
			Policies: []policysource.PolicyStatus{
				{Name: "freeze", Title: "<script>alert(1)</script>", Severity: "deny", File: "platform/freeze.rego"},
			},
		},
	}
}

func get(t *testing.T, s Status, target, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	Handler(func() Status { return s }).ServeHTTP(w, r)
	return w
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// TestPage looks for every fact on the page, and at what keeps it harmless.
func TestPage(t *testing.T) {
	waiting, refused := example(), example()
	waiting.Waiting = "policies are not loaded: platform: not read yet"
	refused.Policies.Refused, refused.Policies.RefusedAt = "platform/freeze.rego:3: rego_parse_error", at
	refused.Leader, refused.Mesh.Undecodable = false, 4
	for name, tt := range map[string]struct {
		status Status
		want   []string
	}{
		"judging": {example(), []string{
			"v1.2.3", "commit abcdef", "Istio API 1.31.1", "Judging.", "leads", "2026-11-22 23:00:00 UTC", "0123456789abcdef",
			"evaluated on 12 objects of the cluster in 0.2 s: 2 newly denied, 1 newly allowed; no longer there: thaw",
			"platform", "v7", "refused: v8", "the server is away",
			"freeze", "deny", "platform/freeze.rego", "read completely", "Hosts 11", "ServiceEntry 12", "Namespace 3",
		}},
		"waiting": {waiting, []string{"Waiting.", "policies are not loaded: platform: not read yet"}},
		"refused": {refused, []string{"New policies are refused", "platform/freeze.rego:3: rego_parse_error", "another one writes", "4 times an object could not be decoded"}},
		"empty":   {Status{}, []string{"none yet", "No source beside the shipped library", "No policy judges", "not read completely yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := get(t, tt.status, "/status", browser)
			body := w.Body.String()
			if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
				t.Fatalf("%d %s\n%s", w.Code, w.Header(), body)
			}
			text := strings.Join(strings.Fields(regexp.MustCompile("<[^>]*>").ReplaceAllString(body, " ")), " ")
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("the page lacks %q:\n%s", want, text)
				}
			}
			if strings.Contains(body, "<script") {
				t.Errorf("a policy's title is markup:\n%s", body)
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") {
				t.Errorf("Content-Security-Policy %q", csp)
			}
		})
	}
}

// TestJSON asks for JSON in both ways.
func TestJSON(t *testing.T) {
	for _, ask := range []struct{ target, accept string }{{"/status?format=json", browser}, {"/status", "application/json"}} {
		w := get(t, example(), ask.target, ask.accept)
		var got Status
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %v, %s", ask.target, err, w.Header())
		}
		if d := cmp.Diff(example(), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", ask.target, d)
		}
	}
	if w := get(t, example(), "/status?format=html", "application/json"); !strings.Contains(w.Body.String(), "<html") {
		t.Error("no page where the address asks for one")
	}
}

// TestReadOnly refuses to be written to.
func TestReadOnly(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(example).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/status", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
