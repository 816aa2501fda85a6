package rawjson

import (
	"errors"
	"io"
)

// List takes an object apart while it is read, as [Members] does one that is
// in memory: f gets each member, but for the one called array, of whose value
// each gets the elements. That one may be null instead, and has none then. No
// more is kept of what is read than the value at hand, which is lent to f and
// each until they return.
//
// It ends with the first error of f, each or r, and with [ErrSyntax] where r
// ends too early or goes on behind the object.
func List(r io.Reader, array string, f func(name, value []byte) error, each func(value []byte) error) error {
	w := window{source: r, scanner: scanner{data: make([]byte, 0, windowSize)}}
	if !w.take('{') {
		return w.fault()
	}
	if w.take('}') {
		return w.end()
	}
	var name []byte // the window moves on while the value is read
	for {
		text, ok := w.read((*scanner).text)
		if !ok {
			return w.fault()
		}
		name = append(name[:0], text...)
		if !w.take(':') {
			return w.fault()
		}
		if err := w.member(name, string(name) == array, f, each); err != nil {
			return err
		}
		switch {
		case w.take(','):
		case w.take('}'):
			return w.end()
		default:
			return w.fault()
		}
	}
}

// member reads the value of a member.
func (w *window) member(name []byte, array bool, f func(name, value []byte) error, each func(value []byte) error) error {
	if array && w.take('[') {
		return w.elements(each)
	}
	value, ok := w.read((*scanner).value)
	if !ok {
		return w.fault()
	}
	if !array {
		return f(name, value)
	}
	if string(value) != "null" {
		return ErrSyntax
	}
	return nil
}

// elements reads an array from behind its bracket.
func (w *window) elements(each func(value []byte) error) error {
	if w.take(']') {
		return nil
	}
	for {
		value, ok := w.read((*scanner).value)
		if !ok {
			return w.fault()
		}
		if err := each(value); err != nil {
			return err
		}
		switch {
		case w.take(','):
		case w.take(']'):
			return nil
		default:
			return w.fault()
		}
	}
}

// windowSize is how much is read at a time, in bytes, unless a single value is
// larger.
const windowSize = 64 << 10

// window is a scanner over the part of a source that has been read and not been
// dealt with.
type window struct {
	scanner
	source io.Reader
	err    error // why the source gives no more
}

// fill reads more, and is false where there is no more. Half of the window or
// more is new then: a value that does not fit is looked at again and again, but
// the larger it gets the more rarely.
func (w *window) fill() bool {
	if w.err != nil {
		return false
	}
	rest := w.data[w.pos:]
	if len(rest) > cap(w.data)/2 {
		w.data = append(make([]byte, 0, 2*cap(w.data)), rest...)
	} else {
		w.data = w.data[:copy(w.data[:cap(w.data)], rest)]
	}
	w.pos = 0
	start := len(w.data)
	for w.err == nil && len(w.data) < cap(w.data) {
		var n int
		n, w.err = w.source.Read(w.data[len(w.data):cap(w.data)])
		w.data = w.data[:len(w.data)+n]
	}
	return len(w.data) > start
}

// take is [scanner.take], whatever has been read.
func (w *window) take(b byte) bool {
	for {
		if w.scanner.take(b) {
			return true
		}
		if w.pos < len(w.data) || !w.fill() {
			return false
		}
	}
}

// read reads a text or a value, whatever has been read. What ends where the
// window does may go on behind it.
func (w *window) read(f func(*scanner) ([]byte, bool)) ([]byte, bool) {
	for {
		start := w.pos
		value, ok := f(&w.scanner)
		if ok && w.pos < len(w.data) {
			return value, true
		}
		w.pos = start
		if !w.fill() {
			break
		}
	}
	if w.sourceError() != nil {
		return nil, false
	}
	return f(&w.scanner)
}

// end is nil where the source ends here.
func (w *window) end() error {
	for {
		if err := w.scanner.end(); err != nil {
			return err
		}
		if !w.fill() {
			return w.sourceError()
		}
	}
}

// fault says why what was expected is not there.
func (w *window) fault() error {
	if err := w.sourceError(); err != nil {
		return err
	}
	return ErrSyntax
}

// sourceError is what went wrong with the source, nil where it came to its end.
func (w *window) sourceError() error {
	if errors.Is(w.err, io.EOF) {
		return nil
	}
	return w.err
}
