package mesh

import (
	"iter"
	"slices"
)

// hostIndex finds values by host. Hosts are kept read from their end, so that
// everything below a suffix is one range; within a host, values are ordered by
// the key that add was given.
type hostIndex[V any] struct {
	tree[V]
	wildcards *wildcardLengths
}

// wildcardLengths counts the registered wildcards by the length of what
// follows their star. To find the wildcards that cover a host, only lengths
// that occur need to be tried.
type wildcardLengths struct {
	owner *edit
	n     [256]uint32
}

func (x *hostIndex[V]) count(e *edit, host string, delta uint32) {
	if len(host) > 255 {
		return
	}
	switch {
	case x.wildcards == nil:
		x.wildcards = &wildcardLengths{owner: e}
	case x.wildcards.owner != e:
		w := *x.wildcards
		w.owner = e
		x.wildcards = &w
	}
	x.wildcards.n[len(host)-1] += delta
}

func (x *hostIndex[V]) add(e *edit, host, key string, v V) {
	var buf [keySize]byte
	k := string(append(appendHost(buf[:0], host), key...))
	if IsWildcard(host) {
		if _, ok := x.get(k); !ok {
			x.count(e, host, 1)
		}
	}
	x.set(e, k, v)
}

func (x *hostIndex[V]) remove(e *edit, host, key string) {
	var buf [keySize]byte
	k := borrowed(append(appendHost(buf[:0], host), key...))
	if IsWildcard(host) {
		if _, ok := x.get(k); ok {
			x.count(e, host, ^uint32(0))
		}
	}
	x.delete(e, k)
}

// exactly yields the values of exactly this host, wildcard or not.
func (x *hostIndex[V]) exactly(host string) iter.Seq[V] {
	return func(yield func(V) bool) {
		var buf [keySize]byte
		prefix := borrowed(appendHost(buf[:0], host))
		x.scan(prefix, prefix, func(e entry[V]) bool { return yield(e.val) })
	}
}

// patterns yields the wildcards, the most specific first, that may be
// registered and that cover every name the host stands for, other than the
// host itself.
func (x *hostIndex[V]) patterns(host string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if x.wildcards == nil {
			return
		}
		name := host
		longest := len(host)
		if IsWildcard(host) {
			name = host[1:]
			longest = len(name) - 1
		}
		for n := min(longest, len(x.wildcards.n)-1); n >= 0; n-- {
			if x.wildcards.n[n] > 0 && !yield("*"+name[len(name)-n:]) {
				return
			}
		}
	}
}

// covering yields the values of every wildcard that covers the host, other
// than the host itself; the most specific wildcard first.
func (x *hostIndex[V]) covering(host string) iter.Seq[V] {
	return func(yield func(V) bool) {
		for p := range x.patterns(host) {
			for v := range x.exactly(p) {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// below yields the values of every host that a wildcard covers, other than
// the wildcard itself.
func (x *hostIndex[V]) below(pattern string) iter.Seq[V] {
	self := hostPrefix(pattern)
	return func(yield func(V) bool) {
		for k, v := range x.prefixed(reversed(pattern[1:])) {
			if len(k) >= len(self) && k[:len(self)] == self {
				continue
			}
			if !yield(v) {
				return
			}
		}
	}
}

// overlapping returns the values of every host that shares a name with this
// one: itself, the wildcards over it, and, where it is a wildcard, whatever is
// below.
func (x *hostIndex[V]) overlapping(host string) []V {
	out := slices.AppendSeq(make([]V, 0, 4), x.exactly(host))
	out = slices.AppendSeq(out, x.covering(host))
	if IsWildcard(host) {
		out = slices.AppendSeq(out, x.below(host))
	}
	return out
}
