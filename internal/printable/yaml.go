package printable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// YAML encodes a value as YAML. Where something in it does not show, or a line
// would be a command to GitHub's runner, its strings are in quotes, in which all
// of that is escaped: whoever reads the YAML gets what the value holds.
func YAML(v any) ([]byte, error) {
	var text bytes.Buffer
	js := json.NewEncoder(&text)
	js.SetEscapeHTML(false)
	if err := js.Encode(v); err != nil {
		return nil, err
	}
	data := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	if plain(data) {
		// What this library cannot read, keys of more than 1,024 signs among it,
		// is written below.
		if out, err := sigsyaml.JSONToYAML(data); err == nil {
			return out, nil
		}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	node, err := nodeOf(dec)
	if err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	// Every string is in quotes by now.
	var out strings.Builder
	for s := b.String(); len(s) > 0; {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case strings.HasPrefix(s, "##["):
			out.WriteString(`\u0023`)
		case shows(r) || r == '\n':
			out.WriteRune(r)
		case r > 0xffff: // YAML knows no surrogates
			fmt.Fprintf(&out, `\U%08x`, r)
		default:
			writeUnit(&out, r)
		}
		s = s[n:]
	}
	return []byte(out.String()), nil
}

// command finds what could become a line that is a command: a key may begin a
// line, and YAML may break long strings at spaces.
var command = regexp.MustCompile(`(?:\s|\\[nrt])::[^ /]|"::(?:[^"\\]|\\.)*":|##\[`)

// plain reports whether the text of all strings in JSON shows, and holds no
// command.
func plain(data []byte) bool {
	s := string(data)
	return clean(s, "") && !escaped.MatchString(s) && !command.MatchString(s)
}

// escaped finds the escapes of JSON for what does not show, but for ends of
// lines and tabulators, and those of encoding/json for HTML.
var escaped = regexp.MustCompile(`\\(?:[bfr]|u(?:00[01]|2028|2029))`)

// nodeOf reads one value of JSON as YAML with every string in quotes.
func nodeOf(dec *json.Decoder) (*yaml.Node, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: t}, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: t.String()}, nil
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for dec.More() { // keys and values come in turn
			child, err := nodeOf(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := dec.Token()
		return n, err
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(t)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: "null"}, nil
}
