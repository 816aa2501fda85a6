package policysource

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestSwappedWhole changes what sources hold: good policies replace the old
// ones, and whatever is bad about new ones leaves the old in force.
func TestSwappedWhole(t *testing.T) {
	one, two := newFake("one", freeze("frozen", "frozen")), newFake("two", rego("two", "false"))
	one.revision = "v1"
	l := start(t, options(t, one, two))
	if got := inForce(l); got != "in-go freeze two" {
		t.Fatalf("in force: %q", got)
	}
	first := l.Judge()

	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"syntax":           {map[string]string{"freeze.rego": "package sallyport.policies.freeze\n\ndeny contains x if"}, []string{"one/freeze.rego:3"}},
		"misspelt field":   {rego("freeze", "input.objekt.spec"), []string{"one/freeze.rego:7", "did you mean object?"}},
		"network":          {rego("freeze", `http.send({"method": "get", "url": "https://example.com"})`), []string{"one/freeze.rego:7", "http.send is not available"}},
		"failing test":     {freeze("closed", "open"), []string{"one/freeze_test.rego:5", "test_denies fails"}},
		"no entry point":   {map[string]string{"freeze.rego": "# METADATA\n# title: a\n# description: b\npackage sallyport.policies.freeze\n\ndenies := true\n"}, []string{"neither deny nor warn"}},
		"name taken":       {rego("two", "true"), []string{"policy two is defined in one/two.rego already"}},
		"unknown policy":   {map[string]string{"data.yaml": "sallyport: {freze: {limit: 1}}"}, []string{"there is no policy of this name"}},
		"cannot be parsed": {map[string]string{"data.yaml": "sallyport: ["}, []string{"one/data.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			one.hold("v2", tt.files, nil)
			eventually(t, func() error { return refusedFor(l, tt.want...) })
			if l.Judge() != first {
				t.Fatal("bad policies replaced good ones")
			}
			s := l.Status().Sources[0]
			if s.Revision != "v1" || s.Refused != "v2" {
				t.Errorf("status says %q in force and %q refused, want v1 and v2", s.Revision, s.Refused)
			}
			one.hold("v1", freeze("frozen", "frozen"), nil)
			eventually(t, func() error {
				if s := l.Status(); s.Refused != "" || s.Sources[0].Refused != "" {
					return fmt.Errorf("still refused after the change was taken back: %s", s.Refused)
				}
				return nil
			})
			if l.Judge() != first {
				t.Error("what was in force all the time was put in force again")
			}
		})
	}

	two.hold("", nil, errAway)
	eventually(t, func() error { return refusedFor(l, errAway.Error()) })
	if l.Judge() != first || l.Waiting() != nil {
		t.Error("a source that is away took its policies with it")
	}

	// A good change of one source, while the other is away.
	one.hold("v3", freeze("closed", "closed"), nil)
	eventually(t, func() error {
		if l.Judge() == first {
			return fmt.Errorf("good policies are not in force: %s", l.Status().Refused)
		}
		return nil
	})
	s := l.Status()
	if s.Sources[0].Revision != "v3" || s.Refused != "" || !s.Loaded.Equal(s.Sources[0].Since) || s.Sources[1].Since.Equal(s.Loaded) {
		t.Errorf("status after the change: %+v", s)
	}
	out, err := l.Judge().Review(t.Context(), mesh.New(mesh.DefaultSettings()), review.Write{
		Request: rules.Request{Operation: "CREATE", Time: "2026-11-22T00:00:00Z"}, Object: []byte(entry("shop", "api", "api.example.com")),
	})
	if err != nil || len(out.Findings) != 1 || out.Findings[0].Message != "closed" {
		t.Errorf("judged by the new policies: %+v, %v", out.Findings, err)
	}
}

// TestStatus reads status and metrics of a loader.
func TestStatus(t *testing.T) {
	one := newFake("one", rego("one", "false"))
	one.revision = "v1"
	o := options(t, one)
	o.Parameters = map[string]any{"no-wildcard-hosts": map[string]any{"severity": "warn"}}
	l := start(t, o)
	one.hold("v2", rego("one", "true"), nil)
	eventually(t, func() error {
		if s := l.Status(); s.Sources[0].Revision != "v2" {
			return fmt.Errorf("in force: %+v", s.Sources)
		}
		return nil
	})
	one.hold("v3", rego("one", "tru"), nil)
	eventually(t, func() error { return refusedFor(l, "one/one.rego:7") })

	s := l.Status()
	want := Status{
		Evaluation: &Evaluation{},
		Sources:    []SourceStatus{{Name: "one", Revision: "v2", Refused: "v3"}},
		Policies: []PolicyStatus{
			{Name: "no-wildcard-hosts", Severity: rules.Warn, File: "library/no_wildcard_hosts/no_wildcard_hosts.rego"},
			{Name: "one", Severity: rules.Deny, File: "one/one.rego"},
		},
	}
	ignore := cmp.Options{
		cmpopts.IgnoreFields(Status{}, "Revision", "Loaded", "Refused", "RefusedAt"),
		cmpopts.IgnoreFields(SourceStatus{}, "Since", "Fetched"),
		cmpopts.IgnoreFields(PolicyStatus{}, "Title"),
		cmpopts.IgnoreFields(Evaluation{}, "Seconds"),
	}
	if d := cmp.Diff(want, s, ignore); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	if s.Loaded.IsZero() || s.RefusedAt.Before(s.Loaded) || s.Sources[0].Fetched.IsZero() {
		t.Errorf("times of the status: %+v", s)
	}
	expected := strings.NewReplacer("REVISION", s.Revision).Replace(`
# HELP sallyport_policy_evaluated_objects Objects of the cluster that the policies tried last were evaluated on, by result in comparison with those in force.
# TYPE sallyport_policy_evaluated_objects gauge
sallyport_policy_evaluated_objects{result="failed"} 0
sallyport_policy_evaluated_objects{result="newly-allowed"} 0
sallyport_policy_evaluated_objects{result="newly-denied"} 0
sallyport_policy_evaluated_objects{result="same"} 0
# HELP sallyport_policy_loads_total Changes of a source of policies put in force (ok) or not (error: not read, not trusted, or refused); after an error the policies before it stay in force.
# TYPE sallyport_policy_loads_total counter
sallyport_policy_loads_total{result="error",source="one"} 1
sallyport_policy_loads_total{result="ok",source="one"} 2
# HELP sallyport_policy_refused 1 while the newest state of the sources is refused and older policies are in force.
# TYPE sallyport_policy_refused gauge
sallyport_policy_refused 1
# HELP sallyport_policy_revision_info 1 for the revision in force of each source, and of the whole set under the source "all".
# TYPE sallyport_policy_revision_info gauge
sallyport_policy_revision_info{revision="REVISION",source="all"} 1
sallyport_policy_revision_info{revision="v2",source="one"} 1
`)
	gatherer := o.Metrics.(prometheus.Gatherer)
	if err := testutil.GatherAndCompare(gatherer, strings.NewReader(expected), "sallyport_policy_evaluated_objects",
		"sallyport_policy_loads_total", "sallyport_policy_refused", "sallyport_policy_revision_info"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(gatherer, "sallyport_policy_last_load_timestamp_seconds", "sallyport_policy_last_fetch_timestamp_seconds"); n != 2 || err != nil {
		t.Errorf("%d time stamps, %v; want 2", n, err)
	}
}

// TestFirstLoad has every way in which the first load can go.
func TestFirstLoad(t *testing.T) {
	good, bad := rego("one", "false"), freeze("closed", "open")
	t.Run("bad policies beside the server", func(t *testing.T) {
		_, err := New(t.Context(), options(t, newFake("one", bad)))
		if err == nil || !strings.Contains(err.Error(), "one/freeze_test.rego:5") {
			t.Errorf("error %v, want one that names the failing test", err)
		}
	})
	t.Run("nothing beside the server", func(t *testing.T) {
		absent := newFake("one", nil)
		absent.err = errAway
		if _, err := New(t.Context(), options(t, absent)); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a remote source is away", func(t *testing.T) {
		away := newFake("away", good)
		away.remote, away.err = true, errAway
		l, err := New(t.Context(), options(t, newFake("two", rego("two", "false")), away))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Waiting(); err == nil || !strings.Contains(err.Error(), "away: not read yet") {
			t.Errorf("waiting for %v", err)
		}
		t.Cleanup(run(t, l))
		eventually(t, func() error { return refusedFor(l, errAway.Error()) })
		if err := l.Waiting(); err == nil || !strings.Contains(err.Error(), errAway.Error()) {
			t.Errorf("waiting for %v, want the reason", err)
		}
		// Whoever forgets to look at Waiting gets no acquittal either.
		_, err = l.Judge().Review(t.Context(), mesh.New(mesh.DefaultSettings()), review.Write{
			Request: rules.Request{Operation: "CREATE"}, Object: []byte(entry("shop", "api", "api.example.com")),
		})
		if err == nil || !strings.Contains(err.Error(), errAway.Error()) {
			t.Errorf("judged before there are policies: %v", err)
		}
		away.hold("v1", good, nil)
		eventually(t, l.Waiting)
		if got := inForce(l); got != "in-go one two" {
			t.Errorf("in force: %q", got)
		}
	})
	t.Run("a remote source has bad policies", func(t *testing.T) {
		remote := newFake("remote", bad)
		remote.remote = true
		l := start(t, options(t, remote))
		eventually(t, func() error { return refusedFor(l, "remote/freeze_test.rego:5") })
		if err := l.Waiting(); err == nil || !strings.Contains(err.Error(), "freeze_test.rego") {
			t.Errorf("waiting for %v, want the reason", err)
		}
		remote.hold("", good, nil)
		eventually(t, l.Waiting)
		if s := l.Status(); s.Refused != "" || len(s.Policies) != 1 {
			t.Errorf("status %+v", s)
		}
	})
	t.Run("no source", func(t *testing.T) {
		l := start(t, options(t))
		if err := l.Waiting(); err != nil || inForce(l) != "in-go" {
			t.Errorf("waiting for %v with %q in force", err, inForce(l))
		}
	})
}

// TestFolder reads a folder the way the kubelet mounts a
// ConfigMap: whole, without the versions beside it.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "1", map[string]string{"freeze.rego": "one"})
	source := Folder(dir)
	first, err := source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := source.Fetch(t.Context())
	if err != nil || !again.same(&first) {
		t.Errorf("the same folder is another snapshot (%v)", err)
	}
	mount(t, dir, "2", map[string]string{"freeze.rego": "two", "data.yaml": "three"})
	second, err := source.Fetch(t.Context())
	if err != nil || second.same(&first) {
		t.Errorf("another folder is the same snapshot (%v)", err)
	}
	for _, tt := range []struct {
		got  Snapshot
		want map[string]string
	}{
		{first, map[string]string{"freeze.rego": "one"}},
		{second, map[string]string{"freeze.rego": "two", "data.yaml": "three"}},
	} {
		if d := cmp.Diff(tt.want, textOf(t, tt.got)); d != "" {
			t.Errorf("files (-want +got):\n%s", d)
		}
	}
	if first.Revision == second.Revision || first.Revision == "" {
		t.Errorf("revisions %q and %q", first.Revision, second.Revision)
	}
	mount(t, dir, "3", map[string]string{"freeze.rego": strings.Repeat("#", maxSize+1)})
	if _, err := source.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 16 MiB") {
		t.Errorf("a folder that is too large: %v", err)
	}
	if _, err := Folder(dir + "/absent").Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "--policies") {
		t.Errorf("an absent folder: %v, want the remedy", err)
	}
}

// TestBackoff bounds the time between two tries.
func TestBackoff(t *testing.T) {
	for failures := range 100 {
		d := backoff(failures)
		if d < minBackoff/2 || d > maxBackoff || failures > 20 && d < maxBackoff/2 {
			t.Errorf("after %d failures %v", failures, d)
		}
	}
	seen := map[string]bool{}
	for range 20 {
		seen[backoff(5).String()] = true
	}
	if len(seen) < 2 {
		t.Error("replicas that fail together try again together")
	}
}

// TestSourceOfTheLibrarysName has a source whose files seem to be the shipped
// library's: its tests run all the same.
func TestSourceOfTheLibrarysName(t *testing.T) {
	for _, name := range []string{"library", "library/own"} {
		_, err := New(t.Context(), options(t, newFake(name, freeze("closed", "open"))))
		if err == nil || !strings.Contains(err.Error(), "test_denies fails") {
			t.Errorf("source %s: %v, want its test to fail", name, err)
		}
	}
}

// TestSourcesOfOneName has two sources that log, metrics and status page could
// not tell apart.
func TestSourcesOfOneName(t *testing.T) {
	_, err := New(t.Context(), options(t, newFake("one", nil), newFake("one", nil)))
	if err == nil || !strings.Contains(err.Error(), "one: two sources of policies have this name") {
		t.Errorf("%v", err)
	}
}
