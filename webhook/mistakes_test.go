package webhook

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

var updateMistakes = flag.Bool("update-mistakes", false, "rewrite the answers in testdata/mistakes")

// TestCommonMistakes keeps what the commonest mistakes are answered, as kubectl
// prints it and as Argo CD does. One mistake is one finding: its first line says what
// is wrong and where, the rest fits into a window of a hundred columns, but for names
// that are longer, and the fix is there once.
func TestCommonMistakes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "mistakes", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("%d mistakes", len(files))
	}
	judge := &review.Judge{Rules: rules.All}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := mesh.New(mesh.DefaultSettings())
			var object []byte
			for _, f := range archive.Files[:2] {
				for doc := range strings.SplitSeq(string(f.Data), "---\n") {
					raw, err := yaml.YAMLToJSON([]byte(doc))
					if err != nil {
						t.Fatal(err)
					}
					if object = raw; f.Name == "world.yaml" {
						o, err := mesh.Decode(raw)
						if err != nil {
							t.Fatal(err)
						}
						m = m.With(o)
					}
				}
			}
			w := review.Write{Request: rules.Request{Operation: "CREATE"}, Object: object}
			ops, _, err := review.Default(t.Context(), m, w)
			if err != nil {
				t.Fatal(err)
			}
			if w.Object, err = review.Patched(object, ops); err != nil {
				t.Fatal(err)
			}
			out, err := judge.Review(t.Context(), m, w)
			if err != nil {
				t.Fatal(err)
			}
			denied := 0
			for _, f := range out.Findings {
				if f.Severity == rules.Deny {
					denied++
				}
				if what, _ := f.Split(); f.Severity != rules.Info && len(f.Path)+2+len(what) > 120 {
					t.Errorf("the first line has %d letters: %s: %s", len(f.Path)+2+len(what), f.Path, what)
				}
			}
			var kubectl, argo strings.Builder
			for _, w := range fit(warningsOf(out.Findings, false)) {
				fmt.Fprintf(&kubectl, "Warning: %s\n", w)
			}
			if out.Denied() {
				refused := fmt.Sprintf("admission webhook \"validate.sallyport.io\" denied the request: %s\n", denial(out, "01"))
				fmt.Fprintf(&kubectl, "Error from server (Forbidden): error when creating \"object.yaml\": %s", refused)
				fmt.Fprintf(&argo, "one or more objects failed to apply, reason: error when creating \"/dev/shm/2918\": %s", refused)
				if denied != 1 {
					t.Errorf("one mistake has %d findings that deny", denied)
				}
				for i, line := range strings.Split(denial(out, "01"), "\n") {
					long := 120 + len("- [direct-path]")
					if i > 1 {
						long = rules.Columns
					}
					if len(line) > long && strings.Contains(strings.TrimSpace(line), " ") {
						t.Errorf("line %d has %d letters: %s", i+1, len(line), line)
					}
				}
			} else {
				kubectl.WriteString("created\n")
				argo.WriteString("synced\n") // Argo CD shows no warnings
			}
			want := txtar.Archive{Comment: archive.Comment, Files: append(archive.Files[:2:2],
				txtar.File{Name: "kubectl", Data: []byte(kubectl.String())}, txtar.File{Name: "argocd", Data: []byte(argo.String())})}
			if *updateMistakes {
				if err := os.WriteFile(file, txtar.Format(&want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(&want))); diff != "" {
				t.Errorf("%s (-want +got; rewrite with -update-mistakes):\n%s", file, diff)
			}
		})
	}
}
