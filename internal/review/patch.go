package review

import (
	"encoding/json"
	"fmt"
	"strconv"
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
// [Default] makes: additions to objects, by key, below objects and lists.
func Patched(raw []byte, ops []PatchOp) ([]byte, error) {
	if len(ops) == 0 {
		return raw, nil
	}
	var object any
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, &InputError{fmt.Errorf("reading the object to patch: %w", err)}
	}
	for _, op := range ops {
		segments := strings.Split(strings.TrimPrefix(op.Path, "/"), "/")
		last := len(segments) - 1
		at := object
		for _, s := range segments[:last] {
			at = below(at, unescape(s))
		}
		parent, ok := at.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("patch %s %s: no object above %q", op.Op, op.Path, segments[last])
		}
		parent[unescape(segments[last])] = op.Value
	}
	return json.Marshal(object)
}

// below is the member of an object or the item of a list, nil where there is
// none.
func below(at any, segment string) any {
	switch at := at.(type) {
	case map[string]any:
		return at[segment]
	case []any:
		if i, err := strconv.Atoi(segment); err == nil && i >= 0 && i < len(at) {
			return at[i]
		}
	}
	return nil
}
