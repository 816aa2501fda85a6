package mesh

import "slices"

// node is one of a B+ tree. Nodes are never changed once published; a change
// through an edit copies only those between the root and the leaf. A nil node
// is the root of an empty tree.
//
// Inner keys are lower bounds of what is below them, not necessarily present.
type node[V any] struct {
	owner *edit
	keys  keyList
	vals  []V        // leaves
	kids  []*node[V] // inner nodes
}

// fanout bounds the entries of a node. At 32 a hundred thousand keys are four
// levels deep, and copying a path costs a few small allocations.
const fanout = 32

func (n *node[V]) mutable(e *edit) *node[V] {
	if n.owner == e {
		return n
	}
	c := &node[V]{owner: e, keys: n.keys.mutable()}
	if n.kids != nil {
		c.kids = slices.Clone(n.kids)
	} else {
		c.vals = slices.Clone(n.vals)
	}
	return c
}

// seal ends the edit for the nodes that it has made: what they hold takes no
// more room than it needs from then on.
func (n *node[V]) seal(e *edit) {
	if n == nil || n.owner != e {
		return
	}
	n.owner = nil
	n.keys = n.keys.packed()
	n.vals, n.kids = fit(n.vals), fit(n.kids)
	for _, kid := range n.kids {
		kid.seal(e)
	}
}

// child is the index of the kid that holds key, if any does.
func (n *node[V]) child(key string) int {
	i, found := n.keys.search(key)
	if found {
		return i
	}
	return max(i-1, 0)
}

func (n *node[V]) get(key string) (val V, ok bool) {
	if leaf, i, ok := n.find(key); ok {
		return leaf.vals[i], true
	}
	return val, false
}

// key returns the node's own copy of a key.
func (n *node[V]) key(key string) (string, bool) {
	if leaf, i, ok := n.find(key); ok {
		return leaf.keys.at(i), true
	}
	return "", false
}

func (n *node[V]) find(key string) (leaf *node[V], i int, ok bool) {
	if n == nil {
		return nil, 0, false
	}
	for n.kids != nil {
		n = n.kids[n.child(key)]
	}
	i, ok = n.keys.search(key)
	return n, i, ok
}

// with returns the root of the tree with an entry set.
func (n *node[V]) with(e *edit, key string, val V) *node[V] {
	if n == nil {
		return &node[V]{owner: e, keys: keyList{loose: []string{key}}, vals: []V{val}}
	}
	left, right := n.set(e, key, val)
	if right != nil {
		bounds := []string{left.keys.at(0), right.keys.at(0)}
		return &node[V]{owner: e, keys: keyList{loose: bounds}, kids: []*node[V]{left, right}}
	}
	return left
}

// without returns the root of the tree without a key.
func (n *node[V]) without(e *edit, key string) *node[V] {
	if _, ok := n.get(key); !ok {
		return n
	}
	n = n.delete(e, key)
	for n != nil && len(n.kids) == 1 {
		n = n.kids[0]
	}
	return n
}

// set returns the changed node and, where it had to be split, its right half.
func (n *node[V]) set(e *edit, key string, val V) (left, right *node[V]) {
	n = n.mutable(e)
	var at int // where the node has grown
	if n.kids == nil {
		i, ok := n.keys.search(key)
		if ok {
			n.vals[i] = val
			return n, nil
		}
		n.keys.loose = insert(n.keys.loose, i, key)
		n.vals = insert(n.vals, i, val)
		at = i
	} else {
		i := n.child(key)
		l, r := n.kids[i].set(e, key, val)
		n.kids[i] = l
		if key < n.keys.loose[i] {
			n.keys.loose[i] = key
		}
		if r != nil {
			n.keys.loose = insert(n.keys.loose, i+1, r.keys.at(0))
			n.kids = insert(n.kids, i+1, r)
		}
		at = i + 1
	}
	if n.keys.len() <= fanout {
		return n, nil
	}
	return n.split(e, at)
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

// split moves the upper half of a node to a new one, or only what was added at
// its end: API servers send objects in the order of their names, which would
// leave all nodes half empty.
func (n *node[V]) split(e *edit, added int) (left, right *node[V]) {
	keys := n.keys.loose
	half := len(keys) / 2
	if added == len(keys)-1 {
		half = added
	}
	left = &node[V]{owner: e, keys: keyList{loose: slices.Clone(keys[:half])}}
	right = &node[V]{owner: e, keys: keyList{loose: slices.Clone(keys[half:])}}
	if n.kids != nil {
		left.kids, right.kids = slices.Clone(n.kids[:half]), slices.Clone(n.kids[half:])
	} else {
		left.vals, right.vals = slices.Clone(n.vals[:half]), slices.Clone(n.vals[half:])
	}
	return left, right
}

// delete removes a key that is present. Nodes may become small, never empty:
// an empty node is reported as nil and goes from its parent.
func (n *node[V]) delete(e *edit, key string) *node[V] {
	if n.keys.len() == 1 && n.kids == nil {
		return nil
	}
	n = n.mutable(e)
	if n.kids == nil {
		i, _ := n.keys.search(key)
		n.keys.loose = slices.Delete(n.keys.loose, i, i+1)
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
	n.keys.loose = slices.Delete(n.keys.loose, i, i+1)
	n.kids = slices.Delete(n.kids, i, i+1)
	return n
}

// scan yields the entries from start on, for as long as they have the prefix.
func (n *node[V]) scan(start, prefix string, yield func(entry[V]) bool) bool {
	if n == nil {
		return true
	}
	if n.kids == nil {
		i, _ := n.keys.search(start)
		for ; i < n.keys.len(); i++ {
			if !n.keys.hasPrefix(i, prefix) || !yield(entry[V]{keys: &n.keys, i: i, val: n.vals[i]}) {
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

// entry is an entry of a tree. Most who look for one want its value alone.
type entry[V any] struct {
	keys *keyList // nil for a late change
	i    int      // in keys
	late string   // the key of a late change
	val  V
}

func (e *entry[V]) key() string {
	if e.keys == nil {
		return e.late
	}
	return e.keys.at(e.i)
}
