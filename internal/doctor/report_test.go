package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

func TestWriteText(t *testing.T) {
	pod := func(n int) mesh.Ref { return mesh.Ref{Kind: "Pod", Namespace: "shop", Name: fmt.Sprint("p", n)} }
	r := NewReport(Run([]*Check{
		{Name: "good", Group: "one", Doc: "all is well\n\nWhy.", Check: func(e *Exam) { e.pass(pod(1), "", "2 pods") }},
		{Name: "mixed", Group: "one", Doc: "nothing is wrong\n\nWhy.", Check: func(e *Exam) {
			e.pass(pod(1), "", "fine")
			e.unknown(pod(2), "", "look", "who knows")
			e.fail(pod(3), "spec", "do this\ndo that", "bad")
			e.fail(pod(4), "", "do this\ndo that", "bad too")
		}},
		{Name: "many", Group: "two", Doc: "few are wrong\n\nWhy.", Check: func(e *Exam) {
			for i := range 12 {
				e.fail(mesh.Ref{}, fmt.Sprintf("f%02d", i), "fix it", "wrong")
			}
		}},
	}, NewFacts(mesh.DefaultSettings(), "sallyport-system", "sallyport-webhook", now)))
	if r.Status() != Fail {
		t.Errorf("status %s", r.Status())
	}
	var got bytes.Buffer
	if err := r.WriteText(&got, false); err != nil {
		t.Fatal(err)
	}
	const want = `one
  pass         good: all is well (2 pods)
  fail         mixed: nothing is wrong
      Pod/shop/p3 spec: bad
      Pod/shop/p4: bad too
        > do this
        > do that
      cannot tell: Pod/shop/p2: who knows
        > look
two
  fail         many: few are wrong
      f00: wrong
      f01: wrong
      f02: wrong
      f03: wrong
      f04: wrong
      f05: wrong
      f06: wrong
      f07: wrong
      f08: wrong
      f09: wrong
        > fix it
      and 2 more; -o json lists them
3 checks: 1 pass, 2 fail, 0 cannot tell
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got.Reset()
	if err := r.WriteText(&got, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "\x1b[31mfail\x1b[0m") {
		t.Error("no colours")
	}
}

// TestWriteJSON compares the document with the one that docs/doctor.md shows.
func TestWriteJSON(t *testing.T) {
	f := NewFacts(mesh.DefaultSettings(), "sallyport-system", "sallyport-webhook", now)
	if err := f.Add([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"sallyport.io/mode":"off"}}}`)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := NewReport(Run([]*Check{namespaceModes}, f)).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(Reference(All)), "```json\n")
	example, _, _ := strings.Cut(rest, "```")
	var want, got any
	if err := errors.Join(json.Unmarshal([]byte(example), &want), json.Unmarshal(out.Bytes(), &got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-docs +got):\n%s", diff)
	}
}
