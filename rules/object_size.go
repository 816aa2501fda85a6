package rules

import (
	"context"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var objectSize = &Rule{
	Name: "object-size",
	Doc: `what a tenant writes fits into the memory of the judge

Sallyport holds the objects of the mesh in memory. A tenant's object may be as
large as limits.objectBytes of the configuration says, 256 KiB by default, and all
of a namespace together as large as limits.namespaceBytes, 4 MiB by default:
labels, annotations and specs count. Beyond that only what makes an object smaller
is admitted, and deletions. The platform is warned of its own large objects.
What Kubernetes' controllers write, EndpointSlices above all, is let through.

Objects that were there before the limits are kept and judged by as they are.`,
	Severity: Deny,
	Check: func(_ context.Context, p *Pass) error {
		meta := p.Subject.Metadata()
		if meta.Namespace == "" || !mesh.Kept(meta.Kind) || strings.HasPrefix(p.Request.User, "system:serviceaccount:kube-system:") ||
			p.Request.User == "system:kube-controller-manager" {
			return nil
		}
		before := 0
		if old := p.LiveBefore.Get(meta.Ref); old != nil {
			before = old.Metadata().Size
		}
		if meta.Size <= before {
			return nil
		}
		limits := p.After.Settings().Limits
		if meta.Size > limits.OfObject() {
			p.Report(Finding{
				Severity: p.WarnInPlatform(),
				Path:     "spec",
				Told:     told.F("the object has %d bytes (labels, annotations and spec), more than the %d that one object may have", meta.Size, limits.OfObject()),
				ToldFix:  "Split it into smaller objects, or ask the platform team to raise limits.objectBytes in Sallyport's configuration.\n",
			})
		}
		if total := p.Live.KeptBytes(meta.Namespace); !p.Platform() && total > limits.OfNamespace() {
			p.Report(Finding{
				Path: "metadata.namespace",
				Told: told.F("with this object, which grows from %d bytes to %d, all objects of namespace %s have %d bytes, more than the %d that a namespace may have",
					before, meta.Size, told.Namespace(meta.Namespace), total, limits.OfNamespace()),
				ToldFix: "Delete what is no longer needed, or ask the platform team to raise limits.namespaceBytes in Sallyport's configuration.\n",
			})
		}
		return nil
	},
}
