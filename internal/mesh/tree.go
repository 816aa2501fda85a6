package mesh

import (
	"iter"
	"slices"
	"strings"
)

// tree is a persistent ordered map from string to V: a B+ tree whose nodes
// are never changed once published. Its zero value is empty. Copying the
// struct copies the map; a change through an edit copies only the nodes
// between the root and the leaf.
//
// Inner keys are lower bounds of what is below them, not necessarily present.
type tree[V any] struct {
	root *node[V]
}

// fanout bounds the entries of a node. At 32 a hundred thousand keys are four
// levels deep, and copying a path costs a few small allocations.
const fanout = 32

// edit is a licence to change nodes in place: those made under the same edit,
// which nobody else has seen yet. It makes bulk loading cheap.
type edit struct{ _ byte }

type node[V any] struct {
	owner *edit
	keys  []string
	vals  []V        // leaves
	kids  []*node[V] // inner nodes
}

func (n *node[V]) mutable(e *edit) *node[V] {
	if n.owner == e {
		return n
	}
	c := &node[V]{owner: e, keys: slices.Clone(n.keys)}
	if n.kids != nil {
		c.kids = slices.Clone(n.kids)
	} else {
		c.vals = slices.Clone(n.vals)
	}
	return c
}

// child is the index of the kid that holds key, if any does.
func (n *node[V]) child(key string) int {
	i, found := slices.BinarySearch(n.keys, key)
	if found {
		return i
	}
	return max(i-1, 0)
}

func (t tree[V]) get(key string) (V, bool) {
	var zero V
	n := t.root
	if n == nil {
		return zero, false
	}
	for n.kids != nil {
		n = n.kids[n.child(key)]
	}
	if i, ok := slices.BinarySearch(n.keys, key); ok {
		return n.vals[i], true
	}
	return zero, false
}

func (t *tree[V]) set(e *edit, key string, val V) {
	if t.root == nil {
		t.root = &node[V]{owner: e, keys: []string{key}, vals: []V{val}}
		return
	}
	left, right := t.root.set(e, key, val)
	if right != nil {
		left = &node[V]{owner: e, keys: []string{left.keys[0], right.keys[0]}, kids: []*node[V]{left, right}}
	}
	t.root = left
}

// set returns the changed node and, where it had to be split, its right half.
func (n *node[V]) set(e *edit, key string, val V) (left, right *node[V]) {
	n = n.mutable(e)
	if n.kids == nil {
		i, ok := slices.BinarySearch(n.keys, key)
		if ok {
			n.vals[i] = val
			return n, nil
		}
		n.keys = insert(n.keys, i, key)
		n.vals = insert(n.vals, i, val)
	} else {
		i := n.child(key)
		l, r := n.kids[i].set(e, key, val)
		n.kids[i] = l
		if key < n.keys[i] {
			n.keys[i] = key
		}
		if r != nil {
			n.keys = insert(n.keys, i+1, r.keys[0])
			n.kids = insert(n.kids, i+1, r)
		}
	}
	if len(n.keys) <= fanout {
		return n, nil
	}
	return n.split(e)
}

// insert is slices.Insert for short lists of which there are very many: they
// grow by a little, not by half.
func insert[T any](list []T, i int, v T) []T {
	if len(list) < cap(list) {
		return slices.Insert(list, i, v)
	}
	out := make([]T, len(list)+1, len(list)+4)
	copy(out, list[:i])
	out[i] = v
	copy(out[i+1:], list[i:])
	return out
}

// split moves the upper half of a node to a new one. Both are copies: the room
// that the full node took is given back.
func (n *node[V]) split(e *edit) (left, right *node[V]) {
	half := len(n.keys) / 2
	left = &node[V]{owner: e, keys: slices.Clone(n.keys[:half])}
	right = &node[V]{owner: e, keys: slices.Clone(n.keys[half:])}
	if n.kids != nil {
		left.kids, right.kids = slices.Clone(n.kids[:half]), slices.Clone(n.kids[half:])
	} else {
		left.vals, right.vals = slices.Clone(n.vals[:half]), slices.Clone(n.vals[half:])
	}
	return left, right
}

func (t *tree[V]) delete(e *edit, key string) {
	if _, ok := t.get(key); !ok {
		return
	}
	t.root = t.root.delete(e, key)
	for t.root != nil && len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
}

// delete removes a key that is present. Nodes may become small, never empty:
// an empty node is reported as nil and goes from its parent.
func (n *node[V]) delete(e *edit, key string) *node[V] {
	if len(n.keys) == 1 && n.kids == nil {
		return nil
	}
	n = n.mutable(e)
	if n.kids == nil {
		i, _ := slices.BinarySearch(n.keys, key)
		n.keys = slices.Delete(n.keys, i, i+1)
		n.vals = slices.Delete(n.vals, i, i+1)
		return n
	}
	i := n.child(key)
	if kid := n.kids[i].delete(e, key); kid != nil {
		n.kids[i] = kid
		return n
	}
	if len(n.kids) == 1 {
		return nil
	}
	n.keys = slices.Delete(n.keys, i, i+1)
	n.kids = slices.Delete(n.kids, i, i+1)
	return n
}

// from yields the entries whose key is at least start, in order.
func (t tree[V]) from(start string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { t.root.scan(start, "", yield) }
}

// prefixed yields the entries whose key begins with prefix, in order.
func (t tree[V]) prefixed(prefix string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { t.root.scan(prefix, prefix, yield) }
}

// under yields the values of the keys that begin with prefix, in order.
func (t tree[V]) under(prefix string) iter.Seq[V] {
	return func(yield func(V) bool) {
		t.root.scan(prefix, prefix, func(_ string, v V) bool { return yield(v) })
	}
}

// scan yields the entries from start on, for as long as they have the prefix.
func (n *node[V]) scan(start, prefix string, yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.kids == nil {
		i, _ := slices.BinarySearch(n.keys, start)
		for ; i < len(n.keys); i++ {
			if !strings.HasPrefix(n.keys[i], prefix) || !yield(n.keys[i], n.vals[i]) {
				return false
			}
		}
		return true
	}
	for i := n.child(start); i < len(n.kids); i++ {
		if !n.kids[i].scan(start, prefix, yield) {
			return false
		}
	}
	return true
}

// first returns the value of the least key that begins with prefix.
func (t tree[V]) first(prefix string) (val V, ok bool) {
	key, v, found := t.root.seek(prefix)
	if !found || !strings.HasPrefix(key, prefix) {
		return val, false
	}
	return v, true
}

// next returns the entry of the least key that is at least start.
func (t tree[V]) next(start string) (key string, val V, ok bool) { return t.root.seek(start) }

func (n *node[V]) seek(start string) (key string, val V, ok bool) {
	if n == nil {
		return "", val, false
	}
	if n.kids == nil {
		if i, _ := slices.BinarySearch(n.keys, start); i < len(n.keys) {
			return n.keys[i], n.vals[i], true
		}
		return "", val, false
	}
	for i := n.child(start); i < len(n.kids); i++ {
		if key, val, ok = n.kids[i].seek(start); ok {
			return key, val, true
		}
	}
	return "", val, false
}
