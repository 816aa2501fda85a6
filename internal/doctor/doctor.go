// Package doctor examines a cluster: is what Sallyport relies on really so? A
// [Check] looks at [Facts] that were gathered before and says pass, fail or
// cannot tell, with the object, the field and the remedy.
//
// The package is pure: it knows no client and no clock. Package gather fills
// the Facts from an API server; the command line fills them from files too.
//
// To add a check: an unexported variable in the file of its subject, its line
// in [All], and cases in testdata; then run "go test ./internal/doctor -update".
package doctor

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Status is what a check says.
type Status string

// The statuses, from good to bad.
const (
	Pass    Status = "pass"
	Unknown Status = "unknown" // the facts are not enough: it is never taken for a pass
	Fail    Status = "fail"
)

func (s Status) rank() int { return slices.Index([]Status{Pass, Unknown, Fail}, s) }

// Check is one question about a cluster. It is a constant value.
type Check struct {
	// Name is kebab-case, unique and permanent.
	Name string
	// Group is the part of the installation that is asked about.
	Group string
	// Doc explains the check. The part before the first blank line is its
	// title, which says what is so when the check passes; the rest is why.
	Doc string
	// Sources are the pages that ask for it.
	Sources []string
	// Steps are the steps of the task page's section Troubleshooting that the
	// check takes; see [Troubleshooting].
	Steps []int
	// Check looks at the facts and reports through the Exam, at least once.
	Check func(*Exam)
}

// Title is the first paragraph of the check's Doc.
func (c *Check) Title() string {
	title, _, _ := strings.Cut(c.Doc, "\n\n")
	return title
}

// Result is one statement of a check.
type Result struct {
	Status Status `json:"status"`
	// Object is what the statement is about. Its fields are empty where it is
	// about no object, or about one that is not there.
	Object mesh.Ref `json:"object"`
	// Path is a JSON path in the object.
	Path    string `json:"path"`
	Message string `json:"message"`
	// Remedy is what to do: a command or a sentence. It is never empty where
	// the status is not pass.
	Remedy string `json:"remedy"`
}

// Outcome is what one check says.
type Outcome struct {
	Check  *Check `json:"-"`
	Name   string `json:"name"`
	Group  string `json:"group"`
	Title  string `json:"title"`
	Status Status `json:"status"` // the worst of the results
	// Results are sorted, the worst first.
	Results []Result `json:"results"`
}

// Run makes every check and returns the outcomes in the order of the checks.
func Run(checks []*Check, f *Facts) []Outcome {
	outcomes := make([]Outcome, len(checks))
	for i, c := range checks {
		outcomes[i] = run(c, f)
	}
	return outcomes
}

func run(c *Check, f *Facts) Outcome {
	e := &Exam{Facts: f}
	e.examine(c)
	slices.SortStableFunc(e.results, func(a, b Result) int {
		return cmp.Or(
			cmp.Compare(b.Status.rank(), a.Status.rank()),
			cmp.Compare(a.Object.Kind, b.Object.Kind),
			cmp.Compare(a.Object.Namespace, b.Object.Namespace),
			cmp.Compare(a.Object.Name, b.Object.Name),
			cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Message, b.Message),
		)
	})
	e.results = slices.Compact(e.results)
	return Outcome{Check: c, Name: c.Name, Group: c.Group, Title: c.Title(), Status: e.results[0].Status, Results: e.results}
}

// Exam is one check at work.
type Exam struct {
	*Facts
	results []Result
}

// examine makes the check. A check that breaks down, or has nothing to say,
// cannot tell.
func (e *Exam) examine(c *Check) {
	defer func() {
		if v := recover(); v != nil {
			e.results = []Result{{Status: Unknown, Message: fmt.Sprintf("the check broke down: %v", v), Remedy: "Report this:\n" + string(debug.Stack())}}
		}
	}()
	c.Check(e)
	if len(e.results) == 0 {
		e.unknown(mesh.Ref{}, "", "Report this: a check must say something.", "the check said nothing")
	}
}

func (e *Exam) report(s Status, o mesh.Ref, path, remedy, format string, args []any) {
	e.results = append(e.results, Result{Status: s, Object: o, Path: path, Remedy: remedy, Message: fmt.Sprintf(format, args...)})
}

func (e *Exam) pass(o mesh.Ref, path, format string, args ...any) {
	e.report(Pass, o, path, "", format, args)
}

func (e *Exam) fail(o mesh.Ref, path, remedy, format string, args ...any) {
	e.report(Fail, o, path, remedy, format, args)
}

func (e *Exam) unknown(o mesh.Ref, path, remedy, format string, args ...any) {
	e.report(Unknown, o, path, remedy, format, args)
}

// passed reports a pass where nothing else has been reported since mark.
func (e *Exam) passed(mark int, o mesh.Ref, path, format string, args ...any) {
	if len(e.results) == mark {
		e.pass(o, path, format, args...)
	}
}

// mark is for [Exam.passed].
func (e *Exam) mark() int { return len(e.results) }

// need reports whether everything asked for is known, and says what is not.
func (e *Exam) need(queries ...Query) bool {
	ok := true
	for _, q := range queries {
		why, missing := e.missing[q]
		if !missing {
			continue
		}
		ok = false
		e.unknown(mesh.Ref{}, "", q.remedy(e.files), "%s cannot be read: %s", q, why)
	}
	return ok
}

// kinds are queries for every object of kinds.
func kinds(names ...string) []Query {
	qs := make([]Query, len(names))
	for i, n := range names {
		qs[i] = Query{Kind: n}
	}
	return qs
}
