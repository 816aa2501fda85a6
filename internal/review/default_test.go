package review_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

const annotation = `"sallyport.io/export-to"`

func TestDefault(t *testing.T) {
	bare := strings.Replace(entryOf("pay.example.com"), ` exportTo: ["."],`, "", 1)
	with := func(meta, exportTo string) string {
		s := strings.Replace(bare, "namespace: shop", "namespace: shop"+meta, 1)
		if exportTo != "" {
			s = strings.Replace(s, "resolution: DNS", "resolution: DNS, exportTo: "+exportTo, 1)
		}
		return s
	}
	managed := `, annotations: {sallyport.io/export-to: "."}`
	mode := func(m string) string {
		return "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {sallyport.io/mode: \"" + m + "\"}}\n"
	}
	for _, test := range []struct {
		name, world, object string
		companions          bool // those of the host exist
		want                string
	}{
		{
			name: "no exportTo: held", object: bare,
			want: `[{"op":"add","path":"/metadata/annotations","value":{` + annotation + `:"."}},{"op":"add","path":"/spec/exportTo","value":["~"]}]`,
		},
		{
			name: "other annotations stay", object: with(`, annotations: {owner: me}`, ""),
			want: `[{"op":"add","path":"/metadata/annotations/sallyport.io~1export-to","value":"."},{"op":"add","path":"/spec/exportTo","value":["~"]}]`,
		},
		{
			name: "an empty exportTo is none", object: with("", "[]"),
			want: `[{"op":"add","path":"/metadata/annotations","value":{` + annotation + `:"."}},{"op":"add","path":"/spec/exportTo","value":["~"]}]`,
		},
		{
			name: "the platform exports to all", object: strings.Replace(bare, "namespace: shop", "namespace: istio-system", 1),
			want: `[{"op":"add","path":"/metadata/annotations","value":{` + annotation + `:"*"}},{"op":"add","path":"/spec/exportTo","value":["~"]}]`,
		},
		{
			name: "an annotation says to whom", object: with(`, annotations: {sallyport.io/export-to: "*"}`, ""),
			want: `[{"op":"add","path":"/spec/exportTo","value":["~"]}]`,
		},
		{
			name: "paths that are via already open it at once", object: bare, companions: true,
			want: `[{"op":"add","path":"/metadata/annotations","value":{` + annotation + `:"."}},{"op":"add","path":"/spec/exportTo","value":["."]}]`,
		},
		{
			name: "in the mesh there is nothing to wait for", object: strings.NewReplacer("resolution: DNS", "resolution: STATIC, location: MESH_INTERNAL, endpoints: [{address: 10.0.0.7}]").Replace(bare),
			want: `[{"op":"add","path":"/metadata/annotations","value":{` + annotation + `:"."}},{"op":"add","path":"/spec/exportTo","value":["."]}]`,
		},
		{name: "the client's own exportTo stays", object: with("", `["*"]`), want: `null`},
		{name: "held already", object: with(managed, `["~"]`), want: `null`},
		{name: "open and via", object: with(managed, `["."]`), companions: true, want: `null`},
		{
			name: "open and no longer via: held again", object: with(managed, `["."]`),
			want: `[{"op":"add","path":"/spec/exportTo","value":["~"]}]`,
		},
		{name: "the client changed a managed one", object: with(managed, `["*"]`), want: `null`},
		{name: "mode warn changes nothing", world: mode("warn"), object: bare, want: `null`},
		{name: "mode off changes nothing", world: mode("off"), object: bare, want: `null`},
		{name: "without hosts there is nothing to hold", object: strings.Replace(bare, "[pay.example.com]", "[]", 1), want: `null`},
		{name: "no other kind", object: "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: shop}\nspec: {hosts: [a]}\n", want: `null`},
		{name: "a kind that the model does not hold", object: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\n", want: `null`},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := mesh.New(mesh.DefaultSettings(), decode(t, test.world)...)
			if test.companions {
				set := companion.For(m.With(decode(t, strings.Replace(bare, "resolution: DNS", `resolution: DNS, exportTo: ["."]`, 1))...), "pay.example.com")
				if len(set.Objects) == 0 {
					t.Fatal("no companions")
				}
				m = m.With(set.Objects...)
			}
			w := review.Write{Request: rules.Request{Operation: "CREATE"}, Object: document(t, test.object)}
			ops, _, err := review.Default(t.Context(), m, w)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(ops)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// Once is enough.
			if w.Object, err = review.Patched(w.Object, ops); err != nil {
				t.Fatal(err)
			}
			if again, _, err := review.Default(t.Context(), m, w); err != nil || len(again) > 0 {
				t.Errorf("a second time: %v, error %v", again, err)
			}
			// And a DELETE is nobody's to change.
			w.Request.Operation, w.OldObject, w.Object = "DELETE", w.Object, nil
			if ops, _, err := review.Default(t.Context(), m, w); err != nil || len(ops) > 0 {
				t.Errorf("on DELETE: %v, error %v", ops, err)
			}
		})
	}
}

func TestDefaultMalformed(t *testing.T) {
	for _, raw := range []string{``, `{`, `[]`, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","spec":{"hosts":7}}`} {
		w := review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(raw)}
		if ops, _, err := review.Default(t.Context(), mesh.New(mesh.DefaultSettings()), w); err == nil {
			t.Errorf("%s: %v; want an error", raw, ops)
		}
	}
}
