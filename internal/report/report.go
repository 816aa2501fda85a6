// Package report writes down what a review found, for people and for the
// machines around them: text, JSON, YAML, SARIF, JUnit and GitHub's workflow
// commands. All of them say the same; the JSON form is a stable interface and
// docs/review.schema.json describes it.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/rules"
)

// APIVersion and Kind of the review document.
const (
	APIVersion = "sallyport.io/v1alpha1"
	Kind       = "Review"
)

// Verdict on one object.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow"
	Warn  Verdict = "warn"
	Deny  Verdict = "deny"
)

// Review is the document.
type Review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Objects    []Object `json:"objects"`
	// Paths are those of every egress point for every namespace that the
	// input names and, as "*", for every other, with the companions in place.
	Paths []mesh.Path `json:"paths"`
	// Companions are the whole objects that Sallyport would keep.
	Companions []json.RawMessage `json:"companions"`
	Summary    Summary           `json:"summary"`
}

// Object is one object of the input and what is to be said about it.
type Object struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Namespace  string    `json:"namespace"`
	Name       string    `json:"name"`
	File       string    `json:"file"`
	Line       int       `json:"line"`
	Verdict    Verdict   `json:"verdict"`
	Findings   []Finding `json:"findings"`
}

// Finding is a rule's finding with the line of its path.
type Finding struct {
	rules.Finding
	Line int `json:"-"`
	// SameAs is the object, "Kind namespace/name", of whose finding this one has the
	// cause: what ends that ends this. Empty in that one itself.
	SameAs string `json:"sameAs,omitempty"`
	// Also are the places of the findings whose SameAs says this one.
	Also []Place `json:"-"`
}

// Summary counts.
type Summary struct {
	Objects int `json:"objects"`
	Denied  int `json:"denied"`
	Warned  int `json:"warned"`
}

// New makes a review of its parts. Each object's verdict and the summary
// follow from the findings, which are put in order: the worst first. Findings of
// severity audit are of severity info here, and those of several objects that have
// one cause say so.
func New(objects []Object, paths []mesh.Path, companions []json.RawMessage) *Review {
	r := &Review{
		APIVersion: APIVersion,
		Kind:       Kind,
		Objects:    slices.Clone(objects),
		Paths:      slices.Clone(paths),
		Companions: slices.Clone(companions),
	}
	for i := range r.Objects {
		o := &r.Objects[i]
		o.Findings = slices.SortedStableFunc(slices.Values(o.Findings), func(a, b Finding) int {
			return rank(b.Severity) - rank(a.Severity)
		})
		// The document has three severities. What admission would only record
		// is information to whoever asks for a review.
		for j := range o.Findings {
			if f := &o.Findings[j]; f.Severity == rules.Audit {
				f.Severity = rules.Info
			}
		}
		o.Verdict = verdict(o.Findings)
		r.Summary.Objects++
		switch o.Verdict {
		case Deny:
			r.Summary.Denied++
		case Warn:
			r.Summary.Warned++
		case Allow:
		}
		notNull(&o.Findings)
	}
	oneCause(r.Objects)
	for i := range r.Paths {
		notNull(&r.Paths[i].Because)
	}
	notNull(&r.Objects)
	notNull(&r.Paths)
	notNull(&r.Companions)
	return r
}

// notNull makes an absent list an empty one: a reader of JSON may then iterate
// without asking.
func notNull[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

func rank(s rules.Severity) int {
	switch s {
	case rules.Deny:
		return 2
	case rules.Warn:
		return 1
	default:
		return 0
	}
}

// verdict is that of the worst finding; what is merely worth knowing leaves
// an object allowed.
func verdict(findings []Finding) Verdict {
	worst := 0
	for _, f := range findings {
		worst = max(worst, rank(f.Severity))
	}
	return [...]Verdict{Allow, Warn, Deny}[worst]
}

// Format is a form of output.
type Format string

// The formats.
const (
	Text   Format = "text"
	JSON   Format = "json"
	YAML   Format = "yaml"
	SARIF  Format = "sarif"
	JUnit  Format = "junit"
	GitHub Format = "github"
)

// Formats are all formats, the default first.
var Formats = []Format{Text, JSON, YAML, SARIF, JUnit, GitHub}

// Writer writes reviews.
type Writer struct {
	Format Format
	// Color is for text on a terminal.
	Color bool
	// Rules are described in the formats that carry descriptions.
	Rules []*rules.Rule
	// Version of the program, for the formats that name it.
	Version string
}

// Write writes one review.
func (wr Writer) Write(w io.Writer, r *Review) error {
	if p, ok := w.(*printable.Writer); ok {
		switch {
		case wr.Format == Text && wr.Color:
			p.Colored()
		case wr.Format == GitHub:
			p.Commands()
		}
	}
	switch wr.Format {
	case Text:
		return writeText(w, r, wr.Color)
	case JSON:
		return writeReviewJSON(w, r)
	case YAML:
		return writeReviewYAML(w, r)
	case SARIF:
		return wr.writeSARIF(w, r)
	case JUnit:
		return writeJUnit(w, r)
	case GitHub:
		return writeGitHub(w, r)
	}
	return fmt.Errorf("no format %q; choose one of %v", wr.Format, Formats)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
