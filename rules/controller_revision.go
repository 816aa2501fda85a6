package rules

import (
	"encoding/json"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/internal/told"
)

var controllerRevision = &Rule{
	Name: "controller-revision",
	Doc: `a ControllerRevision is a pod template and nothing else

A StatefulSet's pods are made from its ControllerRevisions, by a controller that
is not asked about them. A revision is a patch on the whole set: besides the
template, which is judged like any other, it can change the name and the namespace
of the pods, and what it leaves out is the set's own. Kubernetes writes a template
there that takes the place of the set's, and nothing else. Anything else is denied,
and so is a field whose name is written in another case, which the controller reads
and rules do not; but to the cluster's own machinery; a controller with revisions of another form that
runs outside the mesh is warned.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Leave the revision to Kubernetes: change the StatefulSet or DaemonSet, and the controller writes it.",
	Kinds:    []string{"ControllerRevision"},
	Check: On(func(p *Pass, w *mesh.Workload) {
		beyond := w.Beyond
		if beyond == "" && !wellSpelt(p.Raw) {
			beyond = "data.spec.template has a field whose name is written in another case"
		}
		if beyond == "" {
			return
		}
		if severity, report := p.byMachinery(); report {
			p.Report(Finding{
				Severity: severity,
				Path:     "data",
				Told:     told.F("more or less than a pod template: %s", told.Plain(beyond)),
			})
		}
	}),
}

// wellSpelt reports whether the template in a revision says the same to who minds
// the case of names, as rules do, and who does not, as the controller.
func wellSpelt(revision []byte) bool {
	template := rawjson.Member(rawjson.Member(rawjson.Member(revision, "data"), "spec"), "template")
	if template == nil {
		return true
	}
	var exact, loose corev1.PodTemplateSpec
	return kjson.UnmarshalCaseSensitivePreserveInts(template, &exact) == nil && json.Unmarshal(template, &loose) == nil &&
		reflect.DeepEqual(exact, loose)
}
