package mesh

import (
	"iter"
	"slices"
	"strings"
)

// tree is a persistent ordered map from string to V: the nodes of node.go,
// which are never changed once published, and the changes that came late. Its
// zero value is empty. Copying the struct copies the map.
//
// Most meshes live for one question: what if this write were made? To bring a
// change into the nodes takes a copy of every node above it, for each of some
// thirty index entries of a write and its companions. Under an edit of a draft
// ([Mesh.Draft]) changes are therefore kept in a short sorted list beside the
// nodes, which costs little more than the entries themselves.
type tree[V any] struct {
	root  *node[V]
	late  []change[V] // by key; each overrides what root has under the key
	owner *edit       // who may change late in place
}

// change is one entry set, or gone.
type change[V any] struct {
	key  string
	val  V
	gone bool
}

// maxLate bounds the list of late changes: beyond it they go into the nodes
// after all.
const maxLate = 64

// edit is a licence to change nodes and late changes in place: those made
// under the same edit, which nobody else has seen yet. It makes bulk loading
// cheap.
type edit struct{ draft bool }

// empty reports whether the tree has no entries.
func (t tree[V]) empty() bool {
	if len(t.late) == 0 {
		return t.root == nil
	}
	_, some := t.first("")
	return !some
}

func (t tree[V]) get(key string) (V, bool) {
	if i, ok := t.find(key); ok {
		return t.late[i].val, !t.late[i].gone
	}
	return t.root.get(key)
}

// find returns the place of a key among the late changes.
func (t tree[V]) find(key string) (int, bool) {
	lo, hi := 0, len(t.late)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if t.late[mid].key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(t.late) && t.late[lo].key == key
}

func (t *tree[V]) set(e *edit, key string, val V) {
	if !e.draft || t.root != nil && t.root.owner == e {
		t.settle(e)
		t.root = t.root.with(e, key, val)
		return
	}
	c := change[V]{key: key, val: val}
	if i, found := t.own(e, key); found {
		t.late[i] = c
	} else {
		t.add(e, i, c)
	}
}

// delete removes a key, if it is there. It keeps no hold of the key given.
func (t *tree[V]) delete(e *edit, key string) {
	if !e.draft {
		t.settle(e)
		t.root = t.root.without(e, key)
		return
	}
	have, settled := t.root.key(key)
	if _, late := t.find(key); !late && !settled {
		return
	}
	gone := change[V]{key: have, gone: true}
	switch i, late := t.own(e, key); {
	case !settled:
		t.late = slices.Delete(t.late, i, i+1)
	case late:
		gone.key = t.late[i].key
		t.late[i] = gone
	default:
		t.add(e, i, gone)
	}
}

// add inserts a late change.
func (t *tree[V]) add(e *edit, i int, c change[V]) {
	t.late = slices.Insert(t.late, i, c)
	if len(t.late) > maxLate {
		t.settle(e)
	}
}

// own makes the late changes the edit's own, and returns the place of a key.
func (t *tree[V]) own(e *edit, key string) (int, bool) {
	if t.owner != e {
		late := make([]change[V], len(t.late), len(t.late)+4)
		copy(late, t.late)
		t.late, t.owner = late, e
	}
	return t.find(key)
}

// settle brings the late changes into the nodes.
func (t *tree[V]) settle(e *edit) {
	for _, c := range t.late {
		if c.gone {
			t.root = t.root.without(e, c.key)
		} else {
			t.root = t.root.with(e, c.key, c.val)
		}
	}
	t.late, t.owner = nil, nil
}

// seal ends an edit whose changes are in the nodes.
func (t *tree[V]) seal(e *edit) { t.root.seal(e) }

// from yields the entries whose key is at least start, in order.
func (t tree[V]) from(start string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		t.scan(start, "", func(e entry[V]) bool { return yield(e.key(), e.val) })
	}
}

// prefixed yields the entries whose key begins with prefix, in order.
func (t tree[V]) prefixed(prefix string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		t.scan(prefix, prefix, func(e entry[V]) bool { return yield(e.key(), e.val) })
	}
}

// under yields the values of the keys that begin with prefix, in order.
func (t tree[V]) under(prefix string) iter.Seq[V] {
	return func(yield func(V) bool) {
		t.scan(prefix, prefix, func(e entry[V]) bool { return yield(e.val) })
	}
}

// scan yields the entries from start on, for as long as they have the prefix.
func (t tree[V]) scan(start, prefix string, yield func(entry[V]) bool) {
	i, _ := t.find(start)
	late := t.late[i:]
	if len(late) == 0 || !strings.HasPrefix(late[0].key, prefix) {
		t.root.scan(start, prefix, yield)
		return
	}
	stopped := false
	emit := func(e entry[V]) bool {
		stopped = !yield(e)
		return !stopped
	}
	t.root.scan(start, prefix, func(e entry[V]) bool {
		for len(late) > 0 {
			order := e.keys.compare(e.i, late[0].key)
			if order < 0 {
				break
			}
			c := late[0]
			late = late[1:]
			if !c.gone && !emit(entry[V]{late: c.key, val: c.val}) {
				return false
			}
			if order == 0 {
				return true // the change is what has become of it
			}
		}
		return emit(e)
	})
	for _, c := range late {
		if stopped || !strings.HasPrefix(c.key, prefix) || !c.gone && !yield(entry[V]{late: c.key, val: c.val}) {
			return
		}
	}
}

// first returns the value of the least key that begins with prefix.
func (t tree[V]) first(prefix string) (val V, ok bool) { return t.next(prefix, prefix) }

// next returns the value of the least key that is at least start and begins
// with prefix.
func (t tree[V]) next(start, prefix string) (val V, ok bool) {
	t.scan(start, prefix, func(e entry[V]) bool {
		val, ok = e.val, true
		return false
	})
	return val, ok
}
