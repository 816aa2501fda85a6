package rules

import (
	"fmt"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var gatewayServer = &Rule{
	Name: "gateway-server",
	Doc: `servers of the egress gateway admit only who they are for

AUTO_PASSTHROUGH at the egress gateway reaches any Service of the mesh by its
SNI, though no external host, and a server with a bind address, or on a unix
socket, is a side door: both are warned about. A server in plain text, or with
PASSTHROUGH, cannot tell who connects: any pod that reaches the gateway may
forge Host or SNI. Where the gateway is configured for mutual TLS that is said
for your information.`,
	Severity: Warn,
	Rows:     []string{"B-G4", "B-G5", "B-G6"},
	Kinds:    []string{"Gateway"},
	Check: On(func(p *Pass, gw *mesh.Gateway) {
		g := selectsEgress(p.After, gw.Selector)
		if g == nil {
			return
		}
		for i, s := range gw.Servers {
			base := fmt.Sprintf("spec.servers[%d]", i)
			mode := ""
			if s.TLS != nil {
				mode = s.TLS.Mode
			}
			if s.Bind != "" {
				p.Report(Finding{Path: base + ".bind", Told: told.F("bind %q opens a listener beside those of the gateway's Service", s.Bind)})
			}
			switch {
			case mode == "AUTO_PASSTHROUGH":
				p.Report(Finding{Path: base + ".tls.mode", Told: "AUTO_PASSTHROUGH lets whoever connects choose any Service of the registry by its SNI"})
			case !g.MutualTLS || mode == "ISTIO_MUTUAL":
			case mode == "PASSTHROUGH":
				p.Report(Finding{Path: base + ".tls.mode", Severity: Info, Told: "PASSTHROUGH does not tell who connects; ISTIO_MUTUAL does", ToldFix: mutualServer})
			case mode == "" && mesh.ClassOf(s.Port.Protocol) != mesh.UDPLike:
				protocol := "TLS" // with HTTPS the gateway looks for HTTP inside
				if mesh.ClassOf(s.Port.Protocol) == mesh.HTTPLike {
					protocol = "HTTPS"
				}
				p.Report(Finding{
					Path: base + ".port.protocol", Severity: Info,
					Told:    told.F("protocol %s without TLS does not tell who connects; %s with ISTIO_MUTUAL does", told.Plain(strings.ToUpper(s.Port.Protocol)), told.Plain(protocol)),
					ToldFix: mutualServer,
				})
			}
		}
	}),
}

// mutualServer is words, for it takes more than this object: a sidecar that does not
// speak mutual TLS gets no answer from such a server.
const mutualServer told.Text = "Set mode ISTIO_MUTUAL in tls, and in the DestinationRule by which sidecars come here.\n"
