package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is the parsed file. It remembers at which line each field stands,
// for messages.
type document struct {
	name  string
	root  *yaml.Node
	lines map[string]int // by path: "gateways[0].service"
}

func parseDocument(name string, data []byte) (*document, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(root.Content) == 0 {
		return nil, fmt.Errorf("%s: the file is empty; it must begin with apiVersion: %s and kind: %s", name, APIVersion, Kind)
	}
	return &document{name: name, root: root.Content[0], lines: make(map[string]int)}, nil
}

// errorf returns an error about one field: "FILE:LINE: PATH: MESSAGE".
func (d *document) errorf(path, format string, args ...any) error {
	where := d.name
	for p := path; ; {
		if line, ok := d.lines[p]; ok {
			where = fmt.Sprintf("%s:%d", d.name, line)
			break
		}
		cut := strings.LastIndexAny(p, ".[")
		if cut < 0 {
			break
		}
		p = p[:cut] // an absent field is reported at its parent
	}
	if path == "" {
		return fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...))
	}
	return fmt.Errorf("%s: %s: %w", where, path, fmt.Errorf(format, args...))
}

// decode fills the struct behind v and returns everything that does not fit.
func (d *document) decode(v any) error {
	return errors.Join(d.value("", d.root, reflect.ValueOf(v).Elem())...)
}

// value decodes one node into v, by v's type.
func (d *document) value(path string, n *yaml.Node, v reflect.Value) []error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return nil // as if absent
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(path, n, v.Elem())
	case reflect.Struct:
		return d.object(path, n, v)
	case reflect.Slice:
		return d.list(path, n, v)
	case reflect.Map:
		return d.dictionary(path, n, v)
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			return []error{d.errorf(path, "must be a string, is %s", describe(n))}
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			return []error{d.errorf(path, "must be true or false, is %s", describe(n))}
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
			return []error{d.errorf(path, "must be a whole number, is %s", describe(n))}
		}
		v.SetInt(int64(i))
	default: // any
		if err := n.Decode(v.Addr().Interface()); err != nil {
			return []error{d.errorf(path, "%w", err)}
		}
	}
	return nil
}

func (d *document) object(path string, n *yaml.Node, v reflect.Value) []error {
	fields := make(map[string]int)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	return d.pairs(path, n, func(key, path string, value *yaml.Node) []error {
		i, ok := fields[key]
		if !ok {
			known := make([]string, 0, len(fields))
			for f := range fields {
				known = append(known, f)
			}
			slices.Sort(known)
			return []error{d.errorf(path, "unknown field; the fields here are %s", strings.Join(known, ", "))}
		}
		return d.value(path, value, v.Field(i))
	})
}

func (d *document) dictionary(path string, n *yaml.Node, v reflect.Value) []error {
	v.Set(reflect.MakeMap(v.Type()))
	return d.pairs(path, n, func(key, path string, value *yaml.Node) []error {
		elem := reflect.New(v.Type().Elem()).Elem()
		errs := d.value(path, value, elem)
		v.SetMapIndex(reflect.ValueOf(key), elem)
		return errs
	})
}

// pairs calls f for every key of a mapping, and refuses repeated ones.
func (d *document) pairs(path string, n *yaml.Node, f func(key, path string, value *yaml.Node) []error) []error {
	if n.Kind != yaml.MappingNode {
		return []error{d.errorf(path, "must be a mapping, is %s", describe(n))}
	}
	var errs []error
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		child := strings.TrimPrefix(path+"."+key, ".")
		if seen[key] {
			first := d.lines[child]
			d.lines[child] = n.Content[i].Line
			errs = append(errs, d.errorf(child, "given twice, first at line %d; keep one", first))
			continue
		}
		seen[key] = true
		d.lines[child] = n.Content[i].Line
		errs = append(errs, f(key, child, value)...)
	}
	return errs
}

func (d *document) list(path string, n *yaml.Node, v reflect.Value) []error {
	if n.Kind != yaml.SequenceNode {
		return []error{d.errorf(path, "must be a list, is %s", describe(n))}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	var errs []error
	for i, item := range n.Content {
		child := fmt.Sprintf("%s[%d]", path, i)
		d.lines[child] = item.Line
		errs = append(errs, d.value(child, item, v.Index(i))...)
	}
	return errs
}

// describe names what stands at a node, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!str":
		return fmt.Sprintf("the string %q", n.Value)
	case "!!bool", "!!int", "!!float":
		return n.Value
	}
	return "something else"
}
