package golden

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/rules"
)

const (
	entry   = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s, namespace: shop}\nspec: {hosts: [%[1]s.example.com]}\n"
	service = "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\n"
)

func archive(sections ...string) *txtar.Archive {
	a := new(txtar.Archive)
	for i := 0; i < len(sections); i += 2 {
		a.Files = append(a.Files, txtar.File{Name: sections[i], Data: []byte(sections[i+1])})
	}
	return a
}

func TestParse(t *testing.T) {
	a, b := fmt.Sprintf(entry, "a"), fmt.Sprintf(entry, "b")
	c, err := Parse(archive(
		"request.yaml", "groups: [dev]\n",
		"world.yaml", a+"---\n",
		"bad.yaml", a+"---\n"+b,
		"good-update-labels.yaml", a+"---\n"+a,
		"good-delete@root.yaml", b,
		"good-files@.yaml", b,
		"want", "anything",
	), rules.Request{User: "jane", Time: "2026-01-01T00:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range c.Files {
		for _, w := range f.Writes {
			r := w.Request
			got = append(got, fmt.Sprintf("%s %v %s %q %v %s %v %v", f.Name, f.Bad, r.Operation, r.User, r.Groups, r.Time[:4], len(w.OldObject) > 0, len(w.Object) > 0))
		}
	}
	if diff := cmp.Diff([]string{
		`bad.yaml true UPDATE "jane" [dev] 2026 true true`,
		`bad.yaml true CREATE "jane" [dev] 2026 false true`,
		`good-update-labels.yaml false UPDATE "jane" [dev] 2026 true true`,
		`good-delete@root.yaml false DELETE "root" [dev] 2026 true false`,
		`good-files@.yaml false CREATE "" [dev] 2026 false true`,
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		sections []string
		want     string
	}{
		"no bad one":          {[]string{"good.yaml", service}, "at least one bad-*.yaml"},
		"no good object":      {[]string{"bad.yaml", service, "good.yaml", "# none\n"}, "at least one bad-*.yaml"},
		"another section":     {[]string{"wrld.yaml", service}, "wrld.yaml: a case has"},
		"a word that begins":  {[]string{"badly.yaml", service}, "badly.yaml: a case has"},
		"no YAML by name":     {[]string{"bad-one", service}, "bad-one: a case has"},
		"config without name": {[]string{"config", ""}, "config: a case has"},
		"half a pair":         {[]string{"bad-update.yaml", service}, "bad-update.yaml: 1 objects"},
		"a key twice":         {[]string{"bad.yaml", "kind: A\nkind: B\n"}, "bad.yaml: "},
		"an unknown field":    {[]string{"request.yaml", "usr: jane\n"}, "request.yaml: "},
		"a world of no kind":  {[]string{"world.yaml", "a: b\n"}, "world.yaml: "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(archive(tt.sections...), rules.Request{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDocuments(t *testing.T) {
	docs, err := Documents([]byte("--- # first\na: 1\n---\n# nothing\n---\n\n--- {b: 2}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range docs {
		got = append(got, string(d))
	}
	if diff := cmp.Diff([]string{`{"a":1}`, `{"b":2}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
