package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sallyport-io/sallyport/internal/companion"
)

const reviewSchema = "../../docs/review.schema.json"

// TestReviewSchema holds every real review to the documented schema: of every
// manifest of the scripts, with companions and without.
func TestReviewSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(reviewSchema)
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

// TestSchemaOfCompanions: the schema knows every kind of companion, by its own
// group. The configuration is one under which all of them are kept.
func TestSchemaOfCompanions(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(reviewSchema)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("apiVersion: sallyport.io/v1alpha1\nkind: Config\nauthorization: enabled\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: shop}
spec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
`
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"sallyport", "review", "-o", "json", "--config", config, "-"},
		strings.NewReader(entry), &stdout, &stderr); code != exitOK {
		t.Fatalf("status %d: %s", code, stderr.String())
	}
	data := stdout.Bytes()
	validate := func(data []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	if err := validate(data); err != nil {
		t.Error(err)
	}
	var review struct {
		Companions []struct{ Kind string }
	}
	if err := json.Unmarshal(data, &review); err != nil {
		t.Fatal(err)
	}
	for _, kind := range companion.Kinds {
		if !slices.ContainsFunc(review.Companions, func(c struct{ Kind string }) bool { return c.Kind == kind }) {
			t.Errorf("no companion is of kind %s, so that nothing is known of its place in the schema", kind)
		}
	}
	if err := validate(bytes.ReplaceAll(data, []byte("security.istio.io/v1"), []byte("networking.istio.io/v1"))); err == nil {
		t.Error("the schema accepts an AuthorizationPolicy of networking.istio.io/v1")
	}
}
