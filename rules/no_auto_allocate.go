package rules

import (
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var noAutoAllocate = &Rule{
	Name: "no-auto-allocate",
	Doc: `a TCP host has an address of its own

A TCP port of a ServiceEntry without addresses is a listener on 0.0.0.0: it takes
traffic for any address on that port. Istio gives such an entry an address unless
the label networking.istio.io/enable-autoallocate-ip is "false".`,
	Severity: Warn,
	Rows:     []string{"S-22"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if len(se.Addresses) > 0 || !strings.EqualFold(se.Labels["networking.istio.io/enable-autoallocate-ip"], "false") {
			return
		}
		for _, sp := range se.Ports {
			if c := mesh.ClassOf(sp.Protocol); c == mesh.TCPLike || c == mesh.Sniffed {
				p.Report(Finding{
					Path:    `metadata.labels["networking.istio.io/enable-autoallocate-ip"]`,
					Told:    "without an address the TCP port captures traffic for any address",
					ToldFix: "Remove the label, or list the host's addresses in spec.addresses.\n",
				})
				return
			}
		}
	}),
}
