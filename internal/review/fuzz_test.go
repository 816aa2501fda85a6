package review_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// FuzzReview gives the judge, with every rule, whatever bytes come as an
// object, in every operation. It may refuse to judge; it may not panic, and a
// panic that it recovers from is one.
func FuzzReview(f *testing.F) {
	cases, err := filepath.Glob(filepath.Join("..", "..", "rules", "testdata", "*.txtar"))
	if err != nil || len(cases) == 0 {
		f.Fatalf("%d cases, error %v", len(cases), err)
	}
	for _, name := range cases {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if !strings.HasSuffix(file.Name, ".yaml") || file.Name == "config.yaml" {
				continue
			}
			docs, err := golden.Documents(file.Data)
			if err != nil {
				f.Fatal(err)
			}
			for i, raw := range docs {
				f.Add(raw, docs[(i+1)%len(docs)])
			}
		}
	}
	for _, raw := range []string{
		``, `null`, `[]`, `{}`, `{"kind":"ServiceEntry"}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"v","namespace":"shop"},"spec":{"hosts":[""],"http":[{"route":[{}],"mirrors":[{}]},null]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"g"},"spec":{"servers":[null,{"hosts":["/","a/","*/*"]}]}}`,
	} {
		f.Add([]byte(raw), []byte(raw))
	}
	judge := &review.Judge{Rules: rules.All}
	f.Fuzz(func(t *testing.T, object, old []byte) {
		m := mesh.New(mesh.DefaultSettings())
		if o, err := mesh.Decode(old); err == nil {
			m = m.With(o)
		}
		for _, op := range []string{"CREATE", "UPDATE", "DELETE"} {
			w := review.Write{Request: rules.Request{Operation: op}, Object: object, OldObject: old}
			_, err := judge.Review(t.Context(), m, w)
			if err != nil && strings.Contains(err.Error(), "panic") {
				t.Errorf("%s: %v", op, err)
			}
			if _, _, err := review.Default(t.Context(), m, w); err != nil && strings.Contains(err.Error(), "panic") {
				t.Errorf("%s: %v", op, err)
			}
		}
		if _, err := judge.ReviewAll(t.Context(), m, [][]byte{object, old}); err != nil && strings.Contains(err.Error(), "panic") {
			t.Error(err)
		}
	})
}
