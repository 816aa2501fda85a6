package mesh

import (
	"slices"
	"strings"
	"testing"
)

// TestKeyList: packed or not, a list says the same.
func TestKeyList(t *testing.T) {
	for _, keys := range [][]string{
		{"a"}, {""}, {"", "a"}, {"a", "ab", "abc"}, {"ab", "abc", "abd"}, {"host\x00a", "host\x00b", "host\x00b\x00"}, {"a", "b", "ba"},
	} {
		loose := keyList{loose: keys}
		packed := loose.packed()
		again := packed.mutable()
		if packed.loose != nil || !slices.Equal(again.loose, keys) {
			t.Fatalf("%q packed and unpacked: %q", keys, again.loose)
		}
		probes := append(slices.Clone(keys), "", "a", "aa", "ab", "abb", "abcd", "b", "h", "host", "host\x00", "host\x00aa", "i")
		for _, key := range probes {
			i, found := packed.search(key)
			if want, ok := slices.BinarySearch(keys, key); i != want || found != ok {
				t.Errorf("search(%q) in %q = %d, %t; want %d, %t", key, keys, i, found, want, ok)
			}
			for i, have := range keys {
				if got, want := packed.compare(i, key), strings.Compare(have, key); got != want {
					t.Errorf("compare(%q, %q) = %d, want %d", have, key, got, want)
				}
				if got, want := packed.hasPrefix(i, key), strings.HasPrefix(have, key); got != want {
					t.Errorf("hasPrefix(%q, %q) = %t", have, key, got)
				}
			}
		}
	}
	var none keyList
	if _, found := none.search("a"); found || none.len() != 0 {
		t.Error("an empty list has a key")
	}
}
