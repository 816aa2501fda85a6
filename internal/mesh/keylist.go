package mesh

import (
	"slices"
	"strings"
)

// keyList is the sorted keys of a node. Under an edit they are strings of their
// own; of a published node they are one, in which what all of them begin with
// stands once: hundreds of thousands of keys, each with a header and an
// allocation, would be a third of a large mesh, and more than half of what the
// garbage collector has to look at.
type keyList struct {
	loose []string // nil where the keys are packed
	text  string   // what is shared, then the rest of each key
	ends  []uint32 // of what is shared, then of each key, in text
}

func (l *keyList) len() int {
	if l.loose != nil {
		return len(l.loose)
	}
	return max(len(l.ends)-1, 0)
}

// shared is what all packed keys begin with.
func (l *keyList) shared() string { return l.text[:l.ends[0]] }

// rest is what a packed key has beyond that.
func (l *keyList) rest(i int) string { return l.text[l.ends[i]:l.ends[i+1]] }

// at returns a key. Of packed ones it makes a string.
func (l *keyList) at(i int) string {
	if l.loose != nil {
		return l.loose[i]
	}
	return l.shared() + l.rest(i)
}

// compare orders a key of the list and another one.
func (l *keyList) compare(i int, key string) int {
	if l.loose != nil {
		return order(l.loose[i], key)
	}
	shared := l.shared()
	rest, ok := strings.CutPrefix(key, shared)
	if !ok {
		return order(shared, key)
	}
	return order(l.rest(i), rest)
}

// order is strings.Compare, which would have every key that is looked for
// escape to the heap.
func order(a, b string) int {
	switch {
	case a == b:
		return 0
	case a < b:
		return -1
	default:
		return 1
	}
}

// hasPrefix reports whether a key begins with the prefix.
func (l *keyList) hasPrefix(i int, prefix string) bool {
	if l.loose != nil {
		return strings.HasPrefix(l.loose[i], prefix)
	}
	shared := l.shared()
	if len(prefix) <= len(shared) {
		return strings.HasPrefix(shared, prefix)
	}
	rest, ok := strings.CutPrefix(prefix, shared)
	return ok && strings.HasPrefix(l.rest(i), rest)
}

// search returns the place of a key, and whether it is there.
func (l *keyList) search(key string) (i int, found bool) {
	if l.loose != nil {
		return slices.BinarySearch(l.loose, key)
	}
	n := l.len()
	if n == 0 {
		return 0, false
	}
	shared := l.shared()
	rest, ok := strings.CutPrefix(key, shared)
	switch {
	case !ok && key < shared:
		return 0, false
	case !ok:
		return n, false
	}
	lo, hi := 0, n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if l.rest(mid) < rest {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < n && l.rest(lo) == rest
}

// mutable returns a copy that is not packed, with room for a key or two. Its
// keys have one text as well.
func (l *keyList) mutable() keyList {
	n := l.len()
	out := make([]string, n, n+2)
	if l.loose != nil {
		copy(out, l.loose)
		return keyList{loose: out}
	}
	shared := l.shared()
	var text strings.Builder
	text.Grow(n*len(shared) + len(l.text) - len(shared))
	for i := range n {
		start := text.Len()
		text.WriteString(shared)
		text.WriteString(l.rest(i))
		out[i] = text.String()[start:]
	}
	return keyList{loose: out}
}

// packed returns the keys as one string. The text of a single node is far from
// the 4 GiB that its ends can tell apart: no object has a megabyte of names.
func (l *keyList) packed() keyList {
	if l.loose == nil {
		return *l
	}
	shared := commonPrefix(l.loose[0], l.loose[len(l.loose)-1])
	size := len(shared)
	ends := make([]uint32, 1, len(l.loose)+1)
	ends[0] = uint32(size)
	for _, key := range l.loose {
		size += len(key) - len(shared)
		ends = append(ends, uint32(size))
	}
	var text strings.Builder
	text.Grow(size)
	text.WriteString(shared)
	for _, key := range l.loose {
		text.WriteString(key[len(shared):])
	}
	return keyList{text: text.String(), ends: ends}
}

// commonPrefix returns what two strings begin with. Of a sorted list that is
// what the first and the last one share.
func commonPrefix(a, b string) string {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return a[:i]
		}
	}
	return a[:n]
}
