package doctor

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const doctorPage = "../../docs/doctor.md"

func TestReference(t *testing.T) {
	got := Reference(All)
	if *update {
		if err := os.WriteFile(doctorPage, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(doctorPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/doctor.md is stale; run go test ./internal/doctor -update (-want +got):\n%s", diff)
	}
}

// TestAll: names are unique and well formed, every check explains itself, and
// every step of the task page is taken.
func TestAll(t *testing.T) {
	seen := map[string]bool{}
	taken := map[int]bool{}
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, c := range All {
		if seen[c.Name] || !name.MatchString(c.Name) {
			t.Errorf("%q is no name, or given twice", c.Name)
		}
		seen[c.Name] = true
		title, why, _ := strings.Cut(c.Doc, "\n\n")
		if title == "" || why == "" || strings.HasSuffix(title, ".") || len(title) > 80 {
			t.Errorf("%s: the title %q and the reason: a line without full stop, and why", c.Name, title)
		}
		if len(c.Sources) == 0 || c.Group == "" || c.Check == nil {
			t.Errorf("%s: a check has a group, sources and a function", c.Name)
		}
		for _, n := range c.Steps {
			taken[n] = true
		}
	}
	for _, s := range Troubleshooting {
		if !taken[s.Number] {
			t.Errorf("no check takes step %d", s.Number)
		}
	}
	// Groups are not torn apart.
	var groups []string
	for _, c := range All {
		groups = append(groups, c.Group)
	}
	groups = slices.Compact(groups)
	slices.Sort(groups)
	if len(slices.Compact(slices.Clone(groups))) != len(groups) {
		t.Errorf("groups are torn apart: %v", groups)
	}
}

// TestProvenMinor: the version that istio-version knows is that of the control plane
// in test/istio.
func TestProvenMinor(t *testing.T) {
	data, err := os.ReadFile("../../test/istio/oracle/world.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`IstioVersion: "1\.(\d+)\.`).FindSubmatch(data)
	if m == nil || string(m[1]) != strconv.Itoa(provenMinor) {
		t.Errorf("test/istio is of Istio 1.%s, provenMinor is %d", m, provenMinor)
	}
}
