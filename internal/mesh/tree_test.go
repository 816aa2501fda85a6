package mesh

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTreeModel compares the persistent tree with a plain map under random
// edits, and checks that every older version stays as it was.
func TestTreeModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type version struct {
		tree  tree[int]
		model map[string]int
	}
	var versions []version
	now := version{model: map[string]int{}}
	for step := range 300 {
		next := version{tree: now.tree, model: maps.Clone(now.model)}
		e := &edit{draft: rnd.IntN(4) > 0}
		for range rnd.IntN(40) {
			key := fmt.Sprintf("%c/%d", 'a'+rnd.IntN(4), rnd.IntN(400))
			if rnd.IntN(5) < 2 {
				next.tree.delete(e, key)
				delete(next.model, key)
			} else {
				next.tree.set(e, key, step)
				next.model[key] = step
			}
		}
		versions = append(versions, next)
		now = next
	}
	for i, v := range versions {
		for _, prefix := range []string{"", "a/", "b/1", "zz"} {
			var got, want []string
			for k, val := range v.tree.prefixed(prefix) {
				got = append(got, fmt.Sprint(k, "=", val))
			}
			for _, k := range slices.Sorted(maps.Keys(v.model)) {
				if strings.HasPrefix(k, prefix) {
					want = append(want, fmt.Sprint(k, "=", v.model[k]))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("version %d, prefix %q (-want +got):\n%s", i, prefix, diff)
			}
		}
		for k, want := range v.model {
			if got, ok := v.tree.get(k); !ok || got != want {
				t.Fatalf("version %d: get(%q) = %d, %t; want %d", i, k, got, ok, want)
			}
		}
	}
}

func TestTreeEmptied(t *testing.T) {
	var tr tree[int]
	for i := range 1000 {
		tr.set(new(edit), fmt.Sprint(i), i)
	}
	for i := range 1000 {
		tr.delete(new(edit), fmt.Sprint(i))
	}
	if !tr.empty() {
		t.Errorf("a tree without keys still has nodes: %v", tr)
	}
	tr.delete(new(edit), "absent")
	if _, ok := tr.first(""); ok {
		t.Error("an empty tree has a first entry")
	}
}
