package report

import "github.com/sallyport-io/sallyport/rules"

// LegacyForm and UnknownKind describe the two findings that come from reading
// files and not from judging objects. They have no Check.
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
)

// unjudged reports whether all there is to say about an object is that it was
// not judged.
func (o Object) unjudged() bool {
	return len(o.Findings) == 1 && o.Findings[0].Rule == UnknownKind.Name
}
