package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var directPath = &Rule{
	Name: "direct-path",
	Doc: `traffic leaves the mesh only through an egress gateway

Sallyport follows the traffic of every client for every egress point that the
write can change, in the way that Istio would route it. A path that leaves
without the gateway is denied, whichever object opened it: an entry without a
route, a port or protocol that no rule covers, a predicate that leaves a gap, a
private VirtualService that hides the public one, a deleted route.

A path that ends nowhere (a gateway or subset that is still missing) and one
that cannot be determined are warned about: the missing half may be the next
object of the same apply. So is a direct path behind an entry that Sallyport
holds back, for nobody sees that entry before its paths are via, and a path
that was direct before the write. An entry that Sallyport cannot serve would be
held back for good, and is denied, unless somebody leads its host by hand: a
VirtualService or a Gateway for it is there.

A DestinationRule by which sidecars speak TLS to a host is one that the gateway
takes over: it speaks TLS in their place. Where it cannot, for a client
certificate, say, or without verifying whom it speaks to, Sallyport keeps no route,
and the rule is denied where one stands.

An entry of a namespace in ambient mode is a request for a way out by a waypoint,
and ztunnel is not shown it: no path of its own leads anywhere. Where Sallyport or
Istio cannot do what it asks for, it is denied for that.

An edit of an entry that is open is denied as well where Sallyport could no
longer serve what the entry has: its host would be closed for good, and all that
worked with it.`,
	Severity: Deny,
	Rows: []string{
		"S-1", "S-2", "S-3", "S-4", "S-5", "S-9", "S-12", "S-14", "V-1", "V-2", "V-3", "V-4", "V-5", "V-6", "V-7", "V-8",
		"V-9", "V-10", "V-14", "V-15", "V-24", "V-26", "B-S3", "K-20",
	},
	Operations: everyOperation,
	Check: func(_ context.Context, p *Pass) error {
		for _, group := range groupPaths(p, p.Paths, asIs) {
			p.Report(group.finding(p, "leaves directly"))
		}
		reportUnserved(p)
		return nil
	},
}

// reportUnserved says of an entry in ambient mode that ztunnel does not know, and that
// therefore has no path of its own, what of it cannot be served: nobody would learn
// from a path that its clients leave as if it were not there.
func reportUnserved(p *Pass) {
	se, ok := p.Subject.(*mesh.ServiceEntry)
	if !ok || p.Deleting() || !p.Injected || !p.After.Namespace(se.Namespace).Ambient() {
		return
	}
	if slices.ContainsFunc(p.Paths, func(path mesh.Path) bool { p.Spend(1); return path.Entry == se.Ref }) {
		return // ztunnel knows it, and what is to be said is said of the path
	}
	for _, r := range p.Refusals {
		if r.Entry == se.Ref && r.With == (mesh.Ref{}) {
			p.Report(Finding{Path: r.Path, Told: r.Told, ToldFix: r.ToldFix + "\n"})
		}
	}
}

// view is how the path of a client for an egress point is looked at in one of
// the meshes of a Pass.
type view func(m *mesh.Mesh, path mesh.Path) mesh.Verdict

func asIs(m *mesh.Mesh, path mesh.Path) mesh.Verdict {
	verdict, _ := m.Verdict(path.Client, path.Host, path.Port)
	return verdict
}

// pathGroup is one egress point that goes wrong in the same way for several
// clients.
type pathGroup struct {
	path     mesh.Path // of the first client
	severity Severity
	note     told.Text
	clients  []string
	more     int // egress points beside it that the subject's own hole is for
}

// groupPaths returns what is wrong with paths that the subject changes.
func groupPaths(p *Pass, paths []mesh.Path, in view) []*pathGroup {
	var groups []*pathGroup
	for _, path := range paths {
		p.Spend(1 + len(path.Because))
		severity, note := judgePath(p, path, in)
		if severity == "" {
			continue
		}
		p.Spend(len(groups))
		own := ofHole(p, path)
		i := slices.IndexFunc(groups, func(g *pathGroup) bool {
			if own && ofHole(p, g.path) {
				return g.severity == severity && g.note == note
			}
			return g.path.Host == path.Host && g.path.Port == path.Port && g.path.Verdict == path.Verdict &&
				g.severity == severity && g.note == note && slices.Equal(g.path.Because, path.Because)
		})
		if i < 0 {
			groups = append(groups, &pathGroup{path: path, severity: severity, note: note})
			i = len(groups) - 1
		}
		g := groups[i]
		if own && (g.path.Host != path.Host || g.path.Port != path.Port) {
			p.Spend(len(g.clients) >> 3)
			if g.more++; slices.Contains(g.clients, path.Client) {
				continue
			}
		}
		g.clients = append(g.clients, path.Client)
	}
	return groups
}

// judgePath says how grave the path is for the subject, "" where it is none of
// the subject's business, with a word on why it is no graver.
func judgePath(p *Pass, path mesh.Path, in view) (Severity, told.Text) {
	ref := p.Subject.Metadata().Ref
	registers := path.Entry == ref && !p.Deleting()
	involved := registers || slices.ContainsFunc(path.Because, func(r mesh.Reason) bool { return r.Ref == ref })
	switch path.Verdict {
	case mesh.Direct:
		if refusesMetadata(p, path.Entry) {
			return "", "" // metadata-service says so
		}
		if e, ok := metadataException(p, path); ok && involved {
			return Warn, told.F("it is a metadata service, and an exception holds until %s: %s", told.Plain(e.Until.UTC().Format(time.RFC3339)), told.Plain(e.Reason))
		} else if ok {
			return "", ""
		}
	case mesh.Broken, mesh.Undetermined:
		if path.Passed && path.Verdict == mesh.Undetermined && path.Because[0].Ref != ref && path.Because[0].Namespace != path.Entry.Namespace {
			return "", "" // it is the client's filter, and said there
		}
		if registers && p.Old != nil && p.Injected && in(p.LiveBefore, path) == mesh.Via && (path.Verdict == mesh.Undetermined || refused(p)) {
			return Deny, "" // it works by what Sallyport keeps, and would not any more
		}
		if involved || p.Batch == nil && in(p.Before(), path) == mesh.Via {
			return Warn, ""
		}
		return "", ""
	default:
		return "", ""
	}

	if p.Deleting() && path.Entry == (mesh.Ref{}) {
		if _, entry := p.Before().Verdict(path.Client, path.Host, path.Port); entry == ref {
			return "", "" // with the entry goes the egress point: the host is unknown like any other
		}
	}
	before := in(p.Before(), path)
	if ofHole(p, path) {
		return judgeHole(p, path, before)
	}
	if path.Passed {
		ns := p.Live.Namespace(path.Client)
		if p.Batch != nil || before != mesh.Via || ns != nil && !ns.InMesh() {
			return "", "" // it is the client's, and said there
		}
	}
	excused := before == mesh.Direct && !opened(p, path, in) && (path.Passed || !p.Before().Decided(path.Client, path.Host, path.Port).Passed)
	if p.Batch != nil {
		switch {
		case excused && !registers:
			if involved {
				return Warn, "it did so before"
			}
			return "", ""
		case involved, !anyJudged(p, path):
			return heldSeverity(p, path, in)
		default:
			return "", "" // charged to the objects that open it
		}
	}
	switch {
	case excused && (p.Old != nil || !registers):
		if involved {
			return Warn, "it did so before"
		}
		return "", ""
	case before == mesh.Via && !registers:
		return Deny, ""
	default:
		return heldSeverity(p, path, in)
	}
}

// refused reports whether Sallyport cannot serve what the subject, an entry,
// asks for, whatever others do.
func refused(p *Pass) bool {
	return slices.ContainsFunc(p.Refusals, func(r Refusal) bool { return r.Entry == p.Subject.Metadata().Ref && r.With == mesh.Ref{} })
}

// anyJudged reports whether some object of the batch is to blame for the path.
func anyJudged(p *Pass, path mesh.Path) bool {
	return p.Batch[path.Entry] || slices.ContainsFunc(path.Because, func(r mesh.Reason) bool { return p.Batch[r.Ref] })
}

// heldSeverity is the severity of a direct path, given that nobody can take it
// as long as Sallyport holds its entry back. An edit of an entry that was open
// is not excused by that: it would be closed for good.
func heldSeverity(p *Pass, path mesh.Path, in view) (Severity, told.Text) {
	old, _ := p.Old.(*mesh.ServiceEntry)
	wasOpen := old != nil && path.Entry == old.Ref && !p.LiveBefore.Hidden(old)
	if p.Held(path.Entry) && in(p.Live, path) != mesh.Direct && !wasOpen && !hopeless(p, path) {
		return Warn, "Sallyport holds the entry back until that is mended"
	}
	return Deny, ""
}

// hopeless reports whether nobody is about to lead a host for which the subject, an
// entry, gets no companions: it would be held back for good, and who wrote it would
// learn that from a warning at most. Nobody leads what follows no rule of a route.
func hopeless(p *Pass, path mesh.Path) bool {
	switch {
	case path.Entry != p.Subject.Metadata().Ref:
		return false
	case mesh.ClassOf(path.Protocol) == mesh.Sniffed:
		return true
	case !refused(p):
		return false
	}
	p.Spend(2 * lookupSteps)
	byHand := slices.ContainsFunc(p.Live.RoutesFor(path.Host), func(vs *mesh.VirtualService) bool { return vs.Labels[mesh.ManagedByLabel] != mesh.ManagedBy })
	for _, gw := range p.Live.GatewaysFor(path.Host) {
		if gw.Labels[mesh.ManagedByLabel] == mesh.ManagedBy {
			continue
		}
		for _, server := range gw.Servers {
			p.Spend(hostSteps * len(server.Hosts))
			byHand = byHand || slices.ContainsFunc(server.Hosts, func(h string) bool { // "host" or "namespace/host"
				return mesh.CanonicalHost(h[strings.Index(h, "/")+1:]) == path.Host
			})
		}
	}
	return !byHand
}

// opened reports whether the write lets traffic take a direct path that nobody
// could take before, for it was behind an entry that was held back: a hold
// excuses the entry that is held, and nothing that is written later. Of several
// entries for one host and namespace one that is open lets traffic in to the
// endpoints of all.
func opened(p *Pass, path mesh.Path, in view) bool {
	return in(p.Live, path) == mesh.Direct && in(p.LiveBefore, path) != mesh.Direct
}

func (g *pathGroup) finding(p *Pass, verb string) Finding {
	path := g.path
	if ns, ok := p.Subject.(*mesh.Namespace); ok && ofHole(p, path) {
		return ztunnelFinding(ns, g.severity)
	}
	f := Finding{Severity: g.severity, Path: subjectPath(p, path), Host: path.Host, Port: path.Port}
	switch path.Verdict {
	case mesh.Broken:
		verb = "fails"
	case mesh.Undetermined:
		verb = "cannot be followed"
	}
	f.Told = told.F("traffic for %s", point(path))
	if g.more > 0 {
		f.Told += told.F(" and %s", told.Host(path.Host).As(fmt.Sprintf("%d more", g.more)))
	}
	f.Told += told.F(" from %s %s", clientNames(g.clients), told.Plain(verb))
	if g.note != "" {
		f.Told += "; " + g.note
	}
	if len(path.Because) > 0 {
		why := path.Because[0]
		f.Decided = why.Ref
		f.Told += ": " + why.Says().WithoutStop()
		if why.Ref != p.Subject.Metadata().Ref {
			f.Told += told.F(" (%s)", why.Tell().As(strings.TrimSpace(why.Ref.String()+" "+why.Path)))
			if own, ok := ownReason(p, path); ok {
				f.Told += "; here, " + own.Says().WithoutStop()
			}
		}
	}
	if _, rule := p.Subject.(*mesh.DestinationRule); g.wrong() && (rule || path.Entry == p.Subject.Metadata().Ref) {
		for _, r := range p.Refusals {
			if r.Entry == path.Entry {
				f.Told += told.F("; Sallyport keeps no route for it (%s): %s", r.Entry.Tell().As(r.Path), r.Told.WithoutStop())
				break
			}
		}
	}
	if g.wrong() {
		f.ToldFix = directFix(p, path)
	}
	return f
}

// wrong reports whether there is something to mend.
func (g *pathGroup) wrong() bool { return g.path.Verdict == mesh.Direct || g.severity == Deny }

// point names an egress point in a message.
func point(path mesh.Path) told.Arg {
	shown := fmt.Sprintf("%s:%d", path.Host, path.Port)
	if mesh.ClassOf(path.Protocol) != mesh.Sniffed {
		shown += " (" + path.Protocol + ")"
	}
	return told.Host(path.Host).As(shown)
}

// clientNames names client namespaces in a message.
func clientNames(clients []string) told.Text {
	named := slices.DeleteFunc(slices.Clone(clients), func(c string) bool { return c == mesh.AnyClient })
	list := namespaceList(named)
	everybody := len(named) < len(clients)
	switch {
	case len(named) == 0:
		return "every namespace"
	case len(named) == 1 && !everybody:
		return told.InNamespace(named[0]).Text()
	case everybody:
		return "namespaces " + list + " and every other"
	default:
		return "namespaces " + list
	}
}

// namespaceList lists namespaces in a message, a few of them by name.
func namespaceList(names []string) told.Text {
	const most = 5
	items := make([]told.Text, 0, most+1)
	for i, name := range names {
		if i == most {
			// Who may not know these is not told how many there are.
			items = append(items, told.Namespace(name).As(fmt.Sprintf("%d more", len(names)-most)).Text())
			break
		}
		items = append(items, told.Namespace(name).Text())
	}
	return told.List(told.Namespaces, items...)
}

// ownReason is the part that the subject itself has in the path.
func ownReason(p *Pass, path mesh.Path) (mesh.Reason, bool) {
	for _, r := range path.Because {
		if r.Ref == p.Subject.Metadata().Ref {
			return r, true
		}
	}
	return mesh.Reason{}, false
}

// subjectPath is the field of the subject that the finding is about: the one
// that decided the path, or the entry's port.
func subjectPath(p *Pass, path mesh.Path) string {
	if own, ok := ownReason(p, path); ok && own.Path != "" {
		return own.Path
	}
	if se, ok := p.Subject.(*mesh.ServiceEntry); ok {
		p.Spend(len(se.Ports) >> 2)
		for i, port := range se.Ports {
			if port.Number == path.Port {
				return fmt.Sprintf("spec.ports[%d]", i)
			}
		}
	}
	if p.Deleting() {
		return "metadata.name"
	}
	return "spec"
}
