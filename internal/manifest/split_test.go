package manifest

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzApartIsWhole asks of any bytes: what is read item by item, where that
// succeeds, is what is read at once, to the line; and so it is of documents.
func FuzzApartIsWhole(f *testing.F) {
	for _, s := range []string{
		"items:\n- a: b\n- c:\n  - d\nkind: List\n", "kind: List\nitems:\n  - a: |\n      - x\n\n  - b: \"x\n      y\"\n  # c\n", "items:\n- &a {x: y}\n- *a\nkind: List\n",
		"items:\n- \"a\n- b\"\nkind: List\n", "items: # c\n-\n  a: b\n- - c\nkind: List\n", "a: b\n---\nc: d\n...\n%YAML 1.1\n---\ne: f\n", "--- {a: b}\n--- |\n x\n---x\n", "items:\n- a: [\n- b ]\nkind: List\n",
		"items:\n-\ta\n- b\r\n-\r\nkind: List\r\n", "kind: List\nitems:\n- ? a\n  : b\n- !!str x\nitems: []\n", "items:\n- >\n a\n- b\nkind: List\n", "items:\n- 'a\n- ''b'\n- c\nkind: List",
	} {
		f.Add([]byte(s))
	}
	p := parser{ctx: f.Context(), file: "-", limit: 1 << 20}
	same := func(t *testing.T, what string, data []byte, a, b compact) {
		if !bytes.Equal(a.json, b.json) || !slices.Equal(a.lines, b.lines) {
			t.Errorf("%s of %q: apart %s %v, at once %s %v", what, data, a.json, a.lines, b.json, b.lines)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if notText("-", data, true) != nil {
			return
		}
		at := chunk{data, 1}
		at1, atOnce := yamlDocuments("-", at)
		if d, isList, err := p.yamlList(at); isList && err == nil {
			if atOnce != nil || len(at1) != 1 || !at1[0].isList() {
				t.Fatalf("%q is taken apart, and is no List: %v", data, atOnce)
			}
			items := at1[0].get("items").items
			if len(items) != len(d.items) {
				t.Fatalf("%q: %d items apart, %d at once", data, len(d.items), len(items))
			}
			for i, item := range items {
				same(t, "an item", data, d.items[i], item.compact())
			}
		}
		var apart []*value
		for _, c := range documentsOf(data) {
			values, err := yamlDocuments("-", c)
			if err != nil {
				return
			}
			apart = append(apart, values...)
		}
		if atOnce != nil {
			return // each document is right by itself
		}
		if len(apart) != len(at1) {
			t.Fatalf("%q: %d documents apart, %d at once", data, len(apart), len(at1))
		}
		for i := range apart {
			same(t, "a document", data, apart[i].compact(), at1[i].compact())
		}
	})
}
