package policies

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the generated files and goldens")

// TestKindsAreCurrent compares kinds.schema.json with the CRDs of the istio.io/api version in go.mod.
func TestKindsAreCurrent(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatalf("find module istio.io/api: %v", err)
	}
	crds, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "kinds.schema.json", kindsFromCRDs(t, crds))
}

// kindsFromCRDs keeps the structure of the specs of Istio's networking kinds, in their newest version, without prose and
// without validation that a type checker has no use for.
func kindsFromCRDs(t *testing.T, crds []byte) []byte {
	t.Helper()
	kinds := map[string]any{}
	for doc := range bytes.SplitSeq(crds, []byte("\n---\n")) {
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct{ OpenAPIV3Schema map[string]any }
				}
			}
		}
		if err := yaml.Unmarshal(doc, &crd); err != nil {
			t.Fatal(err)
		}
		if crd.Spec.Group != "networking.istio.io" || crd.Spec.Names.Kind == "ProxyConfig" {
			continue
		}
		versions := crd.Spec.Versions
		newest := versions[0]
		for _, v := range versions {
			if v.Name == "v1" {
				newest = v
			}
		}
		properties := newest.Schema.OpenAPIV3Schema["properties"].(map[string]any)
		kinds[crd.Spec.Names.Kind] = structure(properties["spec"])
	}
	out, err := json.MarshalIndent(kinds, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func structure(schema any) map[string]any {
	s, _ := schema.(map[string]any)
	out := map[string]any{}
	if s["x-kubernetes-preserve-unknown-fields"] == true {
		return out
	}
	if s["x-kubernetes-int-or-string"] == true {
		return map[string]any{"type": []string{"integer", "string"}}
	}
	if t, ok := s["type"]; ok {
		out["type"] = t
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		kept := map[string]any{}
		for name, p := range properties {
			kept[name] = structure(p)
		}
		out["properties"], out["additionalProperties"] = kept, false
	} else if additional, ok := s["additionalProperties"]; ok {
		out["additionalProperties"] = structure(additional)
	}
	if items, ok := s["items"]; ok {
		out["items"] = structure(items)
	}
	return out
}

// golden compares with a generated file, or rewrites it under -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s is stale: run go test ./policies -update (-want +got):\n%s", file, cmp.Diff(string(want), string(got)))
	}
}
