package rules

import (
	"context"
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var openGap = &Rule{
	Name: "open-gap",
	Doc: `no route goes before the one that takes its place is there

Where Sallyport keeps companions, a host whose own route is deleted or changed
gets theirs; but they are written after the write that needs them. Behind a
route that came to a host Sallyport had led to before, they stand already, and
the write is admitted. Behind a route that was there first they do not: for a
moment the traffic would leave directly, and for longer where nobody can write.
Such a write is denied until the entry has asked for them.

A new entry that says itself who sees it is not held back: until the companions
are there, its traffic leaves directly. That is warned about.`,
	Severity: Deny,
	Kinds:    []string{"ServiceEntry", "VirtualService"},
	Rows:     []string{"V-26"},
	Check: func(_ context.Context, p *Pass) error {
		if p.Batch != nil || p.Reserved {
			return nil
		}
		for _, path := range p.Paths {
			if path.Verdict == mesh.Direct {
				continue // direct-path's business
			}
			if is, _ := p.Live.Verdict(path.Client, path.Host, path.Port); is != mesh.Direct {
				continue
			}
			if was, _ := p.LiveBefore.Verdict(path.Client, path.Host, path.Port); was == mesh.Direct {
				continue
			}
			if se, ok := p.Subject.(*mesh.ServiceEntry); ok {
				if path.Entry != se.Ref || p.Deleting() {
					continue
				}
				p.Report(unheldFinding(se, path))
				return nil
			}
			p.Report(gapFinding(p, path))
			return nil // one word is enough: asking for the companions closes them all
		}
		return nil
	},
}

func gapFinding(p *Pass, path mesh.Path) Finding {
	field := "spec"
	if p.Deleting() {
		field = "metadata.name"
	}
	return Finding{
		Path: field,
		Message: fmt.Sprintf("traffic for %s from %s would leave directly until Sallyport has written its own routes, of which there are none yet",
			point(path), clientNames([]string{path.Client})),
		Fix: fmt.Sprintf("# Have them put behind yours, and try again a few seconds later:\n#   kubectl annotate serviceentry %s --namespace %s %s=true\n",
			path.Entry.Name, path.Entry.Namespace, mesh.SpareAnnotation),
	}
}

// unheldFinding is about an entry that nobody holds back: admission does so
// only where its owner has not chosen the exportTo.
func unheldFinding(se *mesh.ServiceEntry, path mesh.Path) Finding {
	f := Finding{
		Severity: Warn,
		Path:     "spec.exportTo",
		Message: fmt.Sprintf("traffic for %s from %s leaves directly until Sallyport has written its routes",
			point(path), clientNames([]string{path.Client})),
	}
	if len(se.ExportTo) > 0 {
		f.Fix = "Leave exportTo out: Sallyport then opens the entry when its routes are there."
	}
	return f
}
