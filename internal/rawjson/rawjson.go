// Package rawjson takes JSON objects apart without decoding them: an API
// server sends tens of thousands at a start, most of whose bytes nobody reads.
package rawjson

import (
	"bytes"
	"errors"
)

// ErrSyntax is returned for what is not put together as JSON is.
var ErrSyntax = errors.New("malformed JSON")

// Members calls f with the name and the value of each member of an object, in
// their order, as they are written: a name with escapes keeps them. Only the
// object's own syntax is checked. Of a value Members finds the end, and trusts
// whoever decodes it to check it. It ends with the first error of f.
func Members(object []byte, f func(name, value []byte) error) error {
	s := scanner{data: object}
	if !s.take('{') {
		return ErrSyntax
	}
	if s.take('}') {
		return s.end()
	}
	for {
		name, ok := s.text()
		if !ok || !s.take(':') {
			return ErrSyntax
		}
		value, ok := s.value()
		if !ok {
			return ErrSyntax
		}
		if err := f(name, value); err != nil {
			return err
		}
		switch {
		case s.take(','):
		case s.take('}'):
			return s.end()
		default:
			return ErrSyntax
		}
	}
}

// Member is the value of one member of an object, the last of several; nil where
// there is none.
func Member(object []byte, name string) (value []byte) {
	_ = Members(object, func(n, v []byte) error {
		if string(n) == name {
			value = v
		}
		return nil
	})
	return value
}

// Elements calls f with each value of an array, as it is written. It ends with
// the first error of f.
func Elements(array []byte, f func(value []byte) error) error {
	s := scanner{data: array}
	if !s.take('[') {
		return ErrSyntax
	}
	if s.take(']') {
		return s.end()
	}
	for {
		value, ok := s.value()
		if !ok {
			return ErrSyntax
		}
		if err := f(value); err != nil {
			return err
		}
		switch {
		case s.take(','):
		case s.take(']'):
			return s.end()
		default:
			return ErrSyntax
		}
	}
}

// Plain returns what a value says that is a string of printable ASCII without
// escapes.
func Plain(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return "", false
	}
	return PlainText(value[1 : len(value)-1])
}

// PlainText is [Plain] for what stands between the quotes.
func PlainText(text []byte) (string, bool) {
	for _, b := range text {
		if b < ' ' || b == '"' || b == '\\' || b >= 0x7f {
			return "", false
		}
	}
	return string(text), true
}

// scanner reads data from pos on.
type scanner struct {
	data []byte
	pos  int
}

// space skips white space.
func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// take skips white space and the byte, if it comes next.
func (s *scanner) take(b byte) bool {
	s.space()
	if s.pos == len(s.data) || s.data[s.pos] != b {
		return false
	}
	s.pos++
	return true
}

// end is nil where nothing but white space is left.
func (s *scanner) end() error {
	s.space()
	if s.pos < len(s.data) {
		return ErrSyntax
	}
	return nil
}

// text reads a string and returns what is between its quotes.
func (s *scanner) text() (text []byte, ok bool) {
	if !s.take('"') {
		return nil, false
	}
	start := s.pos
	for {
		quote := bytes.IndexByte(s.data[s.pos:], '"')
		if quote < 0 {
			return nil, false
		}
		s.pos += quote + 1
		escapes := 0
		for i := s.pos - 2; i >= start && s.data[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return s.data[start : s.pos-1], true
		}
	}
}

// value reads any value.
func (s *scanner) value() (value []byte, ok bool) {
	s.space()
	start := s.pos
	for depth := 0; s.pos < len(s.data); {
		switch s.data[s.pos] {
		case '"':
			if _, ok := s.text(); !ok {
				return nil, false
			}
		case '{', '[':
			depth++
			s.pos++
			continue
		case '}', ']':
			if depth == 0 {
				return nil, false
			}
			depth--
			s.pos++
		case ' ', '\t', '\n', '\r', ',', ':':
			if depth == 0 {
				return nil, false
			}
			s.pos++
			continue
		default:
			s.plain()
		}
		if depth == 0 {
			return s.data[start:s.pos], true
		}
	}
	return nil, false
}

// plain skips a number, true, false or null.
func (s *scanner) plain() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r', ',', ':', '}', ']', '{', '[', '"':
			return
		}
		s.pos++
	}
}
