package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/told"
)

var proxyExtension = &Rule{
	Name: "proxy-extension",
	Doc: `no foreign code in the proxies of a tenant's namespace

A WasmPlugin or TrafficExtension runs code in the proxy, and the proxy's agent,
whose own traffic is not captured, fetches it from any registry. Tenants are
denied both.`,
	Severity: Deny,
	Remedy:   "Ask the platform team to keep the extension, in one of its own namespaces.",
	Rows:     []string{"B-E2"},
	Kinds:    []string{"TrafficExtension", "WasmPlugin"},
	Check: func(_ context.Context, p *Pass) error {
		p.Report(Finding{Path: "spec", Severity: p.WarnInPlatform(), Told: told.F("a %s runs code in the proxy, fetched past it", told.Plain(p.Subject.Metadata().Kind)), About: p.spec()})
		return nil
	},
}
