package review_test

import (
	"encoding/json"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestStoredCompanionsAreNobodysFault reviews a whole cluster, an entry with its
// companions: nothing is said of those, but of an object of the same name that
// Sallyport did not write.
func TestStoredCompanionsAreNobodysFault(t *testing.T) {
	m := mesh.New(mesh.DefaultSettings(), decode(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n")...)
	objects := [][]byte{admittedAs(t, m, "CREATE", document(t, entryOf("pay.example.com")), nil)}
	for _, c := range companion.For(m.With(mustDecode(t, objects[0])), "pay.example.com").Objects {
		o, err := companion.Render(c)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, raw)
	}
	if len(objects) < 4 {
		t.Fatalf("%d objects", len(objects))
	}
	reserved := func(objects [][]byte) (n int) {
		batch, err := (&review.Judge{Rules: rules.All, Stored: true}).ReviewAll(t.Context(), m, objects)
		if err != nil {
			t.Fatal(err)
		}
		for _, out := range batch.Outcomes {
			for _, f := range out.Findings {
				if f.Rule == "reserved-companion" {
					n++
				} else if companion.Is(out.Ref) {
					t.Errorf("%s: %s %s", out.Ref, f.Rule, f.Message)
				}
			}
		}
		return n
	}
	if n := reserved(objects); n != 0 {
		t.Errorf("%d companions are reproached with their names", n)
	}
	strange := admittedAs(t, m, "CREATE", document(t, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: "+companion.Key("pay.example.com")+", namespace: blog}\nspec: {hosts: [a.example.com]}\n"), nil)
	if n := reserved(append(objects, strange)); n != 1 {
		t.Errorf("%d objects are found to have a companion's name without being one; want 1", n)
	}
}
