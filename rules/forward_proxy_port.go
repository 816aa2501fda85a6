package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var forwardProxyPort = &Rule{
	Name: "forward-proxy-port",
	Doc: `a forward proxy outside makes one host the whole Internet

An external host that is itself a proxy, a SOCKS server or a VPN endpoint takes
traffic for any other. No admission check sees what is behind a host; the ports
that such servers are known by deserve a second look.`,
	Severity: Warn,
	Rows:     []string{"S-18"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if !p.After.HasPoints(se) {
			return
		}
		for i, sp := range se.Ports {
			for _, n := range []int{sp.Number, sp.TargetPort} {
				if what := proxyPorts[n]; what != "" {
					p.Reportf(fmt.Sprintf("spec.ports[%d]", i), "port %d is the usual port of %s, through which any host can be reached", n, told.Plain(what))
					break
				}
			}
		}
	}),
}

// proxyPorts are the registered or customary ports of forward proxies.
var proxyPorts = map[int]string{
	1080: "a SOCKS proxy", 1194: "OpenVPN", 3128: "an HTTP proxy (squid)", 8118: "an HTTP proxy (privoxy)",
	8888: "an HTTP proxy", 9050: "Tor", 9150: "Tor", 51820: "WireGuard",
}
