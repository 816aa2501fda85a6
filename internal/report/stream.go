package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/sallyport-io/sallyport/internal/printable"
)

// A review of ten thousand entries is a document of tens of megabytes, of which an
// encoder holds several copies. It is written item by item, as if at once.

// list is a field of the document that has many items.
type list struct {
	name  string
	items iter.Seq[any]
	empty bool
}

func listOf[T any](name string, items []T) list {
	return list{name, func(yield func(any) bool) {
		for _, item := range items {
			if !yield(item) {
				return
			}
		}
	}, len(items) == 0}
}

// writeReviewJSON writes the document as [json.MarshalIndent] would.
func writeReviewJSON(w io.Writer, r *Review) error {
	_, err := fmt.Fprintf(w, "{\n  \"apiVersion\": %q,\n  \"kind\": %q,\n", r.APIVersion, r.Kind)
	if err != nil {
		return err
	}
	for _, l := range []list{listOf("objects", r.Objects), listOf("paths", r.Paths), listOf("companions", r.Companions)} {
		open, end := "[", "\n  ],\n"
		if l.empty {
			end = "],\n"
		}
		if _, err := fmt.Fprintf(w, "  %q: %s", l.name, open); err != nil {
			return err
		}
		between := "\n    "
		for item := range l.items {
			if err := writeIndented(w, between, "    ", item); err != nil {
				return err
			}
			between = ",\n    "
		}
		if _, err := io.WriteString(w, end); err != nil {
			return err
		}
	}
	if err := writeIndented(w, "  \"summary\": ", "  ", r.Summary); err != nil {
		return err
	}
	_, err = io.WriteString(w, "\n}\n")
	return err
}

func writeIndented(w io.Writer, before, prefix string, v any) error {
	var b bytes.Buffer
	b.WriteString(before)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent(prefix, "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return err
}

// writeReviewYAML writes the document with its fields in the order of their names.
func writeReviewYAML(w io.Writer, r *Review) error {
	if err := writeYAMLField(w, "apiVersion", r.APIVersion); err != nil {
		return err
	}
	if err := writeYAMLList(w, listOf("companions", r.Companions)); err != nil {
		return err
	}
	if err := writeYAMLField(w, "kind", r.Kind); err != nil {
		return err
	}
	for _, l := range []list{listOf("objects", r.Objects), listOf("paths", r.Paths)} {
		if err := writeYAMLList(w, l); err != nil {
			return err
		}
	}
	return writeYAMLField(w, "summary", r.Summary)
}

func writeYAMLField(w io.Writer, name string, v any) error {
	data, err := printable.YAML(map[string]any{name: v})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func writeYAMLList(w io.Writer, l list) error {
	if l.empty {
		return writeYAMLField(w, l.name, []any{})
	}
	if _, err := fmt.Fprintf(w, "%s:\n", l.name); err != nil {
		return err
	}
	for item := range l.items {
		data, err := printable.YAML([]any{item})
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}
