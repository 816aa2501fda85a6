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
Such a write is denied until the entry has asked for them.`,
	Severity: Deny,
	Kinds:    []string{"VirtualService"},
	Rows:     []string{"V-26"},
	Check: func(_ context.Context, p *Pass) error {
		if p.Batch != nil || p.Reserved {
			return nil
		}
		var before *mesh.Mesh
		for _, path := range p.Paths {
			if path.Verdict == mesh.Direct {
				continue // direct-path's business
			}
			if is, _ := p.Live.Verdict(path.Client, path.Host, path.Port); is != mesh.Direct {
				continue
			}
			if before == nil {
				before = liveBefore(p)
			}
			if was, _ := before.Verdict(path.Client, path.Host, path.Port); was == mesh.Direct {
				continue
			}
			p.Report(gapFinding(p, path))
			return nil // one word is enough: asking for the companions closes them all
		}
		return nil
	},
}

// liveBefore is the mesh as it stands before the write.
func liveBefore(p *Pass) *mesh.Mesh {
	switch {
	case p.Deleting():
		return p.Live.With(p.Subject)
	case p.Old != nil:
		return p.Live.With(p.Old)
	default:
		return p.Live.Without(p.Subject.Metadata().Ref)
	}
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
