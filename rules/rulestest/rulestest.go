// Package rulestest proves rules by golden cases, as analysistest does for
// analyzers. Rules in Go and policies in Rego go through it alike.
//
// A case is a txtar archive named after its rule:
//
//	-- config.yaml --          configuration; Sallyport's defaults without it
//	-- world.yaml --           objects that are there already
//	-- bad-something.yaml --   each of its objects must be found wrong
//	-- good-something.yaml --  none of its objects may be
//	-- want --                 the findings, written by -update
//
// Each object of a bad or good file is judged by itself, as a CREATE into the
// world. In a file whose name contains "-delete" it is a DELETE, and in one
// whose name contains "-update" the objects are pairs: before and after. The
// user is jane, or whom the name tells between an "@" and ".yaml": nobody where
// that is empty, as for an object that is read from a file.
package rulestest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/config"
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
	world, err := newWorld(archive)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	one := &review.Judge{Rules: []*rules.Rule{rule}}
	every := &review.Judge{Rules: all}
	var got strings.Builder
	bad, good, deletions := 0, 0, 0
	for _, f := range archive.Files {
		isBad, isGood := strings.HasPrefix(f.Name, "bad"), strings.HasPrefix(f.Name, "good")
		if !isBad && !isGood {
			continue
		}
		writes, err := writesOf(f)
		if err != nil {
			t.Fatalf("%s: %s: %v", file, f.Name, err)
		}
		for _, w := range writes {
			out, err := one.Review(t.Context(), world, w)
			if err != nil {
				t.Fatalf("%s: %s: %v", file, f.Name, err)
			}
			if !out.Known || !rule.Judges(out.Ref.Kind) {
				t.Errorf("%s: rule %s does not judge the kind of %s", f.Name, rule.Name, out.Ref)
			}
			if _, err := every.Review(t.Context(), world, w); err != nil {
				t.Errorf("all rules over %s %s: %v", f.Name, out.Ref, err)
			}
			switch found := len(out.Findings) > 0; {
			case isBad && !found:
				t.Errorf("%s: %s is bad, but nothing was found", f.Name, out.Ref)
			case isGood && found:
				t.Errorf("%s: %s is good, but: %+v", f.Name, out.Ref, out.Findings)
			}
			for _, f := range out.Findings {
				if f.Severity == rules.Deny && f.Fix == "" {
					t.Errorf("%s: %s: a denial without a remedy: %s", f.Path, out.Ref, f.Message)
				}
			}
			judgeDeletion(t, every, world, w, f.Name)
			if isBad {
				if bad++; w.Request.Operation == "DELETE" {
					deletions++
				}
				Print(&got, f.Name, out)
				checkFixes(t, rule, every, world, w)
			} else {
				good++
			}
		}
	}
	if bad == 0 || good == 0 {
		t.Errorf("%s has %d bad and %d good objects; a case needs both kinds", file, bad, good)
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
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	if update {
		if i < 0 {
			archive.Files = append(archive.Files, txtar.File{Name: "want"})
			i = len(archive.Files) - 1
		}
		archive.Files[i].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := ""
	if i >= 0 {
		want = string(archive.Files[i].Data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
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

// newWorld builds the mesh that a case starts from.
func newWorld(archive *txtar.Archive) (*mesh.Mesh, error) {
	cfg := config.Default()
	var objects []mesh.Object
	for _, f := range archive.Files {
		switch f.Name {
		case "config.yaml":
			var err error
			if cfg, err = config.Parse(f.Name, f.Data); err != nil {
				return nil, err
			}
		case "world.yaml":
			docs, err := Documents(f.Data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			for _, raw := range docs {
				o, err := mesh.Decode(raw)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", f.Name, err)
				}
				objects = append(objects, o)
			}
		}
	}
	return mesh.New(cfg.Settings(), objects...), nil
}

// writesOf returns the writes of one file of a case.
func writesOf(f txtar.File) ([]review.Write, error) {
	docs, err := Documents(f.Data)
	if err != nil {
		return nil, err
	}
	var writes []review.Write
	request := rules.Request{User: "jane", Time: "2026-09-01T12:00:00Z"}
	if _, user, ok := strings.Cut(strings.TrimSuffix(f.Name, ".yaml"), "@"); ok {
		request.User = user
	}
	switch {
	case strings.Contains(f.Name, "-update"):
		if len(docs)%2 != 0 {
			return nil, fmt.Errorf("%d objects; an update needs pairs, before and after", len(docs))
		}
		request.Operation = "UPDATE"
		for pair := range slices.Chunk(docs, 2) {
			writes = append(writes, review.Write{Request: request, OldObject: pair[0], Object: pair[1]})
		}
	case strings.Contains(f.Name, "-delete"):
		request.Operation = "DELETE"
		for _, raw := range docs {
			writes = append(writes, review.Write{Request: request, OldObject: raw})
		}
	default:
		request.Operation = "CREATE"
		for _, raw := range docs {
			writes = append(writes, review.Write{Request: request, Object: raw})
		}
	}
	return writes, nil
}

// Documents splits a YAML stream and returns each document as JSON.
func Documents(data []byte) ([][]byte, error) {
	var docs [][]byte
	for doc := range bytes.SplitSeq(append([]byte("\n"), data...), []byte("\n---")) {
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		raw, err := yaml.YAMLToJSON(doc)
		if err != nil {
			return nil, err
		}
		docs = append(docs, raw)
	}
	return docs, nil
}
