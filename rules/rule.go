// Package rules holds the judgements that Sallyport makes in Go. A rule is a
// value; the webhook, the command line and the generated reference each take
// the slice [All] and know nothing else about rules.
//
// To add a rule: one file rule_name.go with an unexported variable, its line
// in [All], and testdata/rule-name.txtar with a bad and a good object; then
// run "make generate".
package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Severity says what a finding does to a write.
type Severity string

// The severities.
const (
	Deny Severity = "deny"
	Warn Severity = "warn"
	Info Severity = "info"
)

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
	// Rows are the rows of the bypass matrix (S-1, V-3, B-G1 ...) that the
	// rule decides.
	Rows []string
	// Kinds are the kinds of object the rule judges.
	Kinds []string
	// Check reports what is wrong with the subject, through the Pass. An error means that the
	// rule could not judge, never that the object is bad.
	Check func(context.Context, *Pass) error
}

// Finding is a rule's statement about one object.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Path     string   `json:"path"` // JSON path in the object, "spec.http[0].route[1].destination.host"
	Message  string   `json:"message"`
	Fix      string   `json:"fix"` // YAML to apply or a sentence; may be empty
}

// Pass is one write under judgement: the subject and the world around it.
type Pass struct {
	Request Request
	// Subject is the object as it would stand after the write; for a DELETE
	// it is the object that goes.
	Subject mesh.Object
	// Old is the object before an UPDATE, nil otherwise.
	Old mesh.Object
	// Raw and OldRaw are the JSON of Subject and Old.
	Raw, OldRaw []byte
	// Before and After are the mesh without and with the write, both with
	// held entries open and with the companions that Sallyport would keep.
	Before, After *mesh.Mesh
	// Companions are the objects that Sallyport would keep for the subject's hosts.
	Companions []mesh.Object
	// Paths are the paths, in After, of every egress point that the write can
	// change, for every client that can differ; sorted.
	Paths []mesh.Path
	// PathsBefore are the same egress points and clients in Before.
	PathsBefore []mesh.Path
	// Memo is shared by all rules that judge the write; who builds the Pass sets it to new(Memo).
	Memo *Memo

	report func(Finding)
	rule   *Rule
}

// Request says who writes and how.
type Request struct {
	Operation string // CREATE, UPDATE or DELETE
	DryRun    bool
	User      string
	Groups    []string
	// Time is the time of the request, RFC 3339: rules have no clock.
	Time string
}

// Report records a finding. Rule and Severity are filled in where empty.
func (p *Pass) Report(f Finding) {
	if f.Rule == "" {
		f.Rule = p.rule.Name
	}
	if f.Severity == "" {
		f.Severity = p.rule.Severity
	}
	p.report(f)
}
