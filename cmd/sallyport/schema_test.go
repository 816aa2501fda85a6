package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestReviewSchema holds every real review to the documented schema: of every
// manifest of the scripts, with companions and without.
func TestReviewSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/review.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	reviews := 0
	for _, script := range scripts {
		a, err := txtar.ParseFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if filepath.Ext(f.Name) != ".yaml" {
				continue
			}
			for _, injection := range []string{"enabled", "disabled"} {
				var stdout, stderr bytes.Buffer
				code := run(t.Context(), []string{"sallyport", "review", "-o", "json", "--injection", injection, "-"},
					strings.NewReader(string(f.Data)), &stdout, &stderr)
				if code == exitFailed {
					if stdout.Len() > 0 {
						t.Errorf("%s, %s: an error, and output too:\n%s", script, f.Name, stdout.String())
					}
					continue
				}
				reviews++
				v, err := jsonschema.UnmarshalJSON(&stdout)
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(v); err != nil {
					t.Errorf("%s, %s, injection %s: %v", script, f.Name, injection, err)
				}
			}
		}
	}
	if reviews < 20 {
		t.Errorf("only %d reviews were judged", reviews)
	}
}
