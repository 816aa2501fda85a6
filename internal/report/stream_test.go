package report

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestWrittenAtOnce compares what is written item by item with the document as a
// whole, with lists that are empty, have one item and have two.
func TestWrittenAtOnce(t *testing.T) {
	for n := range 3 {
		var objects []Object
		var paths []mesh.Path
		var companions []json.RawMessage
		for range n {
			objects = append(objects, Object{Kind: "ServiceEntry", Name: "a<b>: \u202e&\x1b"})
			paths = append(paths, mesh.Path{Host: "a.example.com", Port: 443})
			companions = append(companions, json.RawMessage(`{"kind":"Gateway","spec":{"servers":[]}}`))
		}
		r := New(objects, paths, companions)
		var whole, parts, text bytes.Buffer
		if err := writeJSON(&whole, r); err != nil {
			t.Fatal(err)
		}
		if err := writeReviewJSON(&parts, r); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(whole.String(), parts.String()); d != "" {
			t.Errorf("%d items as JSON (-whole +parts):\n%s", n, d)
		}
		if err := writeReviewYAML(&text, r); err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := json.Unmarshal(whole.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text.Bytes(), &got); err != nil {
			t.Fatalf("%d items as YAML: %v\n%s", n, err, text.String())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d items as YAML (-want +got):\n%s", n, d)
		}
	}
}
