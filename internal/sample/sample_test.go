package sample_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/sample"
	"github.com/sallyport-io/sallyport/policies"
)

var update = flag.Bool("update", false, "rewrite the want sections of the library's samples")

// TestLibrary runs the samples of the shipped library: each policy has one.
func TestLibrary(t *testing.T) {
	results, err := sample.Run(t.Context(), policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	sampled := map[string]bool{}
	for _, r := range results {
		sampled[strings.TrimSuffix(r.File, ".txtar")+".rego"] = true
		file := filepath.Join("..", "..", "policies", filepath.FromSlash(r.File))
		if *update {
			if err := os.WriteFile(file, txtar.Format(r.Archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range r.Failures {
			if !*update || !strings.HasPrefix(f, "want:") {
				t.Errorf("%s: %s", r.File, f)
			}
		}
	}
	set, err := policies.Load(t.Context(), nil, policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range set.Policies {
		if !sampled[p.File] {
			t.Errorf("policy %s has no sample beside it", p.Name)
		}
	}
}

// TestFailures checks that a sample which proves nothing, or proves the contrary, fails.
func TestFailures(t *testing.T) {
	const policy = `# METADATA
# title: no host at all
# description: no host at all
package sallyport.policies.none

deny contains {"msg": "no"} if count(input.object.spec.hosts) > 0
`
	const (
		entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\n"
		bad   = "-- bad.yaml --\n" + entry + "spec: {hosts: [a.example.com]}\n"
		good  = "-- good.yaml --\n" + entry + "spec: {hosts: []}\n"
		want  = "-- want --\nServiceEntry/shop/a: : deny: no\n"
	)
	tests := []struct {
		name, file, archive, failure string
	}{
		{"passes", "none.txtar", bad + good + want, ""},
		{"other findings", "none.txtar", bad + good + "-- want --\n", "got:\nServiceEntry/shop/a: : deny: no"},
		{"bad one is good", "none.txtar", bad + good + want + strings.ReplaceAll(good, "good.yaml", "bad-2.yaml"), "bad-2.yaml: ServiceEntry/shop/a: 0 findings"},
		{"good one is bad", "none.txtar", bad + good + want + strings.ReplaceAll(bad, "bad.yaml", "good-2.yaml"), "good-2.yaml: ServiceEntry/shop/a: 1 findings"},
		{"no good one", "none.txtar", bad + want, "needs at least one bad-*.yaml and one good-*.yaml"},
		{"no such policy", "nun.txtar", bad + good + want, "policies.parameters.nun: there is no policy of this name"},
		{"misspelt section", "none.txtar", "-- wrld.yaml --\n" + bad + good + want, "wrld.yaml: a case has"},
		{"no YAML", "none.txtar", "-- bad.yaml --\n{\n" + good + want, "bad.yaml: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := policies.Source{Name: "org", FS: fstest.MapFS{
				"none.rego": {Data: []byte(policy)},
				tt.file:     {Data: []byte(tt.archive)},
			}}
			results, err := sample.Run(t.Context(), src)
			if err != nil || len(results) != 1 {
				t.Fatalf("%d results, error %v", len(results), err)
			}
			failures := strings.Join(results[0].Failures, "\n")
			if tt.failure == "" && failures != "" || !strings.Contains(failures, tt.failure) {
				t.Errorf("failures %q, want %q", failures, tt.failure)
			}
		})
	}
}
