package rules

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var sidecarOutbound = &Rule{
	Name: "sidecar-outbound",
	Doc: `no Sidecar opens what the mesh keeps closed

outboundTrafficPolicy ALLOW_ANY in a Sidecar lets its pods reach every host that
nobody registered, and egressProxy sends all of that to one host; both override
the mesh's REGISTRY_ONLY. A listener of protocol HTTP_PROXY, or one on a Unix
socket, is an explicit proxy: rules for the port of a host do not hold there.
A Sidecar in the root namespace does so for the whole mesh. All are denied, but
for an egressProxy that is an approved egress gateway. Capture mode NONE is
warned about: the listener is used only by who asks for it.`,
	Severity: Deny,
	Remedy:   "Leave the listener out, and let the pods call hosts by their names.",
	Rows:     []string{"B-S1", "B-S2", "B-S4", "B-S5"},
	Kinds:    []string{"Sidecar"},
	Check: On(func(p *Pass, s *mesh.Sidecar) {
		whose := told.InNamespace(s.Namespace).Text()
		if s.Namespace == p.After.Settings().RootNamespace {
			whose = "every namespace"
		}
		if o := s.OutboundTrafficPolicy; opensOutbound(p.After, s) {
			switch {
			case o.EgressProxy != nil:
				p.Report(Finding{Path: "spec.outboundTrafficPolicy.egressProxy", Told: told.F("sends all traffic of %s for unknown hosts to %q", whose, o.EgressProxy.Host), ToldFix: registryOnly(p), Words: keepClosed})
			default:
				p.Report(Finding{Path: "spec.outboundTrafficPolicy.mode", Told: told.F("mode %s lets %s reach every host that nobody registered, directly", o.Mode, whose), ToldFix: registryOnly(p), Words: keepClosed})
			}
		}
		for i, l := range s.Egress {
			p.Spend(hostSteps)
			switch {
			case strings.HasPrefix(l.Bind, "unix:"), l.Port != nil && l.Port.Number == 0:
				p.Report(Finding{Path: fmt.Sprintf("spec.egress[%d].bind", i), Severity: p.WarnInPlatform(), Told: told.F("a Unix socket opens an explicit proxy in the pods of %s", whose)})
			case l.Port != nil && strings.EqualFold(l.Port.Protocol, "HTTP_PROXY"):
				p.Report(Finding{Path: fmt.Sprintf("spec.egress[%d].port.protocol", i), Severity: p.WarnInPlatform(), Told: told.F("protocol HTTP_PROXY opens an explicit proxy in the pods of %s", whose)})
			}
			if l.CaptureMode == "NONE" {
				p.Report(Finding{Path: fmt.Sprintf("spec.egress[%d].captureMode", i), Severity: Warn, Told: "capture mode NONE leaves it to the application whether its traffic takes this listener"})
			}
		}
	}),
}

// opensOutbound reports whether a Sidecar lets traffic for unknown hosts out, or sends
// it elsewhere than to an approved egress gateway.
func opensOutbound(m *mesh.Mesh, s *mesh.Sidecar) bool {
	o := s.OutboundTrafficPolicy
	switch {
	case o == nil:
		return false
	case o.EgressProxy != nil:
		return egressGateway(m, mesh.ResolveHost(o.EgressProxy.Host, s.Namespace, m.Settings().ClusterDomain)) == nil
	default:
		return o.Mode != "REGISTRY_ONLY"
	}
}

// registryOnly is the Sidecar that keeps closed what the mesh keeps closed.
func registryOnly(p *Pass) told.Text {
	return cmp.Or(p.withSpec("outboundTrafficPolicy", map[string]any{"mode": "REGISTRY_ONLY"}), keepClosed)
}

const keepClosed told.Text = "Set mode REGISTRY_ONLY in spec.outboundTrafficPolicy, without an egressProxy.\n"
