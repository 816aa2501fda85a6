package mesh_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

func TestFew(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", strings.Repeat("g", 1000)}
	for _, test := range []struct {
		names []string
		count int
		want  string
	}{
		{names[:1], 1, "a"},
		{names[:5], 5, "a, b, c, d, e"},
		{names[:6], 6, "a, b, c, d, e and 1 more"},
		{names[:2], 9, "a, b and 7 more"},
		{names[6:], 1, strings.Repeat("g", 253) + "..."},
	} {
		if got := mesh.Few(test.names, test.count); got != test.want {
			t.Errorf("%d of %d: %q, want %q", len(test.names), test.count, got, test.want)
		}
	}
	if got := mesh.Cut(strings.Repeat("ü", 10), 10); got != "üüü..." {
		t.Errorf("%q", got)
	}
}

// TestCheckWords checks which strings are too long to be judged, wherever they stand.
func TestCheckWords(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	const vs = `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","namespace":"shop"},"spec":{%s}}`
	for _, test := range []struct {
		name, object, want string
	}{
		{"a host", fmt.Sprintf(vs, `"hosts":["a","`+x(513)+`"]`), "field hosts has a string of 513 bytes"},
		{"the longest host", fmt.Sprintf(vs, `"hosts":["`+x(512)+`"]`), ""},
		{"a destination", fmt.Sprintf(vs, `"http":[{"route":[{"destination":{"host" : "`+x(600)+`"}}]}]`), "field host has"},
		{"an escape", fmt.Sprintf(vs, `"hosts":["\"`+x(600)+`\\"]`), "field hosts has"},
		{"a pattern", fmt.Sprintf(vs, `"http":[{"match":[{"uri":{"regex":"`+x(4096)+`"}}]}]`), ""},
		{"a long pattern", fmt.Sprintf(vs, `"http":[{"match":[{"uri":{"regex":"`+x(4097)+`"}}]}]`), "field regex has"},
		{"a body", fmt.Sprintf(vs, `"http":[{"directResponse":{"status":503,"body":{"string":"`+x(100_000)+`"}}}]`), ""},
		{"a key", fmt.Sprintf(vs, `"http":[{"match":[{"sourceLabels":{"`+x(600)+`":"a"}}]}]`), "a key of 600 bytes"},
		{"a name", `{"apiVersion":"networking.istio.io/v1","kind":"EnvoyFilter","metadata":{"name":"` + x(254) + `"}}`, "metadata.name has 254 bytes"},
		{"a namespace", `{"apiVersion":"networking.istio.io/v1","kind":"EnvoyFilter","metadata":{"name":"a","namespace":"` + x(254) + `"}}`, "metadata.namespace has"},
		{"a program", `{"apiVersion":"networking.istio.io/v1alpha3","kind":"EnvoyFilter","metadata":{"name":"a"},"spec":{"inlineCode":"` + x(100_000) + `"}}`, ""},
		{"an annotation", `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","annotations":{"note":"` + x(100_000) + `"}},"spec":{}}`, ""},
		{"an address", `{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"a"},"subsets":[{"addresses":[{"ip":"` + x(600) + `"}]}]}`, "field ip has"},
	} {
		o, err := mesh.Decode([]byte(test.object))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		err = mesh.CheckWords(o, []byte(test.object))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: the error itself has %d bytes", test.name, len(err.Error()))
		}
	}
}
