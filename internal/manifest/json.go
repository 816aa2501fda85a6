package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// tokens reads JSON where it lies, without a copy of it.
func tokens(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// json parses documents in JSON. Where something is wrong with one, it is read
// as a whole, for the sake of the line.
func (p parser) json(data []byte) ([]document, error) {
	var docs []document
	at := lines{data: data, line: 1}
	for dec := tokens(data); ; {
		raw, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			if rest := data[at.offset:]; len(rest) <= p.limit {
				if _, err := jsonDocuments(p.file, chunk{rest, at.line}); err != nil {
					return nil, err
				}
			}
			return nil, &Error{File: p.file, Line: at.at(dec.InputOffset()), Message: "not JSON: " + err.Error()}
		}
		doc := chunk{raw, at.at(dec.InputOffset() - int64(len(raw)))}
		if len(raw) > min(wholeBelow, p.limit) {
			if d, ok, err := p.jsonList(doc); ok || err != nil {
				if err != nil {
					return nil, err
				}
				docs = append(docs, d)
				continue
			}
		}
		if len(raw) > p.limit {
			return nil, p.tooLarge(doc.line)
		}
		values, err := jsonDocuments(p.file, doc)
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			docs = append(docs, whole(v))
		}
	}
}

// jsonList parses a List item by item; ok is false for what is none.
func (p parser) jsonList(doc chunk) (d document, ok bool, err error) {
	d = document{typed: true, frame: &value{kind: object, line: doc.line}}
	at := lines{data: doc.text, line: doc.line}
	dec := tokens(doc.text)
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return d, false, nil
	}
	next := func() (*value, error) {
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		line := at.at(dec.InputOffset() - int64(len(raw)))
		if len(raw) > p.limit {
			return nil, p.tooLarge(line)
		}
		values, err := jsonDocuments(p.file, chunk{raw, line})
		if err != nil || len(values) == 0 {
			return &value{line: line}, err
		}
		return values[0], nil
	}
	seen := map[string]bool{}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return d, false, nil
		}
		f := &field{key: name.String()}
		f.line = at.at(dec.InputOffset())
		if seen[f.key] {
			return d, true, &Error{File: p.file, Line: f.line, Message: fmt.Sprintf("the key %q is given twice in one object", f.key)}
		}
		seen[f.key] = true
		if f.key != "items" || dec.PeekKind() != '[' {
			if f.value, err = next(); err != nil {
				return d, true, err
			}
			d.frame.fields = append(d.frame.fields, f)
			continue
		}
		f.value = &value{kind: array, line: f.line}
		d.frame.fields = append(d.frame.fields, f)
		if _, err := dec.ReadToken(); err != nil {
			return d, false, nil
		}
		for dec.PeekKind() != ']' {
			if p.ctx.Err() != nil {
				return d, true, &Error{File: p.file, Message: "reading was interrupted"}
			}
			v, err := next()
			if err != nil {
				return d, true, err
			}
			d.items = append(d.items, v.compact())
		}
		if _, err := dec.ReadToken(); err != nil {
			return d, false, nil
		}
	}
	return d, d.frame.isList(), nil
}

// lines counts the lines of offsets that only ever grow.
type lines struct {
	data   []byte
	offset int64
	line   int
}

func (l *lines) at(offset int64) int {
	if offset > l.offset {
		l.line += bytes.Count(l.data[l.offset:offset], []byte("\n"))
		l.offset = offset
	}
	return l.line
}

func jsonDocuments(file string, part chunk) ([]*value, error) {
	var docs []*value
	p := jsonParser{file: file, data: part.text, dec: json.NewDecoder(bytes.NewReader(part.text)), line: part.line}
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
