package gen

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewIsDeterministic(t *testing.T) {
	for seed := range uint64(50) {
		for _, make := range []func(uint64) Mesh{New, NewAmbient} {
			if diff := cmp.Diff(make(seed).YAML(), make(seed).YAML()); diff != "" {
				t.Fatalf("seed %d gives two meshes:\n%s", seed, diff)
			}
		}
	}
}

// TestNewDoesNotPanic runs many seeds: mutations meet every state that other
// mutations leave behind.
func TestNewDoesNotPanic(t *testing.T) {
	for seed := range uint64(20000) {
		if m := New(seed); m == nil {
			t.Fatalf("seed %d gives no mesh", seed)
		}
		if m := NewAmbient(seed); m == nil {
			t.Fatalf("seed %d gives no ambient mesh", seed)
		}
	}
}

func TestShrink(t *testing.T) {
	var m Mesh
	for seed := range uint64(5) {
		m = append(m, New(seed)...)
	}
	fails := func(m Mesh) bool { return strings.Contains(m.YAML(), "sniHosts:") }
	got := Shrink(m, fails)
	if len(got) != 1 || !fails(got) {
		t.Fatalf("%d objects are left, want the one that fails:\n%s", len(got), got.YAML())
	}
	if n := strings.Count(got.YAML(), "\n"); n > 12 {
		t.Errorf("%d lines are left of an object that needs about ten:\n%s", n, got.YAML())
	}
}
