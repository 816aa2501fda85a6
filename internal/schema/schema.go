// Package schema has the fields of the kinds that are judged, as those APIs
// declare them that this program is built with: Istio's by their protobuf
// descriptors, all others by their Go types. It knows of every field whether
// the judge takes it into account; see [Fields].
//
// An API server hands on what the schema that it serves has, and that may be of
// a later version than this program. What is in an object and not here is found
// by [Kind.Strays], for the server and the command line alike.
package schema

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// Node is what the schema says of a value. A Node with neither Fields nor Each
// is a scalar, or takes any value.
type Node struct {
	Type   string // the name of its type, "HTTPRoute"; empty for what is no object
	Fields map[string]*Field
	Each   *Node // the elements of a list, or the values of a map
	List   bool  // Each is about elements
}

// Field is a field of an object.
type Field struct {
	Node *Node
	// Undetermined says what the field does that nobody judges; empty for the
	// fields that are judged or harmless.
	Undetermined string
}

// Kind is the schema of a kind.
type Kind struct {
	*Node
	spec bool // the fields are those of the object's spec, not of the object
}

// Find returns the schema of a kind, and false for a kind, or a version of it,
// that this program does not know.
func Find(apiVersion, kind string) (Kind, bool) {
	group, _, _ := strings.Cut(apiVersion, "/")
	if m, ok := Istio(group, kind); ok {
		return Kind{built(m, func() *Node { return newBuilder().message(m.ProtoReflect().Descriptor()) }), true}, true
	}
	object, ok := Go(apiVersion, kind)
	if !ok {
		return Kind{}, false
	}
	t := reflect.TypeOf(object)
	return Kind{built(t, func() *Node { return newBuilder().goType(t.Elem()) }), false}, true
}

// nodes has the schemas that somebody asked for: they are constants that are
// made when they are first needed.
var nodes sync.Map

func built(key any, build func() *Node) *Node {
	if n, ok := nodes.Load(key); ok {
		return n.(*Node)
	}
	n, _ := nodes.LoadOrStore(key, build())
	return n.(*Node)
}

// builder makes the nodes of one kind: one for each type, as some types hold
// themselves.
type builder struct {
	messages map[protoreflect.FullName]*Node
	types    map[reflect.Type]*Node
}

func newBuilder() *builder {
	return &builder{map[protoreflect.FullName]*Node{}, map[reflect.Type]*Node{}}
}

func (b *builder) message(md protoreflect.MessageDescriptor) *Node {
	if n, ok := b.messages[md.FullName()]; ok {
		return n
	}
	n := &Node{Type: messageName(md)}
	b.messages[md.FullName()] = n
	if md.FullName().Parent() == "google.protobuf" {
		return n // their JSON is another than their fields
	}
	n.Fields = map[string]*Field{}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		n.add(fd.JSONName(), b.field(fd))
	}
	return n
}

func (b *builder) field(fd protoreflect.FieldDescriptor) *Node {
	switch {
	case fd.IsMap():
		return &Node{Each: b.single(fd.MapValue())}
	case fd.IsList():
		return &Node{Each: b.single(fd), List: true}
	default:
		return b.single(fd)
	}
}

func (b *builder) single(fd protoreflect.FieldDescriptor) *Node {
	if md := fd.Message(); md != nil {
		return b.message(md)
	}
	return &Node{}
}

// messageName is the name of a message within its package.
func messageName(md protoreflect.MessageDescriptor) string {
	name := string(md.Name())
	for p := md.Parent(); p != nil; p = p.Parent() {
		outer, ok := p.(protoreflect.MessageDescriptor)
		if !ok {
			break
		}
		name = string(outer.Name()) + "." + name
	}
	return name
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (b *builder) goType(t reflect.Type) *Node {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n, ok := b.types[t]; ok {
		return n
	}
	n := &Node{}
	b.types[t] = n
	switch {
	case t.Implements(unmarshaler), reflect.PointerTo(t).Implements(unmarshaler):
	case t.Kind() == reflect.Map:
		n.Each = b.goType(t.Elem())
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		n.Each, n.List = b.goType(t.Elem()), true
	case t.Kind() == reflect.Struct:
		n.Type, n.Fields = t.Name(), map[string]*Field{}
		b.members(n, t)
	}
	return n
}

// members adds the fields of a struct to an object, and those of its embedded
// structs.
func (b *builder) members(n *Node, t reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name != "":
			n.add(name, b.goType(f.Type))
		case f.Anonymous:
			b.members(n, f.Type)
		}
	}
}

func (n *Node) add(name string, field *Node) {
	n.Fields[name] = &Field{Node: field, Undetermined: Fields[FieldName{n.Type, name}].undetermined()}
}

// Stray is a field of an object that nobody judges.
type Stray struct {
	Path string // JSON path in the object
	// Why is what is known of the field; empty where nothing is.
	Why string
}

// Strays returns the fields of an object that the schema does not have, and those
// that it has and nobody judges: at most so many, in the order in which they are
// written. What is malformed has none.
func (k Kind) Strays(object []byte, most int) []Stray {
	s := strays{most: most}
	if k.spec {
		s.value(rawjson.Member(object, "spec"), k.Node, "spec")
		return s.found
	}
	for name, f := range k.Fields {
		switch name {
		case "apiVersion", "kind", "metadata", "status": // judged by other rules, or a report
		default:
			s.value(rawjson.Member(object, name), f.Node, name)
		}
	}
	slices.SortStableFunc(s.found, func(a, b Stray) int { return strings.Compare(a.Path, b.Path) })
	return s.found
}

type strays struct {
	found []Stray
	most  int
}

// value looks at one value. Errors are those of malformed JSON, which others
// report.
func (s *strays) value(raw []byte, n *Node, path string) {
	switch {
	case len(raw) == 0 || len(s.found) >= s.most:
	case n.Fields != nil && raw[0] == '{':
		_ = rawjson.Members(raw, func(name, value []byte) error {
			key := string(name)
			f, ok := n.Fields[key]
			switch {
			case string(value) == "null" || len(s.found) >= s.most:
			case !ok:
				s.found = append(s.found, Stray{Path: path + "." + key})
			case f.Undetermined != "":
				s.found = append(s.found, Stray{path + "." + key, f.Undetermined})
			default:
				s.value(value, f.Node, path+"."+key)
			}
			return nil
		})
	case n.List && raw[0] == '[' && n.Each.nests():
		i := 0
		_ = rawjson.Elements(raw, func(value []byte) error {
			s.value(value, n.Each, path+"["+strconv.Itoa(i)+"]")
			i++
			return nil
		})
	case n.Each != nil && !n.List && raw[0] == '{' && n.Each.nests():
		_ = rawjson.Members(raw, func(name, value []byte) error {
			s.value(value, n.Each, path+`["`+string(name)+`"]`)
			return nil
		})
	}
}

// nests reports whether there is anything to look for in a value.
func (n *Node) nests() bool { return n.Fields != nil || n.Each != nil }

// Where returns the path of the first object of the kind that has a field of that
// name, nearest to the top; empty where none has.
func (k Kind) Where(name string) string {
	type place struct {
		node *Node
		path string
	}
	top := place{k.Node, ""}
	if k.spec {
		top.path = "spec"
	}
	if k.Node == nil {
		return ""
	}
	seen := map[*Node]bool{k.Node: true}
	for queue := []place{top}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if _, ok := at.node.Fields[name]; ok {
			return at.path
		}
		for _, field := range slices.Sorted(maps.Keys(at.node.Fields)) {
			if at.path == "" && (field == "metadata" || field == "status") {
				continue
			}
			var path strings.Builder
			path.WriteString(strings.TrimPrefix(at.path+"."+field, "."))
			n := at.node.Fields[field].Node
			for ; n.Each != nil; n = n.Each {
				if n.List {
					path.WriteString("[]")
				} else {
					path.WriteString(".*")
				}
			}
			if n.Fields != nil && !seen[n] {
				seen[n] = true
				queue = append(queue, place{n, path.String()})
			}
		}
	}
	return ""
}

// At returns the fields of the object at a JSON path, without its indices; nil
// where the schema has none.
func (k Kind) At(path string) map[string]*Field {
	n := k.Node
	if n == nil {
		return nil
	}
	if k.spec {
		path = strings.TrimPrefix(strings.TrimPrefix(path, "spec"), ".")
	}
	for path != "" {
		name, rest, _ := strings.Cut(path, ".")
		name, _, _ = strings.Cut(name, "[")
		f, ok := n.Fields[name]
		if !ok {
			return nil
		}
		for n = f.Node; n.List; n = n.Each {
		}
		path = rest
		for n.Each != nil && path != "" { // keys of a map
			_, path, _ = strings.Cut(path, ".")
			n = n.Each
		}
	}
	return n.Fields
}
