package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var tenantExport = &Rule{
	Name: "tenant-export",
	Doc: `a tenant's objects are for the tenant's namespace

What a tenant exports to other namespaces takes part in their routing. Whether
it does harm there, other rules see; this one says that it is there. The
annotation ` + mesh.ExportAnnotation + ` says what an entry that Sallyport holds
back is to be opened to: "." or "*"; anything else would keep it closed for ever
and is denied.`,
	Severity: Warn,
	Remedy:   `Write "." for the entry's own namespace.`,
	Rows:     []string{"S-15", "V-3"},
	Kinds:    []string{"DestinationRule", "ServiceEntry", "VirtualService"},
	Check: Each(
		On(func(p *Pass, se *mesh.ServiceEntry) {
			switch v, ok := se.Annotations[mesh.ExportAnnotation]; {
			case ok && v != "." && v != "*":
				p.Report(Finding{
					Path:     fmt.Sprintf("metadata.annotations[%q]", mesh.ExportAnnotation),
					Severity: Deny,
					Told:     told.F("annotation %s is %q, but an entry is opened to \".\" or \"*\" only", told.Plain(mesh.ExportAnnotation), v),
				})
			case v == "*" && !p.Platform():
				p.Reportf(fmt.Sprintf("metadata.annotations[%q]", mesh.ExportAnnotation), "the entry of a tenant is to be opened to every namespace")
			}
			reportExport(p, se.ExportTo, se.Namespace, p.After.HasPoints(se))
		}),
		On(func(p *Pass, vs *mesh.VirtualService) { reportExport(p, vs.ExportTo, vs.Namespace, false) }),
		On(func(p *Pass, dr *mesh.DestinationRule) { reportExport(p, dr.ExportTo, dr.Namespace, false) }),
	),
}

// reportExport reports an exportTo that names others; an absent one, which
// exports to all, only where that matters.
func reportExport(p *Pass, exportTo []string, namespace string, absentMatters bool) {
	if p.Platform() {
		return
	}
	for i, e := range exportTo {
		p.Spend(hostSteps)
		// The gateway's namespace has to see what the gateway is to carry.
		if e != "." && e != "~" && e != namespace && !p.After.Settings().GatewayNamespace(e) {
			p.Reportf(fmt.Sprintf("spec.exportTo[%d]", i), "exportTo %q lets other namespaces see the object of a tenant", e)
		}
	}
	if len(exportTo) == 0 && absentMatters {
		p.Report(Finding{
			Path: "spec.exportTo", Told: "without exportTo every namespace sees the entry of a tenant",
			ToldFix: ownNamespaceOnly, Words: "Say in spec.exportTo who sees the entry, \".\" being its own namespace, and route its hosts for those.\n",
		})
	}
}
