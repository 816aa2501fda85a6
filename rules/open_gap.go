package rules

import (
	"context"
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var openGap = &Rule{
	Name: "open-gap",
	Doc: `no route goes before the one that takes its place is there

Where Sallyport keeps companions, a host whose own route is deleted or changed
gets theirs; but they are written after the write that needs them. Behind a
route that came to a host Sallyport had led to before, they stand already, and
the write is admitted. Behind a route that was there first they do not: for a
moment the traffic would leave directly, and for longer where nobody can write.
Such a write is denied until the entry has asked for them, whatever it is: a
route, of Istio's or of the Gateway API, or a Sidecar that hides one.

The same holds for an entry. A new one is held back until its companions stand.
One that says itself who sees it (exportTo) is not, and neither is one that the
mutating webhook did not see, nor a host or port that is added to an entry which
is open: to hold that back would hide what works. Where no path leads through the
gateway at that moment, they are denied. So they are in a set of objects that is
judged as a whole, where nothing in the set leads there.`,
	Severity:   Deny,
	Rows:       []string{"V-26"},
	Operations: everyOperation,
	Check: func(_ context.Context, p *Pass) error {
		se, entry := p.Subject.(*mesh.ServiceEntry)
		switch {
		case p.Reserved, entry && p.Deleting(), !entry && p.Batch != nil:
			return nil
		case entry:
			checkUnheld(p, se)
			return nil
		}
		for _, path := range p.Paths {
			p.Spend(1)
			if path.Verdict != mesh.Direct && opened(p, path, asIs) { // what is direct for good is direct-path's business
				p.Report(gapFinding(p, path))
				return nil // one word is enough: asking for the companions closes them all
			}
		}
		return nil
	},
}

func gapFinding(p *Pass, path mesh.Path) Finding {
	field, have := "spec", "written first"
	if p.Deleting() {
		field = "metadata.name"
	}
	switch p.Subject.(type) {
	case *mesh.VirtualService, *mesh.Route:
		have = "put behind yours"
	}
	return Finding{
		Path: field,
		Told: told.F("traffic for %s from %s would leave directly until Sallyport has written its own routes, of which there are none yet",
			point(path), clientNames([]string{path.Client})),
		ToldFix: told.F("# Have them %s, and try again a few seconds later:\n#   kubectl annotate serviceentry %s --namespace %s %s=true\n",
			told.Plain(have), path.Entry.Tell().As(path.Entry.Name), told.Namespace(path.Entry.Namespace), told.Plain(mesh.SpareAnnotation)),
	}
}

// checkUnheld reports an entry that is seen before its paths lead through the
// gateway. In a batch an entry that admission would hold back counts as open:
// it is not to blame.
func checkUnheld(p *Pass, se *mesh.ServiceEntry) {
	if p.Batch != nil && managed(se) {
		return
	}
	missed := missedByMutation(p, se)
	old, _ := p.LiveBefore.Get(se.Ref).(*mesh.ServiceEntry)
	for _, path := range p.Paths {
		switch {
		case p.Batch != nil && path.Entry != se.Ref: // charged to the entry that has it
		case path.Verdict == mesh.Direct && !missed: // direct-path's business
		case opened(p, path, asIs) && !p.Live.Decided(path.Client, path.Host, path.Port).Passed, path.Entry == se.Ref && adds(old, se, path) && restsOnNothing(p, path):
			p.Report(unheldFinding(se, old, path, missed))
			return // what helps one helps all
		}
	}
}

// adds reports whether an entry registers an egress point that it did not
// register before, or not for the same namespaces.
func adds(old, se *mesh.ServiceEntry, path mesh.Path) bool {
	if old == nil || old.Held() || !slices.Equal(old.ExportTo, se.ExportTo) ||
		!slices.ContainsFunc(old.Hosts, func(h string) bool { return mesh.CanonicalHost(h) == path.Host }) {
		return true
	}
	return slices.ContainsFunc(se.Ports, func(port mesh.ServicePort) bool {
		return port.Number == path.Port && !slices.Contains(old.Ports, port)
	})
}

// restsOnNothing reports whether a path leads through the gateway by nothing
// but companions that are about to go: an entry that comes when they go would
// be reached directly, by others than those who go past every gateway anyway.
func restsOnNothing(p *Pass, path mesh.Path) bool {
	if p.Standing == nil {
		return false
	}
	if verdict, _ := p.Live.Verdict(path.Client, path.Host, path.Port); verdict == mesh.Blocked {
		return false
	}
	verdict, _ := p.Standing().Verdict(path.Client, path.Host, path.Port)
	return verdict == mesh.Direct && !p.Standing().Decided(path.Client, path.Host, path.Port).Passed
}

// managed reports whether Sallyport chooses the exportTo of an entry: where it
// is not ready, admission holds it back.
func managed(se *mesh.ServiceEntry) bool {
	to := se.Annotations[mesh.ExportAnnotation]
	return (to == "." || to == "*") && len(se.ExportTo) == 1 && se.ExportTo[0] == to
}

// missedByMutation reports whether the entry is none that admission's first
// half, which fails open, leaves behind: that holds a new entry back that is not
// ready, and gives an exportTo to every one that is new or that loses its own,
// but for one that others see without Sallyport's doing.
func missedByMutation(p *Pass, se *mesh.ServiceEntry) bool {
	if p.Batch != nil || ignored(p.Live, se.Namespace) {
		return false
	}
	if len(se.ExportTo) > 0 {
		return p.Old == nil && managed(se)
	}
	old, _ := p.Old.(*mesh.ServiceEntry)
	if old != nil && !p.Injected && p.Live.Settings().Injection == mesh.InjectNew {
		return false // it was there before Sallyport, and is left as it is
	}
	return old == nil || len(old.ExportTo) > 0 && (old.Managed() || !p.LiveBefore.Shared(old))
}

// ignored reports whether a namespace asks not to be enforced upon: admission
// holds none of its entries back.
func ignored(m *mesh.Mesh, namespace string) bool {
	ns := m.Namespace(namespace)
	return ns != nil && (ns.Labels[mesh.ModeLabel] == "warn" || ns.Labels[mesh.ModeLabel] == "off")
}

// unheldFinding is about an entry that nobody holds back.
func unheldFinding(se, old *mesh.ServiceEntry, path mesh.Path, missed bool) Finding {
	f := Finding{
		Path: "spec.exportTo",
		Told: told.F("traffic for %s from %s would leave directly", point(path), clientNames([]string{path.Client})),
	}
	switch {
	case missed:
		f.Told += ": the entry is neither held back nor led through the gateway, for Sallyport's mutating webhook did not see it"
		f.ToldFix = "Try again in a moment: when that webhook answers, the entry is held back until its routes are there.\n"
	case old != nil && exported(old):
		f.Path = addedField(old, se, path)
		f.Told += " until Sallyport has written its routes; to hold the entry back meanwhile would hide what is open"
		f.ToldFix = told.F("Register %s in an entry of its own, without exportTo: Sallyport opens that when its routes are there, and this entry may then have it too.\n",
			told.Host(path.Host).As(fmt.Sprintf("%s:%d", path.Host, path.Port)))
	default:
		f.Told += " until Sallyport has written its routes"
		f.ToldFix = told.F("Leave exportTo out: Sallyport then opens the entry when its routes are there, to its own namespace or to whom its annotation %s says (\".\" or \"*\").\n",
			told.Plain(mesh.ExportAnnotation))
	}
	return f
}

// exported reports whether somebody sees the entry.
func exported(se *mesh.ServiceEntry) bool {
	return !slices.Contains(se.ExportTo, "~")
}

// addedField is the field of an entry by which an update registers an egress
// point.
func addedField(old, se *mesh.ServiceEntry, path mesh.Path) string {
	is := func(h string) bool { return mesh.CanonicalHost(h) == path.Host }
	if i := slices.IndexFunc(se.Hosts, is); i >= 0 && !slices.ContainsFunc(old.Hosts, is) {
		return fmt.Sprintf("spec.hosts[%d]", i)
	}
	for i, port := range se.Ports {
		if port.Number == path.Port && !slices.Contains(old.Ports, port) {
			return fmt.Sprintf("spec.ports[%d]", i)
		}
	}
	return "spec.exportTo"
}
