package manifest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/sallyport-io/sallyport/internal/readfile"
)

// Limits bound what is read, in bytes. A zero stands for the default.
type Limits struct {
	// Document bounds one document, and one object of a List; 4 MiB by default,
	// more than an API server holds of one object.
	Document int
	// File bounds one file or standard input; 256 MiB by default.
	File int64
	// Total bounds all of them together; 512 MiB by default.
	Total int64
}

func (l Limits) document() int { return cmp.Or(l.Document, 4<<20) }
func (l Limits) file() int64   { return cmp.Or(l.File, 256<<20) }
func (l Limits) total() int64  { return cmp.Or(l.Total, 512<<20) }

// size writes down a limit.
func size(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// load returns the contents of one file, of which there may be left bytes.
func (r Reader) load(ctx context.Context, name string, left int64) ([]byte, error) {
	source := r.Stdin
	if name == stdin {
		if source == nil {
			return nil, &Error{File: name, Message: "there is no standard input"}
		}
	} else {
		f, err := readfile.Open(name)
		if err != nil {
			return nil, &Error{File: name, Message: reason(err)}
		}
		defer f.Close()
		source = f
	}
	limit := min(r.Limits.file(), left)
	data, err := readAll(ctx, source, limit, sizeOf(source))
	switch {
	case ctx.Err() != nil:
		return nil, &Error{File: name, Message: "reading was interrupted"}
	case err != nil && name == stdin:
		return nil, &Error{File: name, Message: fmt.Sprintf("cannot read standard input: %v", err)}
	case err != nil:
		return nil, &Error{File: name, Message: reason(err)}
	case int64(len(data)) > limit && left < r.Limits.file():
		return nil, &Error{File: name, Message: fmt.Sprintf("all that is given is larger than %s together; give less at a time", size(r.Limits.total()))}
	case int64(len(data)) > limit:
		return nil, &Error{File: name, Message: fmt.Sprintf("larger than %s; give it in several files", size(limit))}
	}
	return data, nil
}

// sizeOf is a guess at how much there is to read.
func sizeOf(r io.Reader) int64 {
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return 0
}

// readAll reads until the end, one byte more than the limit, or the end of the
// context: a read from a terminal or a pipe may last for ever.
func readAll(ctx context.Context, r io.Reader, limit, guess int64) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var b bytes.Buffer
		b.Grow(int(min(guess, limit)) + bytes.MinRead)
		_, err := b.ReadFrom(io.LimitReader(untilDone{ctx, r}, limit+1))
		done <- result{b.Bytes(), err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-done:
		return got.data, got.err
	}
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// notText returns the error for the first place where a file is no text: bytes
// that are no UTF-8 and, in YAML, control characters, which it has no use for.
func notText(file string, data []byte, yaml bool) error {
	for i := 0; i < len(data); {
		r, n := rune(data[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(data[i:])
		}
		what := ""
		switch {
		case r == utf8.RuneError && n == 1:
			what = fmt.Sprintf("not text: the byte %#02x is not UTF-8", data[i])
		case r == '\n' || r == '\t' || r == '\r' || r == 0x85:
		case yaml && (r < ' ' || 0x7f <= r && r <= 0x9f):
			what = fmt.Sprintf("not YAML: the control character %U must be written as an escape, in double quotes", r)
		}
		if what != "" {
			return &Error{File: file, Line: 1 + bytes.Count(data[:i], []byte("\n")), Message: what}
		}
		i += n
	}
	return nil
}
