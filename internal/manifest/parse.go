package manifest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxDepth bounds nesting; Kubernetes objects stay below fifty.
	maxDepth = 200
	// maxValues bounds what one document may expand to: YAML's aliases can
	// turn a small file into an enormous object.
	maxValues = 1 << 20
	// maxExpanded bounds the text of those values, in bytes.
	maxExpanded = 16 << 20
)

// document is one document of a file, or a List that was taken apart: its items,
// and what is around them.
type document struct {
	typed bool
	items []compact
	frame *value // nil for a document as a whole, which is the one item
}

func whole(v *value) document { return document{typed: v.typed(), items: []compact{v.compact()}} }

// parser parses one file.
type parser struct {
	ctx   context.Context
	file  string
	limit int // of one document, and of one object
}

// wholeBelow is the size up to which a document is not worth taking apart.
const wholeBelow = 256 << 10

// documents parses a file into its documents; empty ones are left out.
func (p parser) documents(data []byte) ([]document, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if strings.HasSuffix(p.file, ".json") || isJSON(data) {
		if err := notText(p.file, data, false); err != nil {
			return nil, err
		}
		return p.json(data)
	}
	if err := notText(p.file, data, true); err != nil {
		return nil, err
	}
	var docs []document
	for _, c := range documentsOf(data) {
		d, err := p.yaml(c)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d...)
	}
	return docs, nil
}

// yaml parses one document, or a few where the chunk holds a few.
func (p parser) yaml(c chunk) ([]document, error) {
	var apart error
	if len(c.text) > min(wholeBelow, p.limit) {
		var d document
		var isList bool
		if d, isList, apart = p.yamlList(c); isList && apart == nil {
			return []document{d}, nil
		}
		if p.ctx.Err() != nil {
			return nil, apart
		}
	}
	if len(c.text) > p.limit {
		return nil, cmp.Or(apart, p.tooLarge(c.line))
	}
	values, err := yamlDocuments(p.file, c)
	var docs []document
	for _, v := range values {
		docs = append(docs, whole(v))
	}
	return docs, err
}

func (p parser) tooLarge(line int) error {
	return &Error{File: p.file, Line: line, Message: fmt.Sprintf("the document, or the object of a List, is larger than %s", size(int64(p.limit)))}
}

// yamlList parses a List item by item. Where the document is none, or is not
// written so that it can be taken apart, isList is false.
func (p parser) yamlList(c chunk) (d document, isList bool, err error) {
	frame, items, ok := itemsOf(c)
	if !ok {
		return d, false, nil
	}
	if len(bytes.TrimSpace(frame.text)) > p.limit {
		return d, false, p.tooLarge(c.line)
	}
	values, err := yamlDocuments(p.file, frame)
	if err != nil || len(values) != 1 || !values[0].isList() {
		return d, false, err
	}
	d = document{typed: true, frame: values[0]}
	for _, item := range items {
		if p.ctx.Err() != nil {
			return d, true, &Error{File: p.file, Message: "reading was interrupted"}
		}
		if len(item.text) > p.limit {
			return d, true, p.tooLarge(item.line)
		}
		values, err := yamlDocuments(p.file, item)
		switch {
		case err != nil:
			return d, true, err
		case len(values) != 1 || values[0].kind != array || len(values[0].items) != 1:
			return d, true, &Error{File: p.file, Line: item.line, Message: "not an item of a List"}
		}
		d.items = append(d.items, values[0].items[0].compact())
	}
	return d, true, nil
}

// isList reports whether a document is a List, or a list of one kind.
func (v *value) isList() bool {
	return strings.HasSuffix(v.get("kind").str(), "List") && v.get("items") != nil && v.get("items").kind == array
}

// isJSON tells JSON from YAML in flow style: both may begin with a brace.
func isJSON(data []byte) bool {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return false
	}
	dec := tokens(data)
	for {
		if err := dec.SkipValue(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// yamlLine finds the line in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func yamlDocuments(file string, part chunk) ([]*value, error) {
	var docs []*value
	dec := yaml.NewDecoder(bytes.NewReader(part.text))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			m := yamlLine.FindStringSubmatch(err.Error())
			e := &Error{File: file, Message: "not YAML: " + strings.TrimPrefix(err.Error(), m[0])}
			if e.Line, _ = strconv.Atoi(m[1]); e.Line > 0 {
				e.Line += part.line - 1
			}
			return docs, e
		}
		c := converter{file: file, base: part.line - 1}
		v, err := c.value(&n, 0)
		if err != nil {
			return docs, err
		}
		if v.kind != null {
			docs = append(docs, v)
		}
	}
}

// converter turns YAML nodes into values, as sigs.k8s.io/yaml does for
// kubectl: YAML 1.1 booleans, merge keys, aliases, string keys only.
type converter struct {
	file  string
	base  int // lines before the part of the file
	count int
	bytes int
}

func (c *converter) errorf(n *yaml.Node, format string, args ...any) error {
	return &Error{File: c.file, Line: c.base + n.Line, Message: fmt.Sprintf(format, args...)}
}

func (c *converter) value(n *yaml.Node, depth int) (*value, error) {
	if c.count++; c.count > maxValues {
		return nil, c.errorf(n, "the document expands to more than %d values", maxValues)
	}
	if c.bytes += len(n.Value); c.bytes > maxExpanded {
		return nil, c.errorf(n, "the document expands to more than %s", size(maxExpanded))
	}
	if depth > maxDepth {
		return nil, c.errorf(n, "nested deeper than %d levels", maxDepth)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return c.value(n.Content[0], depth)
	case yaml.AliasNode:
		return c.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		v := &value{kind: array, line: c.base + n.Line}
		for _, item := range n.Content {
			i, err := c.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, i)
		}
		return v, nil
	case yaml.MappingNode:
		return c.mapping(n, depth)
	case yaml.ScalarNode:
		return c.scalar(n)
	}
	return &value{kind: null, line: c.base + n.Line}, nil
}

const notAKey = "a key must be a string"

func (c *converter) mapping(n *yaml.Node, depth int) (*value, error) {
	v := &value{kind: object, line: c.base + n.Line}
	seen := make(map[string]bool, len(n.Content)/2)
	var merged []*field
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		child, err := c.value(val, depth+1)
		if err != nil {
			return nil, err
		}
		if k.ShortTag() == "!!merge" {
			sources := []*value{child}
			if child.kind == array {
				sources = child.items
			}
			for _, s := range sources {
				merged = append(merged, s.fields...)
			}
			continue
		}
		if k.Kind != yaml.ScalarNode {
			return nil, c.errorf(k, notAKey)
		}
		if seen[k.Value] {
			return nil, c.errorf(k, "the key %q is given twice in one object", k.Value)
		}
		seen[k.Value] = true
		if c.bytes += len(k.Value); c.bytes > maxExpanded {
			return nil, c.errorf(k, "the document expands to more than %s", size(maxExpanded))
		}
		v.fields = append(v.fields, &field{key: k.Value, line: c.base + k.Line, value: child})
	}
	// What is merged in never replaces what is written, and of several
	// sources the first one wins (https://yaml.org/type/merge.html).
	for _, f := range merged {
		if !seen[f.key] {
			seen[f.key] = true
			v.fields = append(v.fields, f)
		}
	}
	return v, nil
}

func (c *converter) scalar(n *yaml.Node) (*value, error) {
	v := &value{kind: text, line: c.base + n.Line, text: n.Value}
	switch n.ShortTag() {
	case "!!null":
		v.kind, v.text = null, ""
	case "!!bool":
		v.kind, v.text = boolean, strings.ToLower(n.Value)
	case "!!int":
		var i int64
		var u uint64
		v.kind = number
		switch {
		case n.Decode(&i) == nil:
			v.text = strconv.FormatInt(i, 10)
		case n.Decode(&u) == nil:
			v.text = strconv.FormatUint(u, 10)
		default:
			return nil, c.errorf(n, "the number %s is out of range", n.Value)
		}
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, c.errorf(n, "%s is not a number that JSON can hold", n.Value)
		}
		v.kind, v.text = number, strconv.FormatFloat(f, 'g', -1, 64)
	case "!!str":
		// kubectl reads YAML 1.1, in which some plain words are booleans.
		if b, ok := yaml11Bool(n.Value); ok && n.Style == 0 {
			v.kind, v.text = boolean, strconv.FormatBool(b)
		}
	}
	return v, nil
}

func yaml11Bool(s string) (b, ok bool) {
	switch {
	case slices.Contains([]string{"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"}, s):
		return true, true
	case slices.Contains([]string{"n", "N", "no", "No", "NO", "off", "Off", "OFF"}, s):
		return false, true
	}
	return false, false
}
