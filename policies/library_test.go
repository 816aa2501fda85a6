package policies

import (
	"os"
	"testing"
)

// everything is a configuration that switches the whole library on.
func everything() map[string]any {
	return map[string]any{
		"allowed-hosts":        map[string]any{"hosts": map[string]any{}},
		"allowed-ports":        nil,
		"change-freeze":        map[string]any{"windows": []any{}},
		"high-risk-hosts":      nil,
		"host-limit":           nil,
		"minimum-tls":          nil,
		"no-private-endpoints": nil,
		"no-public-export":     nil,
		"no-wildcard-hosts":    nil,
		"owner-annotations":    nil,
		"separation-of-duties": nil,
		"tls-required":         nil,
	}
}

// TestLibrary runs the library's own tests. Every line of every module is to be evaluated by one.
func TestLibrary(t *testing.T) {
	s, err := Load(t.Context(), everything(), Library())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != len(s.Policies) {
		t.Errorf("%d of %d policies are active: everything() lacks some", len(s.Rules), len(s.Policies))
	}
	results, coverage, err := s.Test(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Failure != "" {
			t.Errorf("%s:%d: %s: %s", r.File, r.Line, r.Name, r.Failure)
		}
	}
	for _, c := range coverage {
		if len(c.Missing) > 0 {
			t.Errorf("%s: the tests do not reach lines %v", c.File, c.Missing)
		}
	}
}

func TestDocs(t *testing.T) {
	s, err := Load(t.Context(), nil, Library())
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Markdown(Library())
	if err != nil {
		t.Fatal(err)
	}
	contract, err := os.ReadFile("contract.md")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "README.md", []byte(string(contract)+"\n## The library\n\n"+got))
}

// TestLibrarySleeps checks that nothing of the library is in force unasked.
func TestLibrarySleeps(t *testing.T) {
	s, err := Load(t.Context(), nil, Library())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != 0 {
		t.Errorf("%d rules without configuration", len(s.Rules))
	}
	s, err = Load(t.Context(), map[string]any{"no-wildcard-hosts": map[string]any{}}, Library())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != 1 || s.Rules[0].Name != "no-wildcard-hosts" {
		t.Errorf("rules %v, want no-wildcard-hosts alone", s.Rules)
	}
}

func TestStyle(t *testing.T) {
	s, err := Load(t.Context(), nil, Library())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Style(Library()); err != nil {
		t.Error(err)
	}
}
