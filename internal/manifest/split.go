package manifest

import (
	"bytes"
	"slices"
)

// chunk is a part of a file, of whole lines.
type chunk struct {
	text []byte
	line int // the number of its first line
}

// documentsOf takes a stream of YAML apart at its markers, as kubectl does: a
// line that begins with "---" or "..." is one wherever it stands. Each document
// comes with the marker before it.
func documentsOf(data []byte) []chunk {
	var all []chunk
	start, first, line := 0, 1, 0
	directives := false // stand before the marker of their document
	end := func(at, next int) {
		if len(bytes.TrimSpace(data[start:at])) > 0 {
			all = append(all, chunk{data[start:at], first})
		}
		start, first, directives = at, next, false
	}
	for at := 0; at < len(data); {
		text, next := lineAt(data, at)
		line++
		switch {
		case marker(text, "---") && !directives:
			end(at, line)
		case marker(text, "---"):
			directives = false
		case marker(text, "..."):
			end(next, line+1)
		case len(text) > 0 && text[0] == '%' && len(bytes.TrimSpace(data[start:at])) == 0:
			directives = true
		}
		at = next
	}
	end(len(data), 0)
	return all
}

// lineAt returns the line that begins at an offset, and where the next one does.
func lineAt(data []byte, at int) (text []byte, next int) {
	i := bytes.IndexByte(data[at:], '\n')
	if i < 0 {
		return data[at:], len(data)
	}
	return data[at : at+i], at + i + 1
}

func marker(line []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(mark))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r')
}

// itemsOf takes a List apart that is written as kubectl writes one: items, each
// behind a dash of its own line, under the key items at the left. The frame is
// what is left, with empty lines in place of the items. It goes by lines alone;
// where one of the parts is no YAML, the document has to be read as a whole.
func itemsOf(doc chunk) (frame chunk, items []chunk, ok bool) {
	var out []byte
	line := doc.line - 1
	const (
		before = iota
		within
		behind
	)
	state, indent, start := before, -1, 0
	for at := 0; at < len(doc.text); {
		text, next := lineAt(doc.text, at)
		line++
		bare := bytes.TrimLeft(text, " ")
		column := len(text) - len(bare)
		blank := len(bytes.TrimSpace(bare)) == 0 || bare[0] == '#'
		switch {
		case state == before && key(text, "items"):
			state = within
			out = append(out, "items: []\n"...)
			at = next
			continue
		case state != within:
			out = append(out, doc.text[at:next]...)
			at = next
			continue
		case blank:
		case bare[0] == '-' && (len(bare) == 1 || bare[1] == ' ' || bare[1] == '\r') && (indent < 0 || column == indent):
			if indent >= 0 {
				items[len(items)-1].text = doc.text[start:at]
			}
			indent, start = column, at
			items = append(items, chunk{line: line})
		case indent >= 0 && column > indent:
		case column == 0 && indent >= 0 && bare[0] != '\t':
			items[len(items)-1].text = doc.text[start:at]
			state = behind
			out = append(out, doc.text[at:next]...)
			at = next
			continue
		default:
			return frame, nil, false
		}
		out = append(out, '\n')
		at = next
	}
	if len(items) == 0 {
		return frame, nil, false
	}
	if state == within {
		items[len(items)-1].text = doc.text[start:]
	}
	return chunk{slices.Clip(out), doc.line}, items, true
}

// key reports whether a line is a key of the left margin, and no more.
func key(line []byte, name string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(name+":"))
	rest = bytes.TrimSpace(rest)
	return ok && (len(rest) == 0 || rest[0] == '#')
}
