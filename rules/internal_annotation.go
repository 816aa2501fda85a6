package rules

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

var internalAnnotation = &Rule{
	Name: "internal-annotation",
	Doc: `internal.istio.io belongs to Istio alone

Istio marks objects that it makes itself, from the Gateway API, with annotations
and labels under internal.istio.io. On a user's object they switch the code path:
"route-semantics: gateway" on a VirtualService skips the validation of
destinations and opens a direct path. Istio bans two of them; all are denied
here.`,
	Severity: Deny,
	Rows:     []string{"V-22"},
	Kinds: []string{
		"DestinationRule", "GRPCRoute", "Gateway", "HTTPRoute", "K8sGateway", "Service", "ServiceEntry", "Sidecar",
		"TCPRoute", "TLSRoute", "VirtualService", "WorkloadEntry",
	},
	Check: func(_ context.Context, p *Pass) error {
		meta := p.Subject.Metadata()
		for _, f := range []stringMap{{"annotation", meta.Annotations}, {"label", meta.Labels}} {
			what, set := f.field, f.values
			for _, k := range slices.Sorted(maps.Keys(set)) {
				if strings.HasPrefix(k, "internal.istio.io/") {
					p.Report(Finding{
						Path:    fmt.Sprintf("metadata.%ss[%q]", told.Plain(what), k),
						Told:    told.F("%s %s is for Istio's own use: it changes how the object is read", told.Plain(what), k),
						ToldFix: "Remove it.\n",
					})
				}
			}
		}
		return nil
	},
}
