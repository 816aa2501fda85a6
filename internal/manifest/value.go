package manifest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// kind is the JSON type of a value.
type kind int

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// value is a JSON value that knows where it was written.
type value struct {
	kind   kind
	line   int
	text   string // of a string; the literal of a number or boolean
	items  []*value
	fields []*field
}

// field is one key of an object, in the order of the file.
type field struct {
	key   string
	line  int
	value *value
}

// get returns the value of a key of an object, or nil.
func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	for _, f := range v.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// at follows several keys.
func (v *value) at(keys ...string) *value {
	for _, k := range keys {
		v = v.get(k)
	}
	return v
}

// list returns the items of an array; a nil value has none.
func (v *value) list() []*value {
	if v == nil {
		return nil
	}
	return v.items
}

// str returns the string that a value holds, or "".
func (v *value) str() string {
	if v == nil || v.kind != text {
		return ""
	}
	return v.text
}

// lineOf returns the line of the deepest step of a path that exists; zero
// where not even the first one does.
func (v *value) lineOf(path string) int {
	path = strings.TrimPrefix(path, ".")
	for _, f := range v.fields {
		if rest, ok := cutKey(path, f.key); ok {
			return max(f.line, f.value.lineOf(rest))
		}
	}
	if i, rest, ok := cutIndex(path); ok && i < len(v.items) {
		return max(v.items[i].line, v.items[i].lineOf(rest))
	}
	return 0
}

// cutKey removes a key from the front of a path. Keys that hold dots may be
// written plainly or as ["key"].
func cutKey(path, key string) (rest string, ok bool) {
	for _, form := range []string{key, `["` + key + `"]`, "['" + key + "']", "[" + key + "]"} {
		rest, ok := strings.CutPrefix(path, form)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return rest, true
		}
	}
	return "", false
}

// cutIndex removes "[n]" from the front of a path.
func cutIndex(path string) (i int, rest string, ok bool) {
	inner, ok := strings.CutPrefix(path, "[")
	if !ok {
		return 0, "", false
	}
	digits, rest, ok := strings.Cut(inner, "]")
	if !ok {
		return 0, "", false
	}
	i, err := strconv.Atoi(digits)
	return i, rest, err == nil && i >= 0
}

// json encodes the value.
func (v *value) json() []byte {
	var b bytes.Buffer
	v.encode(&b)
	return b.Bytes()
}

func (v *value) encode(b *bytes.Buffer) {
	switch v.kind {
	case null:
		b.WriteString("null")
	case boolean, number:
		b.WriteString(v.text)
	case text:
		encodeString(b, v.text)
	case array:
		b.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.encode(b)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i, f := range v.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			encodeString(b, f.key)
			b.WriteByte(':')
			f.value.encode(b)
		}
		b.WriteByte('}')
	}
}

func encodeString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	// A string always encodes: invalid UTF-8 becomes U+FFFD.
	_ = enc.Encode(s)
	b.Truncate(b.Len() - 1) // Encode's newline
}
