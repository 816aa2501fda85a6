package manifest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sallyport-io/sallyport/internal/schema"
)

// checker collects what is wrong with one object, and what is out of date.
type checker struct {
	file   string
	stored bool // see [Reader.Stored]
	served bool // an API server has handed the object out: it serves the fields
	kind   schema.Kind
	errs   []error
	beyond int // errors among them that are not about types
	notes  []Note
}

func (c *checker) err() error { return errors.Join(c.errs...) }

func (c *checker) errorf(line int, path, format string, args ...any) {
	c.errs = append(c.errs, &Error{File: c.file, Line: line, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) notef(line int, path, fix, format string, args ...any) {
	c.notes = append(c.notes, Note{Path: path, Line: line, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// unknown is about a field that is none of the known ones, which nobody adds to.
func (c *checker) unknown(f *field, path string, known iter.Seq[string]) {
	if !c.stored {
		c.errorf(f.line, path, "unknown field%s", suggest(f.key, known))
	}
}

// unserved is about a field that this program does not know in an API that grows
// with each release. One that is almost a known field, or is known elsewhere in the
// kind, is a mistake that an API server would refuse. Any other may be of a later
// release: what nobody knows of it is for the judge to say. So is any field of an
// object that an API server has handed out, which drops those that it does not serve.
func (c *checker) unserved(line int, path, key string, known iter.Seq[string]) {
	if c.stored || c.served {
		return
	}
	if s := misspelling(key, known); s != "" {
		c.errorf(line, path, "unknown field (is %s meant?)", s)
	} else if where := c.kind.Where(key); where != "" {
		c.errorf(line, path, "unknown field here: it belongs to %s", where)
	}
}

// unknownIn is [checker.unserved] for a path that is known by its text alone.
func (c *checker) unknownIn(o *Object, path string) {
	c.kind, _ = schema.Find(o.APIVersion, o.Kind)
	key := path[strings.LastIndexByte(path, '.')+1:]
	known := maps.Keys(c.kind.At(strings.TrimSuffix(strings.TrimSuffix(path, key), ".")))
	if strings.HasPrefix(path, "metadata.") || !strings.Contains(path, ".") {
		c.errorf(o.LineOf(path), path, "unknown field%s", suggest(key, known))
		return
	}
	c.unserved(o.LineOf(path), path, key, known)
}

// required returns a string that must be there.
func (c *checker) required(v *value, key string, parents ...string) string {
	f := v.get(key)
	if s := f.str(); s != "" {
		return s
	}
	line := v.line
	if f != nil {
		line = f.line
	}
	c.errorf(line, strings.Join(append(parents, key), "."), "missing: must be a string that is not empty")
	return ""
}

// message checks a value against a protobuf message, as protojson would read
// it, and turns it into the form that the API server wants: JSON names and
// enum names. Only declared fields are renamed, never the keys of maps such
// as labels and headers.
func (c *checker) message(v *value, md protoreflect.MessageDescriptor, path string) {
	if c.wellKnown(v, md, path) {
		return
	}
	if v.kind != object {
		c.errorf(v.line, path, "must be an object, is %s", v.kind)
		return
	}
	oneofs := map[protoreflect.FullName]string{}
	for _, f := range v.fields {
		fd := md.Fields().ByJSONName(f.key)
		if fd == nil {
			if fd = md.Fields().ByTextName(f.key); fd == nil {
				c.unserved(f.line, join(path, f.key), f.key, jsonNames(md))
				continue
			}
			c.rename(v, f, fd.JSONName(), path)
		}
		if f.value.kind == null {
			continue // as good as absent
		}
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
			if other := oneofs[o.FullName()]; other != "" {
				c.errorf(f.line, join(path, f.key), "cannot stand beside %s: only one of them may be given", other)
			}
			oneofs[o.FullName()] = f.key
		}
		c.field(f.value, fd, join(path, f.key))
	}
	for fd := range fields(md) {
		if isRequired(fd) && !v.has(fd.JSONName()) {
			c.errorf(v.line, join(path, fd.JSONName()), "missing: %s needs it", path)
		}
	}
	if before := len(c.errs); !c.stored {
		c.cross(v, md, path)
		c.beyond += len(c.errs) - before
	}
}

// rename gives a field its modern name.
func (c *checker) rename(v *value, f *field, modern, path string) {
	old := f.key
	if v.get(modern) != nil {
		c.errorf(f.line, join(path, old), "given twice: %s and %s are the same field", old, modern)
		return
	}
	f.key = modern
	c.notef(f.line, join(path, modern), fmt.Sprintf("Write %s instead of %s.", modern, old),
		"the field is called %s today; an API server refuses or drops %s", modern, old)
}

// field checks the value of one field.
func (c *checker) field(v *value, fd protoreflect.FieldDescriptor, path string) {
	before := len(c.errs)
	c.typed(v, fd, path)
	if b, ok := bounds[fd.FullName()]; ok && !c.stored && len(c.errs) == before {
		c.bounded(v, &b, path)
		c.beyond += len(c.errs) - before
	}
}

// typed checks the type of the value of one field.
func (c *checker) typed(v *value, fd protoreflect.FieldDescriptor, path string) {
	switch {
	case fd.IsMap():
		if v.kind != object {
			c.errorf(v.line, path, "must be an object, is %s", v.kind)
			return
		}
		for _, f := range v.fields {
			at := path + `["` + f.key + `"]`
			if fd.MapKey().Kind() != protoreflect.StringKind {
				c.integer(&value{kind: number, line: f.line, text: f.key}, fd.MapKey().Kind(), at)
			}
			if f.value.kind != null { // as good as absent
				c.single(f.value, fd.MapValue(), at)
			}
		}
	case fd.IsList():
		if v.kind != array {
			c.errorf(v.line, path, "must be a list, is %s", v.kind)
			return
		}
		for i, item := range v.items {
			c.single(item, fd, path+"["+strconv.Itoa(i)+"]")
		}
	default:
		c.single(v, fd, path)
	}
}

// single checks one value: of a field, a list or a map.
func (c *checker) single(v *value, fd protoreflect.FieldDescriptor, path string) {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if fd.Message().FullName() == "google.protobuf.Duration" {
			c.duration(v, fd, path)
			return
		}
		c.message(v, fd.Message(), path)
	case protoreflect.EnumKind:
		c.enum(v, fd.Enum(), path)
	case protoreflect.BoolKind:
		c.is(v, path, boolean)
	case protoreflect.StringKind:
		c.is(v, path, text)
	case protoreflect.BytesKind:
		c.is(v, path, text)
		if _, err := base64.StdEncoding.DecodeString(v.str()); err != nil || v.str() == "" {
			c.errorf(v.line, path, "is not in base64")
		}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		c.is(v, path, number)
	default:
		c.integer(v, fd.Kind(), path)
	}
}

func (c *checker) is(v *value, path string, want kind) {
	switch {
	case v.kind == want:
	case want == text && (v.kind == number || v.kind == boolean):
		c.errorf(v.line, path, "must be a string, is %s; put it in quotes", v.kind)
	case v.kind == text:
		c.errorf(v.line, path, "must be %s, is the string %q", want, v.text)
	default:
		c.errorf(v.line, path, "must be %s, is %s", want, v.kind)
	}
}

// integer checks a whole number and its range.
func (c *checker) integer(v *value, k protoreflect.Kind, path string) {
	if v.kind != number {
		c.is(v, path, number)
		return
	}
	var err error
	switch k {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		_, err = strconv.ParseInt(v.text, 10, 32)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		_, err = strconv.ParseUint(v.text, 10, 32)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		_, err = strconv.ParseUint(v.text, 10, 64)
	default:
		_, err = strconv.ParseInt(v.text, 10, 64)
	}
	if err != nil {
		c.errorf(v.line, path, "%s is not a whole number in range", v.text)
	}
}

// enum checks the name of an enum's value; a number becomes the name.
func (c *checker) enum(v *value, ed protoreflect.EnumDescriptor, path string) {
	switch v.kind {
	case text:
		if ed.Values().ByName(protoreflect.Name(v.text)) == nil {
			c.errorf(v.line, path, "%q is none of %s", v.text, strings.Join(enumNames(ed), ", "))
		}
	case number:
		n, err := strconv.ParseInt(v.text, 10, 32)
		ev := ed.Values().ByNumber(protoreflect.EnumNumber(n))
		if err != nil || ev == nil {
			c.errorf(v.line, path, "%s is none of %s", v.text, strings.Join(enumNames(ed), ", "))
			return
		}
		name := string(ev.Name())
		c.notef(v.line, path, fmt.Sprintf("Write %s instead of %s.", name, v.text),
			"%s stands for %s; an API server accepts the name only", v.text, name)
		v.kind, v.text = text, name
	default:
		c.errorf(v.line, path, "must be one of %s, is %s", strings.Join(enumNames(ed), ", "), v.kind)
	}
}

// wellKnown handles the messages of package google.protobuf, whose JSON is
// not an object with the message's fields. It reports whether md is one.
func (c *checker) wellKnown(v *value, md protoreflect.MessageDescriptor, path string) bool {
	if md.FullName().Parent() != "google.protobuf" {
		return false
	}
	switch name := md.Name(); {
	case name == "Timestamp" || name == "FieldMask":
		c.is(v, path, text)
	case name == "Struct":
		c.is(v, path, object)
	case name == "ListValue":
		c.is(v, path, array)
	case name == "Value" || name == "Any":
	case strings.HasSuffix(string(name), "Value"): // the wrappers
		c.single(v, md.Fields().ByNumber(1), path)
	}
	return true
}

// isRequired reads the annotation from which Istio generates the CRDs'
// "required".
func isRequired(fd protoreflect.FieldDescriptor) bool {
	behaviors, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviors, annotations.FieldBehavior_REQUIRED)
}

func fields(md protoreflect.MessageDescriptor) iter.Seq[protoreflect.FieldDescriptor] {
	return func(yield func(protoreflect.FieldDescriptor) bool) {
		for i := range md.Fields().Len() {
			if !yield(md.Fields().Get(i)) {
				return
			}
		}
	}
}

func jsonNames(md protoreflect.MessageDescriptor) iter.Seq[string] {
	return func(yield func(string) bool) {
		for fd := range fields(md) {
			if !yield(fd.JSONName()) {
				return
			}
		}
	}
}

func enumNames(ed protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range ed.Values().Len() {
		names = append(names, string(ed.Values().Get(i).Name()))
	}
	return names
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggest names the known field that was probably meant.
func suggest(key string, known iter.Seq[string]) string {
	if len(key) > 64 {
		return "" // comparing costs the product of the lengths
	}
	best, distance := "", max(2, len(key)/3)+1
	for k := range known {
		if d := editDistance(strings.ToLower(key), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (is %s meant?)", best)
}

// misspelling returns the known field that a key is a misspelling of: one or two
// letters are wrong, of more than twice as many.
func misspelling(key string, known iter.Seq[string]) string {
	if len(key) > 64 {
		return ""
	}
	best, distance := "", min(2, (len(key)-1)/2)+1
	for k := range known {
		if d := editDistance(strings.ToLower(key), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance is the number of letters to insert, delete, replace or swap
// with their neighbour to get from a to b.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
