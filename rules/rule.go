// Package rules holds the judgements that Sallyport makes in Go. A rule is a
// value; the webhook, the command line and the generated reference each take
// the slice [All] and know nothing else about rules.
//
// To add a rule: one file rule_name.go with an unexported variable, its line
// in [All], and testdata/rule-name.txtar with a bad and a good object; then
// run "make generate-rules".
package rules

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Severity says what a finding does to a write.
type Severity string

// The severities.
const (
	Deny Severity = "deny"
	Warn Severity = "warn"
	Info Severity = "info" // advice: those who ask for a dry run are told
	// Audit is for the record alone: whoever writes is not told.
	Audit Severity = "audit"
)

// rank orders severities from grave to light.
func (s Severity) rank() int { return slices.Index([]Severity{Deny, Warn, Info, Audit}, s) }

// AtMost returns s, or limit where s is graver than that.
func (s Severity) AtMost(limit Severity) Severity {
	if s.rank() < limit.rank() {
		return limit
	}
	return s
}

// Audience is whose objects a rule judges.
type Audience string

// The audiences.
const (
	Everybody Audience = ""
	// Tenants are those whose namespaces are not the platform's. The platform owns
	// the gateways, and may do with them as it likes.
	Tenants Audience = "tenants"
)

// everyOperation is for rules that look at what an object's absence opens as well.
var everyOperation = []string{"CREATE", "UPDATE", "DELETE"}

// Rule is one judgement. It is a constant value.
type Rule struct {
	// Name is kebab-case, unique and permanent: it appears in messages,
	// metrics, documentation and file names.
	Name string
	// Doc explains the rule. The part before the first blank line is its
	// title: at most 60 letters, no capital at the start, no full stop.
	Doc string
	// Severity of the rule's findings, unless a finding says otherwise.
	Severity Severity
	// Remedy is what mends a denial that has no fix of its own: a sentence.
	Remedy string
	// Rows are the rows of the bypass matrix (S-1, V-3, B-G1 ...) that the
	// rule decides.
	Rows []string
	// Kinds are the kinds of object the rule judges; none means every kind.
	Kinds []string
	// Operations are those that the rule judges (CREATE, UPDATE, DELETE); none means
	// CREATE and UPDATE: what goes cannot do harm, except by its absence.
	Operations []string
	// For is whose objects the rule judges.
	For Audience
	// Always has the rule judge, and deny, whatever mode the namespace asks for:
	// what it guards is not the namespace's own.
	Always bool
	// Check reports what is wrong with the subject, through the Pass. An error means that the
	// rule could not judge, never that the object is bad.
	Check func(context.Context, *Pass) error
}

// Judges reports whether the rule has a say about objects of that kind.
func (r *Rule) Judges(kind string) bool {
	return len(r.Kinds) == 0 || slices.Contains(r.Kinds, kind)
}

// operations are those that the rule judges.
func (r *Rule) operations() []string {
	if len(r.Operations) == 0 {
		return everyOperation[:2]
	}
	return r.Operations
}

// JudgesOn reports whether the rule has a say about such an operation.
func (r *Rule) JudgesOn(operation string) bool { return slices.Contains(r.operations(), operation) }

// applies reports whether the rule judges the write of a subject: its kind, the
// operation, and whose object it is.
func (r *Rule) applies(p *Pass) bool {
	return r.Judges(p.Subject.Metadata().Kind) && r.JudgesOn(p.Request.Operation) && (r.For != Tenants || !p.Platform())
}

// Title is the first paragraph of the rule's Doc.
func (r *Rule) Title() string {
	title, _, _ := strings.Cut(r.Doc, "\n\n")
	return title
}

// Finding is a rule's statement about one object.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Path     string   `json:"path"` // JSON path in the object, "spec.http[0].route[1].destination.host"
	Message  string   `json:"message"`
	Fix      string   `json:"fix"` // YAML to apply or to merge, or a sentence; see [Fixed]; may be empty
	// About is what was found, where the message is the same for anything: a
	// finding about something else is another one, and no old sin excuses it.
	About string `json:"-"`
	// Host is the canonical host to which the finding says that there is a way past
	// the gateway; empty in one about something else.
	Host string `json:"-"`
	Port int    `json:"-"` // of the host; 0 for any
	// Decided is the object that decides the way, where it is known.
	Decided mesh.Ref `json:"-"`
	// Rest is set where the finding stands for others that are not listed.
	Rest Rest `json:"-"`
	// Told and ToldFix are what is said with its names marked: of a name that is
	// none of a writer's business he is told that there is one. A rule sets these,
	// and Report makes Message and Fix of them. Where there is a Message alone, a
	// writer is told the title of the rule.
	Told    told.Text `json:"-"`
	ToldFix told.Text `json:"-"`
	// Words are what is said in the place of a ToldFix that is YAML, where that turns
	// out not to do: every finding with YAML that [Pass.Mends] has not tried has some.
	Words told.Text `json:"-"`
}

// On adapts a check of one kind of object: the subject arrives with its type.
// A subject of another type is passed over, so that a rule may list several
// kinds by calling several adapters.
func On[T mesh.Object](check func(*Pass, T)) func(context.Context, *Pass) error {
	return func(_ context.Context, p *Pass) error {
		if subject, ok := p.Subject.(T); ok {
			check(p, subject)
		}
		return nil
	}
}

// Each runs several checks one after the other.
func Each(checks ...func(context.Context, *Pass) error) func(context.Context, *Pass) error {
	return func(ctx context.Context, p *Pass) error {
		for _, check := range checks {
			if err := check(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
}

// Run lets every rule that judges the write of such a subject judge it, and returns
// their findings sorted; of very many the gravest, and how many more there are.
// An error, a panic of a rule included, means "could not judge": no finding is
// returned with it, for half a judgement would look like an acquittal.
func Run(ctx context.Context, all []*Rule, p Pass) ([]Finding, error) {
	if !slices.Contains(everyOperation, p.Request.Operation) {
		return nil, fmt.Errorf("the operation is %q: rules judge %s", p.Request.Operation, strings.Join(everyOperation, ", "))
	}
	found := collector{mesh: p.After, excused: p.Excused}
	report := found.add
	var pass Pass
	for _, r := range all {
		if !r.applies(&p) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, &Failure{r.Name, p.Subject.Metadata().Ref, err}
		}
		pass = p // a rule cannot change what the next one sees
		pass.rule, pass.report = r, report
		if err := run(ctx, &pass); err != nil {
			return nil, &Failure{r.Name, p.Subject.Metadata().Ref, err}
		}
	}
	return found.findings(), nil
}

// Failure says which rule could not judge which object.
type Failure struct {
	Rule    string
	Subject mesh.Ref
	Err     error
}

// Error implements error.
func (f *Failure) Error() string { return fmt.Sprintf("rule %s on %s: %v", f.Rule, f.Subject, f.Err) }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

func run(ctx context.Context, p *Pass) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if ended, ok := budget.Ended(v); ok {
				err = ended
				return
			}
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return p.rule.Check(ctx, p)
}

// Sort orders findings: the gravest first, then by rule, path and message.
func Sort(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Severity.rank(), b.Severity.rank()),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Message, b.Message),
		)
	})
}
