package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/internal/surface"
	"github.com/sallyport-io/sallyport/rules"
)

// findings are what is to be said about one object: what the rules found, and
// what was noticed when it was read.
func (j *judged) findings(i int) []report.Finding {
	o, outcome := j.objects[i], j.batch.Outcomes[i]
	var fs []report.Finding
	lineOf := o.Lines()
	for _, f := range outcome.Findings {
		fs = append(fs, report.Finding{Finding: f, Line: lineOf(f.Path)})
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
			Finding: unread(o),
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

// elsewhere are kinds that lead to objects which are kept in other places.
var elsewhere = map[string][]string{
	"addons.cluster.x-k8s.io":         {"ClusterResourceSet", "HelmChartProxy"},
	"apps.open-cluster-management.io": {"Channel", "Subscription"},
	"argoproj.io":                     {"AppProject", "Application", "ApplicationSet"},
	"fleet.cattle.io":                 {"Bundle", "GitRepo", "HelmOp"},
	"helm.cattle.io":                  {"HelmChart", "HelmChartConfig"},
	"helm.toolkit.fluxcd.io":          {"HelmRelease"},
	"kustomize.config.k8s.io":         {"Component", "Kustomization"},
	"kustomize.toolkit.fluxcd.io":     {"Kustomization"},
}

// unread is what is said of an object that nothing judges.
func unread(o *manifest.Object) rules.Finding {
	group, _, ok := strings.Cut(o.APIVersion, "/")
	if !ok {
		group = ""
	}
	harmless := surface.Harmless(group, o.Kind)
	switch {
	case len(o.Holds) > 0:
		f := unjudged(report.Wrapper, "%s %s holds %s, which nobody judged", o.APIVersion, o.Kind, mesh.Few(o.Holds, len(o.Holds)))
		f.Fix = "Give --unwrap to have them judged as well.\n"
		return f
	case slices.Contains(elsewhere[group], o.Kind):
		f := unjudged(report.Wrapper, "%s %s stands for objects that are not among these: they were not judged", o.APIVersion, o.Kind)
		f.Severity = rules.Info
		return f
	case harmless != "":
		return unjudged(report.HarmlessKind, "%s %s does not bear on egress: it was not judged", o.APIVersion, o.Kind)
	default:
		return unjudged(report.UnknownKind, "%s %s is a kind that Sallyport does not read: it was not judged", o.APIVersion, o.Kind)
	}
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
