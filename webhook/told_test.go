package webhook

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/internal/sight"
	"github.com/sallyport-io/sallyport/rules"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// TestAnswersStayUseful compares what is told with what there is to tell, for
// every write of the golden cases of the rules: testdata/told.golden has what is
// told in other words, and the rest is told as it is.
func TestAnswersStayUseful(t *testing.T) {
	const file = "testdata/told.golden"
	var got strings.Builder
	same, different := 0, 0
	for _, c := range disclosureCases(t) {
		m := mesh.New(c.settings, c.world...)
		judge := &review.Judge{Rules: rules.All}
		for _, w := range c.writes {
			w.Request.Time = "2026-09-01T12:00:00Z"
			out, err := judge.Review(t.Context(), m, w)
			if err != nil {
				t.Fatal(err)
			}
			namespace := out.Ref.Namespace
			if out.Ref.Kind == "Namespace" {
				namespace = out.Ref.Name
			}
			reader := sight.From(m, namespace, w.Object, w.OldObject)
			if m.Settings().Platform(namespace) || namespace == "" {
				reader = sight.Everything()
			}
			for _, f := range out.Findings {
				if f.Rest.Count > 0 {
					continue // how many there are more is not said
				}
				told, whole := judge.Told([]rules.Finding{f}, reader)
				if f.Told.String() != f.Message || f.ToldFix.String() != f.Fix {
					t.Errorf("%s: rule %s says what it has not marked: %q, %q", c.name, f.Rule, f.Message, f.Fix)
				}
				if whole {
					same++
					if told[0].Message != f.Message || told[0].Fix != f.Fix || told[0].Path != f.Path {
						t.Errorf("%s: told\n%+v\nfor\n%+v", c.name, told[0], f)
					}
					continue
				}
				different++
				fmt.Fprintf(&got, "%s: %s %s\n\t%s: %s\n\t%s: %s\n", c.name, w.Request.Operation, out.Ref, f.Path, f.Message, told[0].Path, told[0].Message)
				if told[0].Fix != f.Fix {
					got.WriteString("\tand no fix\n")
				}
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got; rewrite with -update):\n%s", diff)
	}
	if same < 5*different {
		t.Errorf("%d findings are told as they are and %d are not", same, different)
	}
}
