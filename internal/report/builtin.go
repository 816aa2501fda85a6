package report

import "github.com/sallyport-io/sallyport/rules"

// LegacyForm, HarmlessKind, UnknownKind, Wrapper and AbsentNamespace describe the
// findings that come from reading files and not from judging objects. They have no
// Check.
var (
	LegacyForm = &rules.Rule{
		Name: "legacy-form",
		Doc: `a field or value is written in the form of 2018

Istio's own reader accepts snake_case field names and numbers for enums, an
API server does not: it refuses the object or drops the field. The file is
judged as if it were written in today's form.`,
		Severity: rules.Warn,
	}
	HarmlessKind = &rules.Rule{
		Name: "harmless-kind",
		Doc: `the kind does not bear on egress, so nothing was judged

Somebody has looked at the kind: docs/kinds.md says of each why no object of it
opens a way out.`,
		Severity: rules.Info,
	}
	UnknownKind = &rules.Rule{
		Name: "unknown-kind",
		Doc: `nobody has read the kind, so nothing is known of it

Objects of kinds that Sallyport does not know are passed through. They are
listed so that nobody takes silence for approval: a controller may make of one
whatever it likes, and what it makes is judged when it writes that.`,
		Severity: rules.Info,
	}
	Wrapper = &rules.Rule{
		Name: "wrapper",
		Doc: `the object stands for others, which were not judged

Some kinds hold objects that a controller makes of them: OpenShift's Template,
ManifestWork. Such objects are judged with the flag --unwrap, as if they were
given by themselves; without it they are named. Others lead to where the objects
are: Argo CD's ApplicationSet, Flux's HelmRelease. Review what they render to.`,
		Severity: rules.Warn,
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
var Builtin = []*rules.Rule{LegacyForm, HarmlessKind, UnknownKind, Wrapper, AbsentNamespace}

// unjudged returns the rule by which an object was not judged, where that is
// all there is to say about it.
func (o Object) unjudged() string {
	if len(o.Findings) != 1 {
		return ""
	}
	f := o.Findings[0]
	switch f.Rule {
	case HarmlessKind.Name, UnknownKind.Name, AbsentNamespace.Name:
		return f.Rule
	case Wrapper.Name:
		if f.Severity == rules.Info {
			return f.Rule
		}
	}
	return ""
}
