package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var sidecarNoWall = &Rule{
	Name: "sidecar-no-wall",
	Doc: `a path is closed by a route, never by a Sidecar alone

A Sidecar that does not import a host hides it from the workloads that it
selects, for as long as it stands: it is a matter of size, not of security, and
whoever may write one may take it away. Every path is followed a second time as
if there were no Sidecars. One that leaves directly then is denied like any
other, so that no Sidecar that goes, comes or changes can open it.`,
	Severity:   Deny,
	Rows:       []string{"B-S3"},
	Operations: everyOperation,
	Check: func(_ context.Context, p *Pass) error {
		var bare []mesh.Path
		for _, path := range p.Paths {
			if path.Verdict == mesh.Direct || !p.After.Confined(path.Client) {
				continue
			}
			if path = p.After.Unconfined(path.Client, path.Host, path.Port); path.Verdict == mesh.Direct {
				bare = append(bare, path)
			}
		}
		for _, group := range groupPaths(p, bare, unconfined) {
			p.Report(group.finding(p, "is kept from leaving directly by nothing but a Sidecar"))
		}
		return nil
	},
}

func unconfined(m *mesh.Mesh, path mesh.Path) mesh.Verdict {
	return m.Unconfined(path.Client, path.Host, path.Port).Verdict
}
