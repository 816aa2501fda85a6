package main

import (
	"encoding/json"
	"fmt"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// render returns companions as the objects that would be written.
func render(companions []mesh.Object) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for _, c := range companions {
		o, err := companion.Render(c)
		if err != nil {
			return nil, fmt.Errorf("rendering %s: %w", c.Metadata().Ref, err)
		}
		raw, err := manifestOf(o)
		if err != nil {
			return nil, fmt.Errorf("rendering %s: %w", c.Metadata().Ref, err)
		}
		out = append(out, raw)
	}
	return out, nil
}

// manifestOf encodes an API object as one would write it down: Go's types
// also encode an empty status and creationTimestamp, which are not ours to say.
func manifestOf(o any) (json.RawMessage, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	if meta, ok := fields["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	return json.Marshal(fields)
}
