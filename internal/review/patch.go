package review

import (
	"encoding/json"
	"fmt"
	"strings"
)

// escape makes a key a segment of a JSON pointer (RFC 6901).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

func unescape(segment string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(segment)
}

// Patched returns the JSON of an object with the operations applied that
// [Default] makes: additions to objects, by key.
func Patched(raw []byte, ops []PatchOp) ([]byte, error) {
	if len(ops) == 0 {
		return raw, nil
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("reading the object to patch: %w", err)
	}
	for _, op := range ops {
		segments := strings.Split(strings.TrimPrefix(op.Path, "/"), "/")
		at := object
		for _, s := range segments[:len(segments)-1] {
			next, ok := at[unescape(s)].(map[string]any)
			if !ok {
				return nil, fmt.Errorf("patch %s %s: no object at %q", op.Op, op.Path, s)
			}
			at = next
		}
		at[unescape(segments[len(segments)-1])] = op.Value
	}
	return json.Marshal(object)
}
