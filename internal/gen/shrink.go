package gen

import (
	"maps"
	"slices"
)

// Shrink returns a small mesh that still fails: it drops objects, then fields
// and list elements, one at a time, for as long as what is left fails.
func Shrink(m Mesh, fails func(Mesh) bool) Mesh {
	for smaller := true; smaller; {
		smaller = false
		for i := range slices.Backward(m) {
			if less := slices.Delete(slices.Clone(m), i, i+1); fails(less) {
				m, smaller = less, true
			}
		}
		for i := range m {
			o := m[i]
			for cut := 0; ; {
				less, ok := without(o, cut)
				if !ok {
					break
				}
				with := slices.Clone(m)
				with[i] = less
				if fails(with) {
					m, o, smaller = with, less, true
				} else {
					cut++
				}
			}
		}
	}
	return m
}

// without returns a copy of the object that lacks the n-th field or list
// element of its spec, labels, annotations or status, or its creation time; false
// when there are fewer.
func without(o Object, n int) (Object, bool) {
	out := clone(o)
	meta := out["metadata"].(Object)
	for _, part := range []struct {
		of  Object
		key string
	}{{meta, "creationTimestamp"}, {out, "status"}} {
		if _, there := part.of[part.key]; !there {
			continue
		}
		if n == 0 {
			delete(part.of, part.key)
			return out, true
		}
		n--
	}
	for _, part := range []struct {
		of  Object
		key string
	}{{meta, "labels"}, {meta, "annotations"}, {out, "spec"}} {
		if part.of[part.key] == nil {
			continue
		}
		if part.of[part.key], n = drop(part.of[part.key], n); n < 0 {
			return out, true
		}
	}
	return out, false
}

// drop removes the n-th field or element below v, counted in order, and
// returns how many are still to count: negative once one is removed.
func drop(v any, n int) (any, int) {
	switch v := v.(type) {
	case Object:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if k == "protocol" || k == "resolution" {
				continue // what their absence means is a case of its own
			}
			if n == 0 {
				delete(v, k)
				return v, -1
			}
			if v[k], n = drop(v[k], n-1); n < 0 {
				return v, n
			}
		}
	case []any:
		for i := range v {
			if n == 0 {
				return slices.Delete(v, i, i+1), -1
			}
			if v[i], n = drop(v[i], n-1); n < 0 {
				return v, n
			}
		}
	}
	return v, n
}
