package mesh

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	kjson "sigs.k8s.io/json"
)

// FuzzUnmarshal: what is read of a spec is what an API server's own decoder
// reads, whether nulls, other spellings, numbers of all sorts or broken text;
// but for names that are there twice, which are refused.
func FuzzUnmarshal(f *testing.F) {
	for _, spec := range []string{
		`{"hosts":["a"],"hosts":["b","c"],"Hosts":["d"],"HOSTS":7}`,
		`{"hosts":null,"gateways":[],"http":[null,{}],"tls":[{"match":[{"port":1e2}]}]}`,
		`{"http":[{"match":[{"port":80.0}]}]}`,
		`{"http":[{"match":[{"port":99999999999999999999}]}]}`,
		`{"http":[{"match":[{"port":-0}],"mirrorPercentage":{"value":1e400}}]}`,
		`{"http":[{"mirror":{"host":"a","subset":"s"},"mirror":{"host":"b"}}]}`,
		`{"http":[{"match":[{"headers":{"a":{"exact":"1"},"a":{"prefix":"2"}}}]}]}`,
		`{"http":[{"match":[{"headers":{"a":{"exact":"1"}},"headers":{"b":null}}]}]}`,
		`{"http":[{"route":[{"weight":1},{"weight":2}],"route":[{"destination":{"host":"x"}}]}]}`,
		`{"exportTo":["\ud800","\u0000","` + "\xff" + `"],"x":{"hosts":[1]}}`,
		`{"hosts":["a"]} x`, `{"hosts":["a",]}`, `{"hosts":"a"}`, `[]`, `7`, `null`, ``,
	} {
		f.Add([]byte(spec))
	}
	f.Fuzz(func(t *testing.T, spec []byte) {
		var want, got VirtualService
		wrong, err := kjson.UnmarshalCaseSensitivePreserveInts(spec, &want), unmarshal(spec, &got)
		if wrong != nil {
			if err == nil {
				t.Fatalf("read what an API server does not (%v): %+v", wrong, got)
			}
			return
		}
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return
		}
		if err != nil {
			t.Fatalf("not read, but by an API server: %v", err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-API server +got):\n%s", d)
		}
	})
}
