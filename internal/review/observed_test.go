package review_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// observed is where package mesh keeps the sets of manifests that were fed to
// Istio's own control plane, with what it made of them.
const observed = "../mesh/testdata/observed"

// hostile are the observed sets that open no direct path and are denied all
// the same: in each of them one namespace takes what is another's.
var hostile = map[string]string{
	"11-SE-hijacks-egw-host":                "a ServiceEntry with the gateway's name",
	"31-SE-exportTo-gateway-ns-preempts":    "a ServiceEntry that answers for the platform's host at the gateway",
	"33-SE-platformns-exportTo-gw-preempts": "a ServiceEntry that answers for the platform's host at the gateway",
	"36-gw-tls-dup-host-two-gateways":       "a Gateway that takes the platform's server",
}

// withoutInjection are the settings of an installation where users keep all
// routes by hand, as they did where the sets were observed.
func withoutInjection() mesh.Settings {
	s := mesh.DefaultSettings()
	off := false
	s.InjectionOverride = &off
	return s
}

// TestObserved judges every observed set: what Istio sends out directly is
// denied, and what it does not is admitted unless it is hostile.
func TestObserved(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(observed, "*", "all.yaml"))
	if err != nil || len(files) < 92 {
		t.Fatalf("%d observed sets, error %v; want 92", len(files), err)
	}
	judge := &review.Judge{Rules: rules.All}
	var text strings.Builder
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := golden.Documents(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		batch, err := judge.ReviewAll(t.Context(), mesh.New(withoutInjection()), objects)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		denied := false
		fmt.Fprintf(&text, "== %s\n", name)
		for _, o := range batch.Outcomes {
			denied = denied || o.Denied()
			for _, f := range o.Findings {
				if f.Severity != rules.Info {
					fmt.Fprintf(&text, "%s %s: %s (%s)\n", f.Severity, o.Ref, f.Message, f.Rule)
				}
			}
		}
		switch direct := istioSendsDirect(t, file); {
		case direct && !denied:
			t.Errorf("%s: Istio has a direct path, and nothing is denied", name)
		case !direct && denied && hostile[name] == "":
			t.Errorf("%s: Istio has no direct path, and something is denied", name)
		case !direct && !denied && hostile[name] != "":
			t.Errorf("%s: %s, and nothing is denied", name, hostile[name])
		}
	}
	const path = "testdata/observed.golden"
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("(-want +got; rewrite with -update):\n%s", diff)
	}
}

// istioSendsDirect reports whether Istio's control plane gave some client a
// way out that is not the gateway.
func istioSendsDirect(t *testing.T, file string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(filepath.Dir(file), "istio.json"))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Direct map[string][]string `json:"direct"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, ways := range answer.Direct {
		if len(ways) > 0 {
			return true
		}
	}
	return false
}

// TestPlanStandsByItself judges an entry together with the companions that
// were printed for it, where Sallyport keeps none: every path is via by what
// is written there.
func TestPlanStandsByItself(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	objects := documents(t, strings.Replace(entryOf("pay.example.com"), ` exportTo: ["."],`, "", 1))
	planned, err := judge.ReviewAll(t.Context(), mesh.New(mesh.DefaultSettings()), objects)
	if err != nil {
		t.Fatal(err)
	}
	printed := planned.Objects
	for _, o := range planned.Companions {
		manifest, err := companion.Manifest(o)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, documents(t, string(manifest))...)
	}
	if len(printed) < 5 {
		t.Fatalf("%d objects are planned", len(printed))
	}
	batch, err := judge.ReviewAll(t.Context(), mesh.New(withoutInjection()), printed)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range batch.Outcomes {
		if o.Denied() {
			t.Errorf("%s is denied: %v", o.Ref, o.Findings)
		}
	}
	want := map[string]mesh.Verdict{"shop": mesh.Via, mesh.AnyClient: mesh.Blocked}
	if len(batch.Paths) == 0 {
		t.Error("there are no paths")
	}
	for _, p := range batch.Paths {
		if p.Verdict != want[p.Client] {
			t.Errorf("%s:%d from %s is %s: %v", p.Host, p.Port, p.Client, p.Verdict, p.Because)
		}
	}
}
