// Package printable makes what strangers have written fit to be shown. Files
// under review may come from anybody: a name or a key in them can hold the
// escape sequences of a terminal, marks that turn the direction of writing, signs
// of no width, the end of a line, and the commands of a workflow on GitHub.
//
// All that the command line prints, on both streams and in every format, goes
// through a [Writer]; values that are to stay on their line go through [Line]
// first, and YAML is written by [YAML], which loses nothing. Escapes are
// those of JSON, so that in JSON they mean what was written.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// blank are the signs that Unicode counts among letters and marks, and that
// nobody sees.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x034f, 0x034f, 1}, // combining grapheme joiner
		{0x115f, 0x1160, 1}, // Hangul fillers
		{0x17b4, 0x17b5, 1}, // Khmer inherent vowels
		{0x180b, 0x180f, 1}, // Mongolian variation selectors
		{0x2800, 0x2800, 1}, // empty braille pattern
		{0x3164, 0x3164, 1},
		{0xfe00, 0xfe0f, 1}, // variation selectors
		{0xffa0, 0xffa0, 1},
	},
	R32: []unicode.Range32{{0xe0100, 0xe01ef, 1}},
}

// shows reports whether a sign is seen as what it is, and moves nothing but the
// cursor by its own width.
func shows(r rune) bool { return unicode.IsPrint(r) && !unicode.Is(blank, r) }

// Line returns the text with everything that does not show escaped, the ends of
// lines too: the value of another can then say nothing of its own beside it.
func Line(s string) string { return escape(s, "") }

// Text is [Line] for text of several lines.
func Text(s string) string { return escape(s, "\n\t") }

// escape escapes what does not show and is not in keep.
func escape(s, keep string) string {
	if clean(s, keep) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\ufffd`) // no text at all
		case shows(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		default:
			writeEscaped(&b, r)
		}
		s = s[n:]
	}
	return b.String()
}

func clean(s, keep string) bool {
	for i := 0; i < len(s); {
		if c := s[i]; ' ' <= c && c < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !shows(r) && !strings.ContainsRune(keep, r) {
			return false
		}
		i += n
	}
	return true
}

// writeEscaped writes a sign as JSON escapes it.
func writeEscaped(b *strings.Builder, r rune) {
	if hi, lo := utf16.EncodeRune(r); hi != unicode.ReplacementChar {
		writeUnit(b, hi)
		r = lo
	}
	writeUnit(b, r)
}

func writeUnit(b *strings.Builder, r rune) {
	const digits = "0123456789abcdef"
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(digits[r>>shift&0xf])
	}
}
