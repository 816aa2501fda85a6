package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
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
that was direct before the write.`,
	Severity: Deny,
	Rows: []string{
		"S-1", "S-2", "S-3", "S-4", "S-5", "S-9", "S-12", "S-14", "V-1", "V-2", "V-3", "V-4", "V-5", "V-6", "V-7", "V-8",
		"V-9", "V-10", "V-14", "V-15", "V-24", "V-26", "B-S3", "K-20",
	},
	Check: func(_ context.Context, p *Pass) error {
		for _, group := range groupPaths(p, p.Paths, asIs) {
			p.Report(group.finding(p, "leaves directly"))
		}
		return nil
	},
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
	note     string
	clients  []string
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
		i := slices.IndexFunc(groups, func(g *pathGroup) bool {
			return g.path.Host == path.Host && g.path.Port == path.Port && g.path.Verdict == path.Verdict &&
				g.severity == severity && g.note == note && slices.Equal(g.path.Because, path.Because)
		})
		if i < 0 {
			groups = append(groups, &pathGroup{path: path, severity: severity, note: note})
			i = len(groups) - 1
		}
		groups[i].clients = append(groups[i].clients, path.Client)
	}
	return groups
}

// judgePath says how grave the path is for the subject, "" where it is none of
// the subject's business, with a word on why it is no graver.
func judgePath(p *Pass, path mesh.Path, in view) (Severity, string) {
	ref := p.Subject.Metadata().Ref
	registers := path.Entry == ref && !p.Deleting()
	involved := registers || slices.ContainsFunc(path.Because, func(r mesh.Reason) bool { return r.Ref == ref })
	switch path.Verdict {
	case mesh.Direct:
	case mesh.Broken, mesh.Undetermined:
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
	excused := before == mesh.Direct && !opened(p, path, in)
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

// anyJudged reports whether some object of the batch is to blame for the path.
func anyJudged(p *Pass, path mesh.Path) bool {
	return p.Batch[path.Entry] || slices.ContainsFunc(path.Because, func(r mesh.Reason) bool { return p.Batch[r.Ref] })
}

// heldSeverity is the severity of a direct path, given that nobody can take it
// as long as Sallyport holds its entry back.
func heldSeverity(p *Pass, path mesh.Path, in view) (Severity, string) {
	if p.Held(path.Entry) && in(p.Live, path) != mesh.Direct {
		return Warn, "Sallyport holds the entry back until its paths lead through the gateway"
	}
	return Deny, ""
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
	f := Finding{Severity: g.severity, Path: subjectPath(p, path)}
	switch path.Verdict {
	case mesh.Broken:
		verb = "fails"
	case mesh.Undetermined:
		verb = "cannot be followed"
	}
	f.Message = fmt.Sprintf("traffic for %s from %s %s", point(path), clientNames(g.clients), verb)
	if len(path.Because) > 0 {
		why := path.Because[0]
		f.Message += ": " + strings.TrimSuffix(why.Message, ".")
		if why.Ref != p.Subject.Metadata().Ref {
			f.Message += fmt.Sprintf(" (%s)", strings.TrimSpace(why.Ref.String()+" "+why.Path))
			if own, ok := ownReason(p, path); ok {
				f.Message += "; here, " + strings.TrimSuffix(own.Message, ".")
			}
		}
	}
	if path.Verdict == mesh.Direct && path.Entry == p.Subject.Metadata().Ref {
		for _, r := range p.Refusals {
			if r.Entry == path.Entry {
				f.Message += fmt.Sprintf("; Sallyport keeps no route for it (%s): %s", r.Path, strings.TrimSuffix(r.Message, "."))
				break
			}
		}
	}
	if g.note != "" {
		f.Message += "; " + g.note
	}
	if path.Verdict == mesh.Direct {
		f.Fix = directFix(p, path)
	}
	return f
}

// point names an egress point in a message.
func point(path mesh.Path) string {
	if mesh.ClassOf(path.Protocol) == mesh.Sniffed {
		return fmt.Sprintf("%s:%d", path.Host, path.Port)
	}
	return fmt.Sprintf("%s:%d (%s)", path.Host, path.Port, path.Protocol)
}

// clientNames names client namespaces in a message.
func clientNames(clients []string) string {
	named := slices.DeleteFunc(slices.Clone(clients), func(c string) bool { return c == mesh.AnyClient })
	if rest := len(named) - 5; rest > 0 {
		named = append(named[:5], fmt.Sprintf("%d more", rest))
	}
	everybody := len(named) < len(clients)
	switch {
	case len(named) == 0:
		return "every namespace"
	case len(named) == 1 && !everybody:
		return "namespace " + named[0]
	case everybody:
		return "namespaces " + strings.Join(named, ", ") + " and every other"
	default:
		return "namespaces " + strings.Join(named, ", ")
	}
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

// directFix says what closes the path.
func directFix(p *Pass, path mesh.Path) string {
	if p.Request.Foreground {
		return "Delete the object in the background (kubectl delete --cascade=background): in the foreground what it owns goes before it does.\n"
	}
	if p.Deleting() {
		return fmt.Sprintf("Delete %s first, which registers the host; or keep this object until another one routes the host through the gateway.\n", path.Entry)
	}
	for _, r := range p.Refusals {
		if r.Fix != "" {
			return r.Fix
		}
	}
	if mesh.ClassOf(path.Protocol) == mesh.Sniffed {
		return "Give the port a protocol, HTTP or TLS: rules of a VirtualService do not hold for traffic whose protocol Istio has to guess.\n"
	}
	if mesh.IsWildcard(path.Host) {
		return fmt.Sprintf("Register every name on its own (hosts: [api%s]), or ask the platform team to name the one server that answers for all of them, under the gateway's wildcards in Sallyport's configuration.\n", strings.TrimPrefix(path.Host, "*"))
	}
	var b strings.Builder
	owner := path.Entry.Namespace
	if path.Entry == p.Subject.Metadata().Ref && !p.Injected && !p.Platform() {
		fmt.Fprintf(&b, "# Let Sallyport keep the route:\n#   kubectl label namespace %s %s=enabled --overwrite\n# or write it:\n", owner, mesh.InjectionLabel)
	}
	name, namespace := slug(path.Host), owner
	if vs, ok := p.Subject.(*mesh.VirtualService); ok {
		name, namespace = vs.Name, vs.Namespace
		b.WriteString(rewriteHint(p, vs, path.Host))
	}
	b.WriteString(twoHops(p, name, path.Host, path.Port, path.Protocol, namespace))
	return b.String()
}
