package rawjson

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// listed reads a list whose array is called "items".
func listed(r io.Reader) (members map[string]string, items []string, err error) {
	members = make(map[string]string)
	err = List(r, "items", func(name, value []byte) error {
		members[string(name)] = string(value)
		return nil
	}, func(value []byte) error {
		items = append(items, string(value))
		return nil
	})
	return members, items, err
}

func TestList(t *testing.T) {
	long := `"` + strings.Repeat("x", 5*windowSize) + `"`
	many := strings.TrimSuffix(strings.Repeat(`{"a":[1,"]"]},`, windowSize), ",")
	for _, tt := range []struct {
		name, list string
		members    map[string]string
		items      int // -1 for an error
	}{
		{"empty", `{}`, map[string]string{}, 0},
		{"spaces", " { \"kind\" : 1 , \"items\" : [ ] } \n", map[string]string{"kind": "1"}, 0},
		{"null", `{"items":null,"b":"c"}`, map[string]string{"b": `"c"`}, 0},
		{"order", `{"a":{"items":[1]},"items":[1,{"items":[2]},"x"],"b":-1.5}`, map[string]string{"a": `{"items":[1]}`, "b": "-1.5"}, 3},
		{"longer than the window", `{"a":` + long + `,"items":[` + long + `]}`, map[string]string{"a": long}, 1},
		{"many", `{"items":[` + many + `],"z":1}`, map[string]string{"z": "1"}, windowSize},
		{"nothing", ``, nil, -1},
		{"array", `[]`, nil, -1},
		{"no list", `{"items":{}}`, nil, -1},
		{"number", `{"items":1}`, nil, -1},
		{"open", `{"items":[1`, nil, -1},
		{"open behind", `{"items":[1]`, nil, -1},
		{"open text", `{"items":["a`, nil, -1},
		{"comma", `{"items":[1,]}`, nil, -1},
		{"more", `{"items":[1]}{`, nil, -1},
		{"no value", `{"a"}`, nil, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			readers := map[string]io.Reader{"whole": strings.NewReader(tt.list)}
			if len(tt.list) < windowSize {
				readers["by bytes"] = iotest.OneByteReader(strings.NewReader(tt.list))
				readers["end with data"] = iotest.DataErrReader(strings.NewReader(tt.list))
			}
			for how, r := range readers {
				members, items, err := listed(r)
				if tt.items < 0 {
					if !errors.Is(err, ErrSyntax) {
						t.Errorf("%s: error %v, want %v", how, err, ErrSyntax)
					}
					continue
				}
				if err != nil || len(items) != tt.items {
					t.Errorf("%s: %d items, error %v", how, len(items), err)
				}
				if d := cmp.Diff(tt.members, members); d != "" {
					t.Errorf("%s (-want +got):\n%s", how, d)
				}
			}
		})
	}
}

// TestListEndsWithErrors: what fails on the way is told as it is, and what was
// cut off is no list.
func TestListEndsWithErrors(t *testing.T) {
	gone := errors.New("gone")
	cut := io.MultiReader(strings.NewReader(`{"items":[1,2`), iotest.ErrReader(gone))
	if _, items, err := listed(cut); !errors.Is(err, gone) || len(items) != 1 {
		t.Errorf("a source that fails: %v, error %v", items, err)
	}
	late := io.MultiReader(strings.NewReader(`{"items":[1,2]}`), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, _, err := listed(late); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that fails at the end: error %v", err)
	}
	none := func(_, _ []byte) error { return nil }
	err := List(strings.NewReader(`{"items":[1,2]}`), "items", none, func([]byte) error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("an element that nobody wants: error %v", err)
	}
}

// FuzzList: a list is what Members and Elements make of it.
func FuzzList(f *testing.F) {
	for _, list := range []string{`{"a":1,"items":[{},"]"],"b":[2]}`, `{"items":null}`, `{"items":[1,2`, `{`, ``} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		members, items, err := listed(iotest.HalfReader(strings.NewReader(list)))
		wantMembers, wantItems := make(map[string]string), []string(nil)
		want := Members([]byte(list), func(name, value []byte) error {
			switch {
			case string(name) != "items":
				wantMembers[string(name)] = string(value)
				return nil
			case string(value) == "null":
				return nil
			}
			return Elements(value, func(value []byte) error {
				wantItems = append(wantItems, string(value))
				return nil
			})
		})
		if (err == nil) != (want == nil) {
			t.Fatalf("error %v, want %v", err, want)
		}
		if err != nil {
			return
		}
		if d := cmp.Diff(wantMembers, members) + cmp.Diff(wantItems, items); d != "" {
			t.Fatal(d)
		}
	})
}
