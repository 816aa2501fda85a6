package manifest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/manifest/crdtest"
)

// TestMistakesAreRefused makes every mistake of a sort at every place of good objects of
// each kind of Istio's: something is missing, is of another type, is none of the values
// of an enumeration, or has a name that is almost right. Whatever the reader takes, in
// the form that it puts it in, an API server takes too; a name that is almost right it
// never takes.
func TestMistakesAreRefused(t *testing.T) {
	const most = 4 // objects of one kind
	server := crdtest.New(t)
	tried, refused := map[string]int{}, map[string]int{}
	rules, err := filepath.Glob(filepath.Join("..", "..", "rules", "testdata", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range rules {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			objects, err := manifest.Reader{Stdin: bytes.NewReader(f.Data)}.Read(t.Context(), "-")
			if err != nil || filepath.Ext(f.Name) != ".yaml" {
				continue
			}
			for _, o := range objects {
				kind := o.APIVersion + " " + o.Kind
				if !server.Knows(o.APIVersion, o.Kind) || tried[kind] >= most || server.Refuses(o.APIVersion, o.Kind, o.Raw) != nil {
					continue
				}
				tried[kind]++
				for what, raw := range mistakes(t, o.Raw) {
					out, err := manifest.Reader{Stdin: bytes.NewReader(raw)}.Read(t.Context(), "-")
					if err != nil {
						refused[kind]++
						continue
					}
					if problem := server.Refuses(out[0].APIVersion, out[0].Kind, out[0].Raw); problem != nil {
						t.Errorf("%s, %s %s: %s is read, and an API server refuses it: %v", filepath.Base(name), o.Kind, o.Name, what, problem)
					}
				}
			}
		}
	}
	for _, kind := range []string{"DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "VirtualService", "WorkloadEntry"} {
		if key := "networking.istio.io/v1 " + kind; tried[key] == 0 || refused[key] == 0 {
			t.Errorf("%s: %d objects tried, %d mistakes refused", key, tried[key], refused[key])
		}
	}
}

// mistakes are forms of an object with one mistake in its spec, by what it is.
func mistakes(t *testing.T, good []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	var object map[string]any
	if err := json.Unmarshal(good, &object); err != nil {
		t.Fatal(err)
	}
	// made notes the object as it is with one thing changed in it.
	made := func(format string, args ...any) {
		raw, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprintf(format, args...)] = raw
	}
	var walk func(at string, v any, set func(any))
	walk = func(at string, v any, set func(any)) {
		for what, wrong := range map[string]any{"a map": map[string]any{"a": map[string]any{}}, "a list": []any{[]any{}}, "a number": -1.5, "a word": "SOME_OTHER", "a truth": true} {
			if _, is := v.(map[string]any); is && what == "a map" {
				continue // of its own type
			}
			set(wrong)
			made("%s, which is %s,", at, what)
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				child := v[k]
				delete(v, k)
				made("%s without %s", at, k)
				if len(k) > 4 {
					v[k[:len(k)-1]] = child
					made("%s with %s without its last letter", at, k)
					delete(v, k[:len(k)-1])
				}
				v[k] = child
				walk(at+"."+k, child, func(to any) { v[k] = to })
			}
		case []any:
			for i := range v {
				child := v[i]
				walk(fmt.Sprintf("%s[%d]", at, i), child, func(to any) { v[i] = to })
			}
		}
	}
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return nil
	}
	walk("spec", spec, func(to any) { object["spec"] = to })
	return out
}
