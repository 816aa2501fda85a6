package meshconfig

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// prune takes the fields away that a message does not have, and returns their
// paths: istiod reads past them, and a newer one may not.
func prune(path string, fields map[string]any, message protoreflect.MessageDescriptor) []string {
	var unknown []string
	for name, value := range fields {
		at := strings.TrimPrefix(path+"."+name, ".")
		field := message.Fields().ByJSONName(name)
		if field == nil {
			field = message.Fields().ByTextName(name)
		}
		if field == nil {
			unknown = append(unknown, at)
			delete(fields, name)
			continue
		}
		inner := field.Message()
		if inner == nil || strings.HasPrefix(string(inner.FullName()), "google.protobuf.") {
			continue
		}
		if field.IsMap() {
			if inner = field.MapValue().Message(); inner == nil {
				continue
			}
			entries, _ := value.(map[string]any)
			for key, v := range entries {
				if v, ok := v.(map[string]any); ok {
					unknown = append(unknown, prune(at+"."+key, v, inner)...)
				}
			}
			continue
		}
		switch value := value.(type) {
		case map[string]any:
			unknown = append(unknown, prune(at, value, inner)...)
		case []any:
			for i, v := range value {
				if v, ok := v.(map[string]any); ok {
					unknown = append(unknown, prune(fmt.Sprintf("%s[%d]", at, i), v, inner)...)
				}
			}
		}
	}
	return unknown
}
