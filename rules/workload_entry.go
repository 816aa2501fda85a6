package rules

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var workloadEntry = &Rule{
	Name: "workload-entry",
	Doc: `a Service of the mesh has no endpoint outside it

A plain Kubernetes Service takes WorkloadEntries for endpoints where its selector
matches their labels; no ServiceEntry is needed, and any address will do. A
tenant's Service and WorkloadEntry that meet in an address outside the mesh are
denied, whichever comes last. Behind a ServiceEntry the address makes an egress
point, which direct-path judges; a WorkloadEntry that nothing selects is warned
about.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"W-1", "S-9"},
	Kinds:    []string{"Service", "WorkloadEntry"},
	Check: Each(
		On(func(p *Pass, we *mesh.WorkloadEntry) {
			if !p.After.WorkloadOutside(we) {
				return
			}
			labels := we.SelectorLabels()
			for o := range p.After.In("Service", we.Namespace) {
				if svc := o.(*mesh.Service); len(svc.Selector) > 0 && mesh.HasLabels(svc.Selector, labels) {
					p.Report(Finding{
						Path: "spec.address", Told: told.F("address %s outside the mesh becomes an endpoint of %s", we.Address, svc.Ref),
						ToldFix: unselected(p, we, svc), Words: leaveOut,
					})
					return
				}
			}
			for o := range p.After.In("ServiceEntry", we.Namespace) {
				if se := o.(*mesh.ServiceEntry); se.WorkloadLabels != nil && mesh.HasLabels(se.WorkloadLabels.Labels, labels) {
					return
				}
			}
			p.Report(Finding{Path: "spec.address", Severity: Warn, Told: told.F("address %s lies outside the mesh", we.Address)})
		}),
		On(func(p *Pass, svc *mesh.Service) {
			if len(svc.Selector) == 0 {
				return
			}
			for o := range p.After.In("WorkloadEntry", svc.Namespace) {
				if we := o.(*mesh.WorkloadEntry); p.After.WorkloadOutside(we) && mesh.HasLabels(svc.Selector, we.SelectorLabels()) {
					p.Report(Finding{
						Path: "spec.selector", Told: told.F("selects %s, whose address %s lies outside the mesh", we.Ref, we.Tell().As(we.Address)),
						ToldFix: unselected(p, we, svc), Words: leaveOut,
					})
					return
				}
			}
		}),
	),
}

const leaveOut told.Text = "Register the external host with a ServiceEntry, and leave the address out of the Service.\n"

// unselected is the WorkloadEntry without the labels by which the Service selects it.
func unselected(p *Pass, we *mesh.WorkloadEntry, svc *mesh.Service) told.Text {
	return p.changed(we.Ref, leaveOut, func(o map[string]any) bool {
		meta, _ := o["metadata"].(map[string]any)
		spec, _ := o["spec"].(map[string]any)
		changed := false
		for _, labelled := range []map[string]any{meta, spec} {
			labels, _ := labelled["labels"].(map[string]any)
			for key := range svc.Selector {
				p.Spend(1)
				if _, ok := labels[key]; ok {
					delete(labels, key)
					changed = true
				}
			}
			if labels != nil && len(labels) == 0 {
				delete(labelled, "labels")
			}
		}
		return changed
	})
}
