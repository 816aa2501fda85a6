package mesh

import "strings"

// keyList is the sorted keys of a node. Under an edit they are strings of their
// own; of a published node they are one: hundreds of thousands of keys, each
// with a header and an allocation, would be a third of a large mesh, and more
// than half of what the garbage collector has to look at.
type keyList struct {
	loose []string // nil where the keys are packed
	text  string   // all keys, one behind the other
	ends  []uint32 // of each key in text
}

func (l *keyList) len() int {
	if l.loose != nil {
		return len(l.loose)
	}
	return len(l.ends)
}

func (l *keyList) at(i int) string {
	switch {
	case l.loose != nil:
		return l.loose[i]
	case i == 0:
		return l.text[:l.ends[0]]
	default:
		return l.text[l.ends[i-1]:l.ends[i]]
	}
}

// search returns the place of a key, and whether it is there.
func (l *keyList) search(key string) (i int, found bool) {
	lo, hi := 0, l.len()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if l.at(mid) < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < l.len() && l.at(lo) == key
}

// mutable returns a copy that is not packed, with room for a key or two.
func (l *keyList) mutable() keyList {
	out := make([]string, l.len(), l.len()+2)
	for i := range out {
		out[i] = l.at(i)
	}
	return keyList{loose: out}
}

// packed returns the keys as one string. The text of a single node is far from
// the 4 GiB that its ends can tell apart: no object has a megabyte of names.
func (l *keyList) packed() keyList {
	if l.loose == nil {
		return *l
	}
	out := keyList{ends: make([]uint32, len(l.loose))}
	size := 0
	for i, key := range l.loose {
		size += len(key)
		out.ends[i] = uint32(size)
	}
	var text strings.Builder
	text.Grow(size)
	for _, key := range l.loose {
		text.WriteString(key)
	}
	out.text = text.String()
	return out
}
