package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/rules"
)

// findings are what is to be said about one object: what the rules found, and
// what was noticed when it was read.
func (j *judged) findings(i int) []report.Finding {
	o, outcome := j.objects[i], j.batch.Outcomes[i]
	var fs []report.Finding
	for _, f := range outcome.Findings {
		fs = append(fs, report.Finding{Finding: f, Line: o.LineOf(f.Path)})
	}
	for _, n := range o.Notes {
		fs = append(fs, report.Finding{
			Finding: rules.Finding{
				Rule:     report.LegacyForm.Name,
				Severity: report.LegacyForm.Severity,
				Path:     n.Path,
				Message:  n.Message,
				Fix:      n.Fix,
			},
			Line: cmp.Or(n.Line, o.Line),
		})
	}
	if !outcome.Known {
		fs = append(fs, report.Finding{
			Finding: unjudged(report.UnknownKind, "%s %s does not bear on egress: it was not judged", o.APIVersion, o.Kind),
			Line:    o.Line,
		})
	}
	if j.homeless(i) {
		fs = append(fs, report.Finding{
			Finding: unjudged(report.AbsentNamespace, "no Namespace %s is among the objects: its pods were not judged", o.Namespace),
			Line:    o.Line,
		})
	}
	return fs
}

func unjudged(rule *rules.Rule, format string, args ...any) rules.Finding {
	return rules.Finding{Rule: rule.Name, Severity: rule.Severity, Message: fmt.Sprintf(format, args...)}
}

// homeless reports whether an object is, or makes, pods of a tenant whose
// Namespace nobody gave.
func (j *judged) homeless(i int) bool {
	m, ref := j.batch.Mesh, j.batch.Outcomes[i].Ref
	_, pods := m.Get(ref).(*mesh.Workload)
	return pods && m.Namespace(ref.Namespace) == nil && !m.Settings().Platform(ref.Namespace)
}

// absent are the namespaces of pods whose Namespace nobody gave; sorted.
func (j *judged) absent() []string {
	var names []string
	for i, o := range j.objects {
		if j.homeless(i) {
			names = append(names, o.Namespace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
