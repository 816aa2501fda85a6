package rules

import "github.com/sallyport-io/sallyport/internal/mesh"

// workloadKinds are the kinds that are pods, have a template of one, or put
// labels and annotations on one.
var workloadKinds = []string{
	"Binding", "ControllerRevision", "CronJob", "DaemonSet", "Deployment", "Job", "Pod", "PodTemplate",
	"ReplicaSet", "ReplicationController", "StatefulSet",
}

// onWorkload adapts a check of pods and templates. It passes over namespaces that
// are neither in the mesh nor confined: there is nothing for their pods to leave.
func onWorkload(check func(p *Pass, w *mesh.Workload, base string)) func(p *Pass, w *mesh.Workload) {
	return func(p *Pass, w *mesh.Workload) {
		if meshNamespace(p.After, w.Namespace) {
			check(p, w, podPath(w.Kind))
		}
	}
}

// podPath is the JSON path of the pod in an object of that kind, with a dot at
// the end where it is not the object itself.
func podPath(kind string) string {
	switch kind {
	case "Pod", "Binding":
		return ""
	case "PodTemplate":
		return "template."
	case "ControllerRevision":
		return "data.spec.template."
	case "CronJob":
		return "spec.jobTemplate.spec.template."
	default:
		return "spec.template."
	}
}
