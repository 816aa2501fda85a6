package policies

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// load loads one module as the folder "org".
func load(ctx context.Context, name, module string, parameters map[string]any) (*Set, error) {
	return Load(ctx, parameters, Source{Name: "org", FS: fstest.MapFS{name: {Data: []byte(module)}}})
}

func TestRefused(t *testing.T) {
	file := filepath.Join("testdata", "refused.txtar")
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := &archive.Files[len(archive.Files)-1]
	var got bytes.Buffer
	for _, f := range archive.Files[:len(archive.Files)-1] {
		_, err := load(t.Context(), f.Name, string(f.Data), nil)
		if err == nil {
			t.Errorf("%s was loaded", f.Name)
		}
		fmt.Fprintf(&got, "# %s\n%v\n", strings.TrimSuffix(f.Name, ".rego"), err)
	}
	if *update {
		want.Data = got.Bytes()
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want.Data), got.String()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// TestSources checks what several folders do together.
func TestSources(t *testing.T) {
	module := func(name, extra string) string {
		return "# METADATA\n# title: a case\n# description: a case\n# custom:\n#  parameters:\n#   limit: {type: integer, default: 1, description: a number}\npackage sallyport.policies." +
			name + "\n\n" + extra + "deny contains {\"msg\": \"x\"} if count(input.egress) > data.sallyport." + name + ".limit\n"
	}
	folder := func(name string, files ...string) Source {
		m := fstest.MapFS{}
		for i := 0; i < len(files); i += 2 {
			m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		}
		return Source{Name: name, FS: m}
	}
	tests := []struct {
		name    string
		sources []Source
		want    string // names of the rules, or the error
	}{
		{"two folders", []Source{folder("a", "b.rego", module("b", "")), folder("c", "x/a.rego", module("a", ""))}, "a b"},
		{"beside the library", []Source{Library(), folder("a", "a.rego", module("a", ""))}, "a"},
		{"same policy twice", []Source{folder("a", "a.rego", module("a", "")), folder("c", "a.rego", module("a", ""))}, "c/a.rego:7: policy a is defined in a/a.rego already"},
		{"same folder twice", []Source{folder("a", "a.rego", module("a", "")), folder("a", "a.rego", module("a", ""))}, "a/a.rego: two sources of policies have this name"},
		{"data file", []Source{folder("a", "a.rego", module("a", ""), "data.yaml", "sallyport: {a: {limit: 3}}")}, "a"},
		{"data of the wrong type", []Source{folder("a", "a.rego", module("a", ""), "data.yaml", "sallyport: {a: {limit: x}}")}, "policies.parameters.a.limit: Invalid type"},
		{"data for nobody", []Source{folder("a", "a.rego", module("a", ""), "data.yaml", "sallyport: {b: {limit: 3}}")}, "data file: sallyport.b: there is no policy of this name"},
		{"data elsewhere", []Source{folder("a", "a.rego", module("a", ""), "data.yaml", "limit: 3")}, "a/data.yaml: a data file is {sallyport: {NAME:"},
		{"data twice", []Source{folder("a", "a.rego", module("a", ""), "data.yaml", "sallyport: {a: {limit: 3}}", "x/data.json", `{"sallyport": {"a": {"limit": 4}}}`)}, "a/x/data.json: sallyport.a.limit is set by another data file already"},
		{"hidden files", []Source{folder("a", "a.rego", module("a", ""), "..2026/a.rego", module("a", ""), ".x.rego", "nonsense")}, "a"},
		{"shared functions", []Source{folder("a", "a.rego", module("a", "import data.sallyport.lib.f\n\nx := f.one(1)\n\n"), "lib/f.rego", "package sallyport.lib.f\n\none(x) := x + 1\n")}, "a"},
		{"shared functions are checked", []Source{folder("a", "a.rego", module("a", ""), "lib/f.rego", "package sallyport.lib.f\n\none := input.request.usr\n")}, "a/lib/f.rego:3: input.request.usr: no such field: usr; did you mean user?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Load(t.Context(), nil, tt.sources...)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) || !strings.Contains(tt.want, " ") {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			var names []string
			for _, r := range s.Rules {
				names = append(names, r.Name)
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("rules %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRevision checks that a revision changes with modules and parameters, and with nothing else.
func TestRevision(t *testing.T) {
	revision := func(parameters map[string]any) string {
		s, err := Load(t.Context(), parameters, Library())
		if err != nil {
			t.Fatal(err)
		}
		return s.Revision
	}
	one := revision(map[string]any{"host-limit": map[string]any{"limit": 3}})
	if again := revision(map[string]any{"host-limit": map[string]any{"limit": 3}}); again != one {
		t.Errorf("the same policies have revisions %s and %s", one, again)
	}
	if other := revision(map[string]any{"host-limit": map[string]any{"limit": 4}}); other == one {
		t.Error("another parameter, but the same revision")
	}
	if none := revision(nil); none == one {
		t.Error("another set of active policies, but the same revision")
	}
}
