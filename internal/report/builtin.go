package report

import "github.com/sallyport-io/sallyport/rules"

// LegacyForm, UnknownKind and AbsentNamespace describe the findings that come
// from reading files and not from judging objects. They have no Check.
var (
	LegacyForm = &rules.Rule{
		Name: "legacy-form",
		Doc: `a field or value is written in the form of 2018

Istio's own reader accepts snake_case field names and numbers for enums, an
API server does not: it refuses the object or drops the field. The file is
judged as if it were written in today's form.`,
		Severity: rules.Warn,
	}
	UnknownKind = &rules.Rule{
		Name: "unknown-kind",
		Doc: `the kind does not bear on egress, so nothing was judged

Objects of kinds that the model does not hold are passed through. They are
listed so that nobody takes silence for approval.`,
		Severity: rules.Info,
	}
	AbsentNamespace = &rules.Rule{
		Name: "absent-namespace",
		Doc: `the Namespace is not among the objects, so the pods were not judged

Whether pods are part of the mesh, and have something to leave, only the labels
of their Namespace say. Give it with the manifests or by --state.`,
		Severity: rules.Info,
	}
)

// Builtin are the findings that come from reading.
var Builtin = []*rules.Rule{LegacyForm, UnknownKind, AbsentNamespace}

// unjudged returns the rule by which an object was not judged, where that is
// all there is to say about it.
func (o Object) unjudged() string {
	if len(o.Findings) == 1 && (o.Findings[0].Rule == UnknownKind.Name || o.Findings[0].Rule == AbsentNamespace.Name) {
		return o.Findings[0].Rule
	}
	return ""
}
