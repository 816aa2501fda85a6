package test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/schema"
)

// customKind is a judged kind whose definition comes with Istio or the Gateway
// API, and so with their version.
type customKind struct{ group, version, kind string }

var customKinds = []customKind{
	{"networking.istio.io", "v1", "DestinationRule"},
	{"networking.istio.io", "v1alpha3", "EnvoyFilter"},
	{"networking.istio.io", "v1", "Gateway"},
	{"networking.istio.io", "v1beta1", "ProxyConfig"},
	{"networking.istio.io", "v1", "ServiceEntry"},
	{"networking.istio.io", "v1", "Sidecar"},
	{"networking.istio.io", "v1", "VirtualService"},
	{"networking.istio.io", "v1", "WorkloadEntry"},
	{"networking.istio.io", "v1", "WorkloadGroup"},
	{"security.istio.io", "v1", "AuthorizationPolicy"},
	{"security.istio.io", "v1", "RequestAuthentication"},
	{"extensions.istio.io", "v1alpha1", "TrafficExtension"},
	{"extensions.istio.io", "v1alpha1", "WasmPlugin"},
	{"gateway.networking.k8s.io", "v1", "BackendTLSPolicy"},
	{"gateway.networking.k8s.io", "v1", "Gateway"},
	{"gateway.networking.k8s.io", "v1", "GRPCRoute"},
	{"gateway.networking.k8s.io", "v1", "HTTPRoute"},
	{"gateway.networking.k8s.io", "v1", "ListenerSet"},
	{"gateway.networking.k8s.io", "v1", "TCPRoute"},
	{"gateway.networking.k8s.io", "v1", "TLSRoute"},
	{"gateway.networking.x-k8s.io", "v1alpha1", "XBackend"},
}

// fieldRow is a field of a kind and what is made of it.
type fieldRow struct {
	path, of, name string
	class, why     string // class is empty for a field in no class
}

// walkFields calls row with the fields of a kind: those that the model reads one
// by one, and of all others the outermost.
func walkFields(t *testing.T, k customKind, row func(fieldRow)) {
	t.Helper()
	s, ok := schema.Find(k.group+"/"+k.version, k.kind)
	if !ok {
		t.Fatalf("no schema of %s %s", k.group, k.kind)
	}
	root := s.Node
	if spec, ok := root.Fields["spec"]; ok && strings.HasPrefix(k.group, "gateway.") {
		root = spec.Node
	}
	walkType(root, mesh.Read(k.group, k.kind), "spec", map[*schema.Node]bool{}, row)
}

func walkType(n *schema.Node, read reflect.Type, path string, above map[*schema.Node]bool, row func(fieldRow)) {
	if above[n] {
		return // a type that holds itself
	}
	above[n] = true
	defer delete(above, n)
	readFields := jsonFields(read)
	for _, name := range slices.Sorted(maps.Keys(n.Fields)) {
		f := n.Fields[name]
		r := fieldRow{path: path + "." + name, of: n.Type, name: name}
		inner, innerPath := f.Node, r.path
		for inner.Each != nil {
			if inner.List {
				innerPath += "[]"
			} else {
				innerPath += ".*"
			}
			inner = inner.Each
		}
		class := schema.Fields[schema.FieldName{Type: n.Type, Name: name}]
		whole := schema.Fields[schema.FieldName{Type: n.Type, Name: "*"}]
		sub, isRead := readFields[name]
		switch {
		case isRead && class == (schema.Class{}):
			sub := element(sub)
			if inner.Fields != nil && sub.Kind() == reflect.Struct {
				walkType(inner, sub, innerPath, above, row)
				continue
			}
			r.class = "judged"
		case isRead:
			r.class = "" // in two classes
			r.why = "is read, and classed as well"
		case class == (schema.Class{}) && whole != (schema.Class{}):
			r.class, r.why = classOf(whole)
		default:
			r.class, r.why = classOf(class)
		}
		row(r)
	}
}

func classOf(c schema.Class) (class, why string) {
	switch {
	case c.Harmless != "":
		return "harmless", c.Harmless
	case c.Undetermined != "":
		return "undetermined", c.Undetermined
	case c.Judged != "":
		return "judged", c.Judged
	}
	return "", ""
}

// element is what a list, a map or a pointer is of.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// jsonFields are the fields of a struct by their names in JSON.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	if t == nil || t.Kind() != reflect.Struct {
		return fields
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && f.Type != reflect.TypeFor[mesh.Meta]():
			maps.Copy(fields, jsonFields(f.Type))
		case name != "" && name != "-":
			fields[name] = f.Type
		}
	}
	return fields
}
