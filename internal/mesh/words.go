package mesh

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// What others wrote is quoted in messages: names, hosts, values. Objects may be
// megabytes, of one word or of very many, and messages are for people.
const (
	// MaxFew is how many names [Few] gives.
	MaxFew = 5
	// maxWord is how many bytes of a word [Short] leaves: more than a name or a
	// host can have.
	maxWord = 256
)

// Few lists names for a message: the first few, and how many of the count are
// left out.
func Few(names []string, count int) string {
	names = names[:min(len(names), MaxFew)]
	short := make([]string, len(names))
	for i, name := range names {
		short[i] = Short(name)
	}
	list := strings.Join(short, ", ")
	if count > len(names) {
		list += fmt.Sprintf(" and %d more", count-len(names))
	}
	return list
}

// Short is a word for a message: as it is, or its beginning where it is longer
// than any word that means something.
func Short(s string) string { return Cut(s, maxWord) }

// Cut shortens a text to at most n bytes, at the border of a character, with a
// mark where it was cut.
func Cut(s string, n int) string {
	const mark = "..."
	if len(s) <= n {
		return s
	}
	cut := max(n-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}
