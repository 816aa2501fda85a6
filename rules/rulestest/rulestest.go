// Package rulestest proves rules by golden cases, as analysistest does for
// analyzers. Rules in Go and policies in Rego go through it alike.
//
// Package golden says what a case has. The user is jane where it says nothing else.
package rulestest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// Run judges every case of the folder with its rule, and compares the findings
// with the case's want section, or rewrites that where update is true. It
// fails for a rule without case, a case without rule, and a case without a bad
// or without a good object; and every rule judges every object of every case, and
// its deletion, which must neither fail nor panic. On a deletion none finds anything
// that has not declared to judge one, and who has declared it has a bad one.
func Run(t *testing.T, all []*rules.Rule, dir string, update bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{}
	for _, f := range files {
		cases[strings.TrimSuffix(filepath.Base(f), ".txtar")] = f
	}
	byName := map[string]*rules.Rule{}
	for _, r := range all {
		byName[r.Name] = r
		if cases[r.Name] == "" {
			t.Errorf("rule %s has no golden case %s", r.Name, filepath.Join(dir, r.Name+".txtar"))
		}
	}
	for name, file := range cases {
		if byName[name] == nil {
			t.Errorf("golden case %s has no rule", file)
			continue
		}
		t.Run(name, func(t *testing.T) { runCase(t, byName[name], all, file, update) })
	}
}

func runCase(t *testing.T, rule *rules.Rule, all []*rules.Rule, file string, update bool) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := golden.Parse(archive, rules.Request{User: "jane", Time: "2026-09-01T12:00:00Z"})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	one := &review.Judge{Rules: []*rules.Rule{rule}}
	every := &review.Judge{Rules: all}
	var got strings.Builder
	deletions := 0
	for _, f := range c.Files {
		for _, w := range f.Writes {
			out, err := one.Review(t.Context(), c.World, w)
			if err != nil {
				t.Fatalf("%s: %s: %v", file, f.Name, err)
			}
			if !out.Known || !rule.Judges(out.Ref.Kind) {
				t.Errorf("%s: rule %s does not judge the kind of %s", f.Name, rule.Name, out.Ref)
			}
			if _, err := every.Review(t.Context(), c.World, w); err != nil {
				t.Errorf("all rules over %s %s: %v", f.Name, out.Ref, err)
			}
			switch found := len(out.Findings) > 0; {
			case f.Bad && !found:
				t.Errorf("%s: %s is bad, but nothing was found", f.Name, out.Ref)
			case !f.Bad && found:
				t.Errorf("%s: %s is good, but: %+v", f.Name, out.Ref, out.Findings)
			}
			for _, f := range out.Findings {
				if f.Severity == rules.Deny && f.Fix == "" {
					t.Errorf("%s: %s: a denial without a remedy: %s", f.Path, out.Ref, f.Message)
				}
			}
			judgeDeletion(t, every, c.World, w, f.Name)
			if f.Bad {
				if w.Request.Operation == "DELETE" {
					deletions++
				}
				Print(&got, f.Name, out)
				checkFixes(t, rule, every, c.World, w)
			}
		}
	}
	if rule.JudgesOn("DELETE") && deletions == 0 {
		t.Errorf("%s: rule %s judges deletions, and the case has no bad one", file, rule.Name)
	}
	compare(t, archive, file, got.String(), update)
}

// judgeDeletion has all rules judge the deletion of an object of a case, from a mesh
// that has it: what keeps an object from being deleted is a rule that says so, and
// never one that has forgotten to ask.
func judgeDeletion(t *testing.T, every *review.Judge, world *mesh.Mesh, w review.Write, file string) {
	t.Helper()
	if w.Request.Operation != "DELETE" {
		o, err := mesh.Decode(w.Object)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		world = world.With(o)
		w.Request.Operation, w.Object, w.OldObject = "DELETE", nil, w.Object
	}
	out, err := every.Review(t.Context(), world, w)
	if err != nil {
		t.Errorf("%s: all rules over the deletion of %s: %v", file, out.Ref, err)
	}
	for _, f := range out.Findings {
		i := slices.IndexFunc(every.Rules, func(r *rules.Rule) bool { return r.Name == f.Rule })
		if i < 0 || !every.Rules[i].JudgesOn("DELETE") {
			t.Errorf("%s: rule %s, which judges no deletions, finds in that of %s: %s: %s", file, f.Rule, out.Ref, f.Path, f.Message)
		}
	}
}

// compare compares the archive's want section with got.
func compare(t *testing.T, archive *txtar.Archive, file, got string, update bool) {
	t.Helper()
	want := golden.Want(archive)
	if update {
		want.Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want.Data), got); diff != "" {
		t.Errorf("%s (-want +got; rewrite with -update):\n%s", file, diff)
	}
}

// Print writes the outcome's findings as a want section has them.
func Print(b *strings.Builder, file string, out review.Outcome) {
	for _, f := range out.Findings {
		fmt.Fprintf(b, "%s: %s: %s: %s: %s (%s)\n", file, out.Ref, f.Path, f.Severity, f.Message, f.Rule)
		for line := range strings.Lines(f.Fix) {
			b.WriteString("\t" + strings.TrimRight(line, "\n") + "\n")
		}
	}
}
