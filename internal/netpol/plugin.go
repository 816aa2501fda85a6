package netpol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	kjson "sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// The kinds of network plugins are read here as they are written, member by
// member, without the plugins' own types: what is not known is not ignored, it is
// something that cannot be shown to lie within the wall.

// members are those of an object.
type members map[string]json.RawMessage

// names are the names of the members that say something, in order.
func (o members) names() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(o)), func(name string) bool { return void(o[name]) })
}

// text is what the object says, the same for the same.
func (o members) text() []byte {
	var b bytes.Buffer
	for _, name := range o.names() {
		fmt.Fprintf(&b, "%q:%s,", name, o[name])
	}
	return b.Bytes()
}

// void reports whether a value is absent, or as good as that.
func void(raw json.RawMessage) bool {
	switch string(bytes.TrimSpace(raw)) {
	case "", "null", "{}", "[]", `""`, "false":
		return true
	}
	return false
}

// reader reads one object of a plugin.
type reader struct {
	m     *mesh.Mesh
	ref   mesh.Ref
	yield func(Opening)
}

// read decodes a value; one that is not there is left as it is.
func (r *reader) read(at string, raw json.RawMessage, into any) error {
	if len(raw) == 0 {
		return nil
	}
	r.m.Spend(1 + len(raw)/bytesPerStep)
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, into); err != nil {
		return fmt.Errorf("%s: %s is not of the type that the plugin's schema gives it", r.ref, at)
	}
	return nil
}

// open reports an opening; about is the JSON of what makes it.
func (r *reader) open(at string, about []byte, format string, args ...any) {
	message := fmt.Sprintf(format, args...) // of the policy's own words
	text := r.ref.Tell().Detail(message).Text()
	r.yield(Opening{Reason: mesh.Reason{Ref: r.ref, Path: at, Message: text.String(), Told: text}, About: string(about)})
}

// spec returns the members of the object's spec.
func (r *reader) spec(raw []byte) (members, error) {
	var object, spec members
	if err := r.read("object", raw, &object); err != nil {
		return nil, err
	}
	err := r.read("spec", object["spec"], &spec)
	return spec, err
}

// AnyWalled reports whether a namespace is walled.
func AnyWalled(m *mesh.Mesh) bool {
	for o := range m.All("Namespace") {
		m.Spend(1)
		if Walled(m, o.Metadata().Name) {
			return true
		}
	}
	return false
}
