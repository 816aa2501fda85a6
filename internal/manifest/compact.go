package manifest

import (
	"bytes"
	"encoding/json"
)

// compact is a value in a twentieth of the room: as JSON, with the lines of its
// keys and values in their order.
type compact struct {
	json  []byte
	lines []uint32
}

func (v *value) compact() compact {
	c := compact{json: v.json()}
	c.lines = make([]uint32, 0, v.count())
	v.eachLine(func(line *int) { c.lines = append(c.lines, uint32(*line)) }) //nolint:gosec // no file has that many lines
	return c
}

// inflate makes the value again.
func (c compact) inflate() *value {
	p := jsonParser{data: c.json, dec: json.NewDecoder(bytes.NewReader(c.json)), line: 1}
	p.dec.UseNumber()
	v, err := p.value(-1 << 20) // what has been read once is not too deep
	if err != nil {
		return &value{}
	}
	i := 0
	v.eachLine(func(line *int) {
		if i < len(c.lines) {
			*line = int(c.lines[i])
		}
		i++
	})
	return v
}

// eachLine calls f with the lines of a value's keys and values, in order.
func (v *value) eachLine(f func(line *int)) {
	f(&v.line)
	for _, item := range v.items {
		item.eachLine(f)
	}
	for _, fld := range v.fields {
		f(&fld.line)
		fld.value.eachLine(f)
	}
}

func (v *value) count() (n int) {
	v.eachLine(func(*int) { n++ })
	return n
}
