package webhook

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// The limits on warnings: clients may truncate one above 256 bytes and drop
// those above 4096 bytes altogether (field warnings of AdmissionResponse).
const (
	maxWarning  = 256
	maxWarnings = 4096
	// maxDenial bounds a denial: it has to be read by a person.
	maxDenial = 8192
	// maxCauses bounds the causes of a denial, which are for programs.
	maxCauses = 16 << 10
	// maxReason bounds what is said of a write that nobody has judged.
	maxReason = 2048
	// maxName bounds a name, or what is said to be one, in an answer and in the log.
	maxName = 256
)

// MaxAnswer bounds the bytes of an answer as it is sent, beside its patch,
// whatever was asked: what an answer quotes may be as large as a review.
const MaxAnswer = 64 << 10

// whyIndent is where the lines go on that explain a finding.
const whyIndent = "       "

// yamlIndent is before each line of a fix that is more than a sentence.
const yamlIndent = "    "

// denial is the message of a refused write: what is wrong, where, and the
// fix, for every finding that denies. A fix that serves several is given once.
func denial(out review.Outcome, decision string) string {
	return denialTo(out, "decision "+decision)
}

// denialTo is denial with another end.
func denialTo(out review.Outcome, tail string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s must not be written like this:\n", out.Ref)
	given := map[string]bool{}
	for _, f := range out.Findings {
		if f.Severity != rules.Deny {
			continue
		}
		what, why := f.Split()
		if f.Path != "" {
			what = f.Path + ": " + what
		}
		fmt.Fprintf(&b, "- %s [%s]\n", what, f.Rule)
		for i, line := range rules.Wrap(why, rules.Columns-len(whyIndent)) {
			if i == 0 {
				fmt.Fprintf(&b, "  why: %s\n", line)
				continue
			}
			fmt.Fprintf(&b, "%s%s\n", whyIndent, line)
		}
		fix := rules.WrapComments(strings.TrimSpace(f.Fix), rules.Columns-len(yamlIndent))
		switch {
		case fix == "":
		case b.Len()+len(fix)+4*strings.Count(fix, "\n") > maxDenial-len(tail)-64 && !given[fix]:
			// Half of it would be no fix.
			b.WriteString("  fix: too long for here; \"sallyport review\" prints it\n")
			continue
		case given[fix]:
			b.WriteString("  fix: the one above\n")
		case strings.Contains(fix, "\n"):
			fmt.Fprintf(&b, "  fix: |\n%s%s\n", yamlIndent, strings.ReplaceAll(fix, "\n", "\n"+yamlIndent))
		default:
			for i, line := range rules.Wrap(fix, rules.Columns-len(whyIndent)) {
				if i == 0 {
					fmt.Fprintf(&b, "  fix: %s\n", line)
					continue
				}
				fmt.Fprintf(&b, "%s%s\n", whyIndent, line)
			}
		}
		given[fix] = true
	}
	return truncate(b.String(), maxDenial-len(tail)) + tail
}

// causes are the findings that deny, for programs: as many as there is room
// for, and how many there are beside.
func causes(findings []rules.Finding) []metav1.StatusCause {
	var out []metav1.StatusCause
	left, room := 0, maxCauses
	for _, f := range findings {
		if f.Severity != rules.Deny {
			continue
		}
		if room -= len(f.Rule) + len(f.Path) + len(f.Message); room < 0 {
			left++
			continue
		}
		out = append(out, metav1.StatusCause{Type: metav1.CauseType(f.Rule), Field: f.Path, Message: f.Message})
	}
	if left > 0 {
		out = append(out, metav1.StatusCause{Type: "more", Message: fmt.Sprintf("%d more findings that deny", left)})
	}
	return out
}

// located is a finding's message with its place.
func located(f rules.Finding) string {
	if f.Path == "" {
		return f.Message
	}
	return f.Path + ": " + f.Message
}

// warningsOf renders the findings that do not deny, which are sorted by
// weight already. What is for information only is for those who ask.
func warningsOf(findings []rules.Finding, dryRun bool) []string {
	var warnings []string
	for _, f := range findings {
		if f.Severity == rules.Warn || f.Severity == rules.Info && dryRun {
			warnings = append(warnings, warning(f))
		}
	}
	return warnings
}

// What is read of a warning: its cause and its remedy stand in the first 200 bytes,
// for some clients show no more.
const (
	maxRead   = 200
	maxRemedy = 80
)

// warning is a finding in one line, which may be cut at its end: what is wrong and
// where, what to do, and then why. What is wrong is cut short to leave room for what
// to do about it.
func warning(f rules.Finding) string {
	rule := "[" + f.Rule + "] "
	fix := remedy(f.Fix)
	if fix == "" {
		return rule + located(f)
	}
	what, why := f.Split()
	if f.Path != "" {
		what = f.Path + ": " + what
	}
	fix = "; fix: " + fix
	line := truncate(strings.Join(strings.Fields(rule+what), " "), maxRead-len(fix)) + fix
	if why != "" {
		line += ". Why: " + why
	}
	return line
}

// remedy is a fix in a few words: its first sentence, or the kinds of the objects
// that it writes.
func remedy(fix string) string {
	var kinds []string
	for line := range strings.Lines(fix) {
		if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "kind: "); ok && !strings.HasPrefix(line, " ") {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) > 0 {
		return truncate(strings.Join(kinds, ", ")+" (sallyport review prints it)", maxRemedy)
	}
	words := strings.Fields(strings.ReplaceAll(fix, "#", " "))
	text := strings.Join(words, " ")
	if first, _, ok := strings.Cut(text, ". "); ok {
		text = first
	}
	return truncate(strings.TrimSuffix(text, "."), maxRemedy)
}

// plan says what Sallyport would write because of the object.
func plan(out review.Outcome, m *mesh.Mesh) []string {
	var lines []string
	for _, o := range out.Companions {
		ref := o.Metadata().Ref
		if m.Get(ref) == nil {
			lines = append(lines, fmt.Sprintf("would create %s %s/%s", ref.Kind, ref.Namespace, ref.Name))
		}
	}
	return lines
}

// fit keeps warnings within the limits, in their order, and says how many
// were left out.
func fit(warnings []string) []string {
	const room = maxWarning // for the line that says what is missing
	var out []string
	total := 0
	for i, w := range warnings {
		w = truncate(strings.Join(strings.Fields(w), " "), maxWarning)
		if total += len(w); total > maxWarnings-room {
			return append(out, fmt.Sprintf("%d more warnings; sallyport review FILE shows them all", len(warnings)-i))
		}
		out = append(out, w)
	}
	return out
}

// truncate shortens s to at most n bytes, with a mark where it was cut.
func truncate(s string, n int) string { return mesh.Cut(s, n) }
