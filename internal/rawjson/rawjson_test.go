package rawjson

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func members(t testing.TB, object string) (map[string]string, error) {
	t.Helper()
	got := make(map[string]string)
	err := Members([]byte(object), func(name, value []byte) error {
		got[string(name)] = string(value)
		return nil
	})
	return got, err
}

func TestMembers(t *testing.T) {
	for _, tt := range []struct {
		object string
		want   map[string]string // nil for an error
	}{
		{`{}`, map[string]string{}},
		{` { "a" : 1 , "b":[ {"c":"}"} , 2 ] } `, map[string]string{"a": "1", "b": `[ {"c":"}"} , 2 ]`}},
		{`{"a":"quote \" and \\","b":null}`, map[string]string{"a": `"quote \" and \\"`, "b": "null"}},
		{`{"a\"b":-1.5e3}`, map[string]string{`a\"b`: "-1.5e3"}},
		{`{"a":1,"a":2}`, map[string]string{"a": "2"}},
		{``, nil},
		{`[]`, nil},
		{`{"a"}`, nil},
		{`{"a":}`, nil},
		{`{"a":1`, nil},
		{`{"a":"b}`, nil},
		{`{"a":"b\"}`, nil},
		{`{"a":[1}`, nil},
		{`{"a":1}}`, nil},
		{`{"a":1,}`, nil},
		{`{a:1}`, nil},
		{`{"a":1 2}`, nil},
	} {
		got, err := members(t, tt.object)
		if (err != nil) != (tt.want == nil) {
			t.Errorf("%s: error %v", tt.object, err)
			continue
		}
		if d := cmp.Diff(tt.want, got); err == nil && d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.object, d)
		}
	}
}

func TestPlain(t *testing.T) {
	for value, want := range map[string]string{`"a b"`: "a b", `""`: ""} {
		if got, ok := Plain([]byte(value)); !ok || got != want {
			t.Errorf("%s: %q, %t", value, got, ok)
		}
	}
	for _, value := range []string{`"a\nb"`, "\"a\nb\"", `"ä"`, `"`, ``, `null`, `1`, `["a"]`, `"a"b"`} {
		if got, ok := Plain([]byte(value)); ok {
			t.Errorf("%s is taken for the plain string %q", value, got)
		}
	}
}

func TestElements(t *testing.T) {
	for _, tt := range []struct {
		array string
		want  []string // nil for an error
	}{
		{`[]`, []string{}},
		{` [{"a":[1]}, "x,y" ,3 ] `, []string{`{"a":[1]}`, `"x,y"`, "3"}},
		{`{"a":1}`, nil},
		{`[1,]`, nil},
		{`[1 2]`, nil},
		{`[1`, nil},
		{`[1]]`, nil},
	} {
		got := []string{}
		err := Elements([]byte(tt.array), func(value []byte) error {
			got = append(got, string(value))
			return nil
		})
		if (err != nil) != (tt.want == nil) {
			t.Errorf("%s: error %v", tt.array, err)
			continue
		}
		if d := cmp.Diff(tt.want, got); err == nil && d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.array, d)
		}
	}
}

// FuzzMembers compares with encoding/json: what it takes for an object has the
// same members here.
func FuzzMembers(f *testing.F) {
	f.Add(`{"a":{"b":[1,"\"}",{}]},"c":null}`)
	f.Add(`{"a":1}{`)
	f.Fuzz(func(t *testing.T, object string) {
		got, err := members(t, object)
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(object), &want) != nil || want == nil {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		if len(got) < len(want) {
			t.Fatalf("%q has %d members, want %d", object, len(got), len(want))
		}
		for name, value := range got {
			var decoded string
			if err := json.Unmarshal([]byte(`"`+name+`"`), &decoded); err != nil {
				t.Fatalf("%q: the name %q: %v", object, name, err)
			}
			if _, found := want[decoded]; !found || !json.Valid([]byte(value)) {
				t.Fatalf("%q: %q is %q", object, name, value)
			}
		}
	})
}
