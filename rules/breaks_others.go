package rules

import (
	"context"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var breaksOthers = &Rule{
	Name: "breaks-others",
	Doc: `no tenant takes away another namespace's way out

Many objects of Istio act on the whole mesh, whichever namespace they are in: an
older Gateway drops the server of a younger one that names the same host, a
VirtualService or ServiceEntry exported to others is preferred to theirs. A
write by a tenant is denied where other namespaces reach a host through the
gateway without the object, and no longer do with it.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"S-16", "V-3", "V-20", "B-G1", "B-G3"},
	Check: func(_ context.Context, p *Pass) error {
		var without *mesh.Mesh
		own := p.Subject.Metadata().Namespace
		if ns, ok := p.Subject.(*mesh.Namespace); ok {
			own = ns.Name
		}
		var broken []string
		var first mesh.Path
		for _, path := range p.Paths {
			if path.Verdict == mesh.Via || path.Client == own {
				continue
			}
			if without == nil {
				without = p.Without()
			}
			if was, _ := without.Verdict(path.Client, path.Host, path.Port); was != mesh.Via {
				continue
			}
			if len(broken) == 0 {
				first = path
			}
			p.Spend(1 + len(broken)>>2)
			if first.Host == path.Host && first.Port == path.Port && !slices.Contains(broken, path.Client) {
				broken = append(broken, path.Client)
			}
		}
		if len(broken) > 0 {
			p.Report(Finding{
				Severity: breakSeverity(p, first),
				Path:     subjectPath(p, first),
				Told:     told.F("traffic for %s from %s is %s with this object: without it, it goes through the egress gateway", point(first), clientNames(broken), told.Plain(string(first.Verdict))),
				ToldFix:  breakFix(p.Subject),
			})
		}
		return nil
	},
}

// breakFix is how an object stops taking something from others: by its exportTo
// where its kind has one.
func breakFix(o mesh.Object) told.Text {
	switch o.(type) {
	case *mesh.ServiceEntry, *mesh.VirtualService, *mesh.DestinationRule:
		return leaveHost
	case *mesh.Namespace:
		return "Leave the labels and annotations of the namespace as they are: they decide whose routes and gateways serve its workloads.\n"
	default:
		return "Leave the host to the namespace that routes it.\n"
	}
}

// breakSeverity is how grave it is that the subject breaks the path.
func breakSeverity(p *Pass, path mesh.Path) Severity {
	_, gateway := p.Subject.(*mesh.Gateway)
	if p.Batch == nil || gateway && p.After.Settings().Platform(path.Entry.Namespace) {
		return Deny
	}
	return Warn
}
