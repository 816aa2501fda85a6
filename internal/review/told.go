package review

import (
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/sight"
	"github.com/sallyport-io/sallyport/internal/told"
	"github.com/sallyport-io/sallyport/rules"
)

// InputError is an error about nothing but what was written: its text, and what it
// is wrapped in here, says nothing about the mesh, and may be told to anybody.
type InputError struct{ Err error }

// Error implements error.
func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

// withheld is said in the place of a fix that names what a reader may not know.
const withheld = "Ask the platform team: the fix is about what other namespaces have, and Sallyport's log has it.\n"

// Told returns the findings as a reader is told them, and false where anything is
// left out. What is left out is left out of all of a finding: of one that is about
// things of others alone the reader learns the rule, and where in his own object it
// found something. Findings that are then the same become one, which says roughly
// how many they are; their order is that of what is told.
func (j *Judge) Told(findings []rules.Finding, r *sight.Reader) (out []rules.Finding, whole bool) {
	if r.SeesAll() {
		return findings, true
	}
	whole = true
	type group struct{ first, count int }
	groups := map[rules.Finding]*group{}
	for _, f := range findings {
		f, ok := j.told(f, r)
		whole = whole && ok
		if g := groups[f]; g != nil && !ok {
			g.count++
			continue
		}
		groups[f] = &group{len(out), 1}
		out = append(out, f)
	}
	for _, g := range groups {
		out[g.first].Message += roughly(g.count)
	}
	rules.Sort(out)
	return out, whole
}

// told is the finding as the reader is told it.
func (j *Judge) told(f rules.Finding, r *sight.Reader) (_ rules.Finding, whole bool) {
	said := rules.Finding{Rule: f.Rule, Severity: f.Severity, Path: ownPath(f.Path, r)}
	whole = said.Path == f.Path
	var ok bool
	switch {
	case f.Told != "":
		said.Message, ok = f.Told.To(r.Sees)
	case f.Message == "" || r.SeesAll():
		said.Message, ok = f.Message, true
	default: // nobody has said what of the message is a name
		ok = false
	}
	if said.Message == "" {
		said.Message = j.title(f.Rule)
	}
	whole = whole && ok
	switch {
	case f.ToldFix != "":
		said.Fix, ok = f.ToldFix.To(r.Sees)
	case f.Fix == "" || r.SeesAll():
		said.Fix, ok = f.Fix, true
	default:
		ok = false
	}
	if !ok {
		said.Fix = withheld // half a fix is none
	}
	return said, whole && ok
}

// title is what a rule is about.
func (j *Judge) title(name string) string {
	for _, rule := range j.Rules {
		if rule.Name == name {
			return rule.Title()
		}
	}
	return name
}

// ownPath is a JSON path, up to the first key that the reader has not written. Keys
// are in brackets and quotes; all else in a path are fields of an API.
func ownPath(path string, r *sight.Reader) string {
	for at := 0; ; {
		i := strings.Index(path[at:], `["`)
		if i < 0 {
			return path
		}
		i += at
		quoted, err := strconv.QuotedPrefix(path[i+1:])
		if err != nil {
			return path[:i]
		}
		key, err := strconv.Unquote(quoted)
		if err != nil || !wellKnown(key) && !r.Sees(told.Name{Kind: told.Words, Value: key}) {
			return path[:i]
		}
		at = i + 1 + len(quoted)
	}
}

// wellKnown reports whether a label or annotation is one of Sallyport's or Istio's.
func wellKnown(key string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return domain == "sallyport.io" || domain == "istio-injection" || domain == "istio.io" || strings.HasSuffix(domain, ".istio.io")
}

// roughly says how many findings are told as one.
func roughly(n int) string {
	switch {
	case n < 2:
		return ""
	case n < 10:
		return " (several like this)"
	case n < 100:
		return " (tens like this)"
	default:
		return " (hundreds like this)"
	}
}
