// Package hostiletest makes what a hostile tenant would send: for every kind that
// is judged the objects that are dearest to judge, of any size, and a large
// cluster to judge them in. It is for tests and benchmarks alone.
//
// A test in internal/review sees to it that every kind of [mesh.Kinds] is among
// them:
//
//	for o := range hostiletest.Objects(hostiletest.StoredSize, false) {
//		kubectl apply --dry-run=server <<< o.JSON
//	}
package hostiletest

import (
	"iter"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/apikind"
)

const (
	// StoredSize is about what etcd takes of one object: the size of the
	// largest that an API server sends.
	StoredSize = 1_500_000
	// ForgedSize is about what the server reads of one review: the size of
	// the largest that somebody on the network sends.
	ForgedSize = 3_000_000

	// Namespace is where the objects live: a tenant's, in the mesh, with a wall.
	Namespace = "attacker"
	// Victim is a namespace of somebody else's.
	Victim = "team-1"
)

// Object is one hostile object.
type Object struct {
	Kind  string // as it stands in the object
	Shape string // what there is much of
	JSON  []byte
}

// Name is "Kind/shape", for a subtest or a row of a table.
func (o Object) Name() string { return o.Kind + "/" + o.Shape }

// Objects yields the dearest object of every kind and shape, each filled up to
// the size. Where they are not forged, the lists that the served schemas bound
// are no longer than those allow: an API server with Istio's CustomResourceDefinitions
// takes most of them. They are made one at a time, as all of them take much room.
func Objects(size int, forged bool) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for _, s := range shapes {
			if !yield(Object{Kind: s.kind, Shape: s.name, JSON: s.object(size, forged)}) {
				return
			}
		}
	}
}

// shape is an object with one list, or map, that is as long as may be.
type shape struct {
	apiVersion, kind, name string
	// meta is more of the metadata, "" or what begins with a comma.
	meta string
	// before and after are what stands around the items.
	before, after string
	most          int // items that the served schema takes; 0: as many as there is room for
	item          func(i int) string
}

func (s *shape) object(size int, forged bool) []byte {
	var b strings.Builder
	b.Grow(size + 1024)
	b.WriteString(`{"apiVersion":"` + s.apiVersion + `","kind":"` + s.kind + `","metadata":{"name":"hostile"`)
	group, _, named := strings.Cut(s.apiVersion, "/")
	if !named {
		group = ""
	}
	if k, _ := apikind.Of(group, s.kind); !k.Cluster {
		b.WriteString(`,"namespace":"` + Namespace + `"`)
	}
	b.WriteString(s.meta)
	b.WriteString(s.before)
	for i := 0; s.most == 0 || forged || i < s.most; i++ {
		item := s.item(i)
		if i > 0 && b.Len()+len(item)+len(s.after)+1 > size {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item)
	}
	b.WriteString(s.after)
	return []byte(b.String())
}

// with fills "%" in a pattern with a number.
func with(pattern string) func(int) string {
	return func(i int) string { return strings.ReplaceAll(pattern, "%", strconv.Itoa(i)) }
}

// list is n items, with commas between them.
func list(n int, item func(int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return strings.Join(items, ",")
}

// known is a host that is registered in the cluster of [World], another one for
// each number.
func known(i int) string { return `"` + host(i%hosts) + `"` }

// long is a string of n letters.
func long(n int) string { return strings.Repeat("x", n) }
