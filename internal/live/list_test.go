package live

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-logr/logr/testr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestList reads whole objects page by page, with the kind that the API server
// leaves out of lists of built-in kinds.
func TestList(t *testing.T) {
	c := newCluster(t, builtins())
	const n = 2*listPage + 1
	for i := range n {
		c.put(entries, "shop", fmt.Sprintf("entry-%04d", i), entrySpec("api.example.com"))
	}
	c.put(services, "shop", "web", map[string]any{"ports": []any{}})
	s, err := New(c.start(), mesh.DefaultSettings(), testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]int{
		"ServiceEntry": n,
		"Service":      1,
		"HTTPRoute":    0, // not served
		"Pod":          0, // not followed
	} {
		seen := map[mesh.Ref]bool{}
		err := s.List(t.Context(), kind, func(raw []byte) error {
			o, err := mesh.Decode(raw)
			if err == nil {
				seen[o.Metadata().Ref] = true
			}
			return err
		})
		if err != nil || len(seen) != want {
			t.Errorf("%s: %d objects, %v; want %d", kind, len(seen), err, want)
		}
	}

	enough := errors.New("enough")
	calls := 0
	err = s.List(t.Context(), "ServiceEntry", func([]byte) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%d calls, %v; want the first one's error to end it", calls, err)
	}
	c.forbid(entries, "no right to list entries")
	if err := s.List(t.Context(), "ServiceEntry", func([]byte) error { return nil }); err == nil {
		t.Error("no error where the API server refuses")
	}
}
