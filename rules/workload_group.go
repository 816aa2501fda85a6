package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/told"
)

var workloadGroup = &Rule{
	Name: "workload-group",
	Doc: `machines join the mesh through the platform

With auto-registration a WorkloadGroup lets any machine that holds a token of one
of the namespace's service accounts join the mesh, wherever it stands.`,
	Severity: Warn,
	For:      Tenants,
	Rows:     []string{"W-2"},
	Kinds:    []string{"WorkloadGroup"},
	Check: func(_ context.Context, p *Pass) error {
		p.Reportf("spec", "lets machines outside the cluster join the mesh as workloads of %s", told.InNamespace(p.Subject.Metadata().Namespace))
		return nil
	},
}
