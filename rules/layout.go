package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

// Columns is how wide the lines are that people are shown: what kubectl prints of
// an error, and Argo CD of a failed sync, is read in windows of about that.
const Columns = 100

// FirstLine is how long the line is at most that says what is wrong and where.
const FirstLine = 120

// Split divides what a finding says into what is wrong, which is one line, and why,
// which may be empty: what fits into the line stays together.
func (f Finding) Split() (what, why string) {
	if len(f.Path)+len(": ")+len(f.Message) <= FirstLine {
		return f.Message, ""
	}
	what, why, _ = strings.Cut(f.Message, ": ")
	return what, why
}

// Wrap breaks a text between its words into lines of so many columns. A word that is
// longer, a host or an object's name, stays whole.
func Wrap(s string, columns int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// OneCause makes one of the denials that are about the ways to one host and that one
// fix ends: the first, which names the places of the others. Findings are sorted, and
// stay so.
func OneCause(findings []Finding) []Finding {
	type cause struct{ host, fix string }
	grave := map[cause]Severity{}
	first := map[cause]int{}
	var out []Finding
	var places [][]string
	for _, f := range findings {
		c := cause{f.Host, Bare(f.Fix)}
		if f.Severity == Warn && f.Fix == "" {
			// One field breaks the way to a port, for some clients in these words and for
			// others in those.
			what, _ := f.Split()
			what, _, _ = strings.Cut(what, " from ")
			c.fix = f.Path + "\x00" + what
		}
		if f.Severity != Deny && f.Severity != Warn || f.Host == "" || c.fix == "" {
			out, places = append(out, f), append(places, nil)
			continue
		}
		i, ok := first[c]
		if !ok || grave[c] != f.Severity {
			first[c], grave[c] = len(out), f.Severity
			out, places = append(out, f), append(places, nil)
			continue
		}
		place := f.Path
		switch {
		case strings.Contains(place, `["`): // not a field of an API alone
			continue
		case f.Port != 0 && f.Port != out[i].Port:
			place = fmt.Sprintf("port %d (%s)", f.Port, f.Path)
		case f.Path == out[i].Path, strings.HasPrefix(f.Path, out[i].Path+"."):
			continue // the same place
		}
		if !slices.Contains(places[i], place) {
			places[i] = append(places[i], place)
		}
	}
	for i, more := range places {
		const most = 5
		if len(more) == 0 {
			continue
		}
		if len(more) > most {
			more = append(more[:most:most], "others")
		}
		also := "; the same goes for " + strings.Join(more, ", ")
		out[i].Message += also
		if out[i].Told != "" {
			out[i].Told += told.Plain(also) // they are fields of an API
		}
	}
	return out
}

// WrapComments breaks the comments of a fix in YAML into lines of at most so many
// bytes, where there are blanks to do so. Nothing else is changed.
func WrapComments(fix string, columns int) string {
	const mark = "# "
	if !strings.HasPrefix(fix, mark) {
		return fix
	}
	lines := strings.Split(fix, "\n")
	for i, line := range lines {
		if text, ok := strings.CutPrefix(line, mark); ok && len(line) > columns {
			lines[i] = mark + strings.Join(Wrap(text, columns-len(mark)), "\n"+mark)
		}
	}
	return strings.Join(lines, "\n")
}
