package manifest

import (
	"bytes"
	"encoding/json"
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
)

// documents parses one file into its documents; empty ones are left out.
func documents(file string, data []byte) ([]*value, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if strings.HasSuffix(file, ".json") || isJSON(data) {
		return jsonDocuments(file, data)
	}
	return yamlDocuments(file, data)
}

// isJSON tells JSON from YAML in flow style: both may begin with a brace.
func isJSON(data []byte) bool {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// yamlLine finds the line in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func yamlDocuments(file string, data []byte) ([]*value, error) {
	var docs []*value
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			m := yamlLine.FindStringSubmatch(err.Error())
			e := &Error{File: file, Message: "not YAML: " + strings.TrimPrefix(err.Error(), m[0])}
			e.Line, _ = strconv.Atoi(m[1])
			return docs, e
		}
		c := converter{file: file}
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
	count int
}

func (c *converter) errorf(n *yaml.Node, format string, args ...any) error {
	return &Error{File: c.file, Line: n.Line, Message: fmt.Sprintf(format, args...)}
}

func (c *converter) value(n *yaml.Node, depth int) (*value, error) {
	if c.count++; c.count > maxValues {
		return nil, c.errorf(n, "the document expands to more than %d values", maxValues)
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
		v := &value{kind: array, line: n.Line}
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
	return &value{kind: null, line: n.Line}, nil
}

func (c *converter) mapping(n *yaml.Node, depth int) (*value, error) {
	v := &value{kind: object, line: n.Line}
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
			return nil, c.errorf(k, "a key must be a string")
		}
		if seen[k.Value] {
			return nil, c.errorf(k, "the key %q is given twice in one object", k.Value)
		}
		seen[k.Value] = true
		v.fields = append(v.fields, &field{key: k.Value, line: k.Line, value: child})
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
	v := &value{kind: text, line: n.Line, text: n.Value}
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

func jsonDocuments(file string, data []byte) ([]*value, error) {
	var docs []*value
	p := jsonParser{file: file, data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	p.dec.UseNumber()
	for {
		v, err := p.value(0)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			if _, ok := errors.AsType[*Error](err); ok {
				return docs, err
			}
			return docs, &Error{File: file, Line: p.lineAt(p.dec.InputOffset()), Message: "not JSON: " + err.Error()}
		}
		if v.kind != null {
			docs = append(docs, v)
		}
	}
}

// jsonParser builds values from the tokens of encoding/json, which keeps no
// lines and lets duplicate keys pass.
type jsonParser struct {
	file   string
	data   []byte
	dec    *json.Decoder
	offset int64
	line   int
}

// lineAt is the line of an offset; offsets only ever grow.
func (p *jsonParser) lineAt(offset int64) int {
	offset = min(offset, int64(len(p.data)))
	if offset > p.offset {
		p.line += bytes.Count(p.data[p.offset:offset], []byte("\n"))
		p.offset = offset
	}
	return p.line
}

func (p *jsonParser) value(depth int) (*value, error) {
	tok, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	v := &value{line: p.lineAt(p.dec.InputOffset())}
	if depth > maxDepth {
		return nil, &Error{File: p.file, Line: v.line, Message: fmt.Sprintf("nested deeper than %d levels", maxDepth)}
	}
	switch t := tok.(type) {
	case bool:
		v.kind, v.text = boolean, strconv.FormatBool(t)
	case json.Number:
		v.kind, v.text = number, t.String()
	case string:
		v.kind, v.text = text, t
	case json.Delim:
		v.kind = array
		if t == '{' {
			v.kind = object
		}
		seen := map[string]bool{}
		for p.dec.More() {
			if err := p.child(v, seen, depth); err != nil {
				return nil, unexpected(err)
			}
		}
		if _, err := p.dec.Token(); err != nil { // the closing bracket
			return nil, unexpected(err)
		}
	}
	return v, nil
}

// unexpected turns the end of the input inside a value into an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// child reads one item of an array or one field of an object.
func (p *jsonParser) child(v *value, seen map[string]bool, depth int) error {
	var f *field
	if v.kind == object {
		tok, err := p.dec.Token()
		if err != nil {
			return err
		}
		key, _ := tok.(string) // encoding/json allows nothing else here
		f = &field{key: key, line: p.lineAt(p.dec.InputOffset())}
		if seen[key] {
			return &Error{File: p.file, Line: f.line, Message: fmt.Sprintf("the key %q is given twice in one object", key)}
		}
		seen[key] = true
	}
	c, err := p.value(depth + 1)
	if err != nil {
		return err
	}
	if f == nil {
		v.items = append(v.items, c)
		return nil
	}
	f.value = c
	v.fields = append(v.fields, f)
	return nil
}
