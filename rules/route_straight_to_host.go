package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var routeStraightToHost = &Rule{
	Name: "route-straight-to-host",
	Doc: `a mesh route names the gateway, never the external host

A rule of a VirtualService that sidecars follow (it applies to the gateway
"mesh") and whose destination or mirror is an external host sends traffic
straight out. It is denied also where the host has no ServiceEntry yet: the
entry would complete the leak. Where other routes win and the rule leads
nowhere today, it is warned about.

An ExternalName Service is the external host that it stands for.`,
	Severity: Deny,
	Rows:     []string{"V-1", "V-8", "V-9", "V-10", "V-16"},
	Kinds:    []string{"VirtualService"},
	Check: On(func(p *Pass, vs *mesh.VirtualService) {
		if slices.Contains(vs.Gateways, "mesh") {
			reportDelegates(p, vs)
		}
		for _, d := range p.destinations(vs) {
			if !d.mesh || d.dropped {
				continue
			}
			host, external := externalHost(p.After, d.Host, vs.Namespace)
			if !external {
				continue
			}
			what := "routes mesh traffic straight to"
			if d.mirror {
				what = "mirrors mesh traffic straight to"
			}
			f := Finding{
				Path: d.path,
				Host: host,
				Told: told.F("%s %s, past the egress gateway", told.Plain(what), hostPort(host, d.Port)),
			}
			if p.idle(vs) {
				f.Severity = Warn
				f.Told += ": no traffic takes that route today, because other routes win"
			}
			if d.mirror {
				f.ToldFix = shut(p, host, "Remove the mirror: the copy is sent by the sidecar, and cannot take the gateway's way.\n")
			} else {
				f.ToldFix = straightFix(p, vs, d, host)
			}
			p.Report(f)
		}
	}),
}

// reportDelegates reports the first straight route of each VirtualService that
// this one delegates to: it comes into force with its root.
func reportDelegates(p *Pass, root *mesh.VirtualService) {
	for leaf := range p.After.Leaves(root) {
		for _, d := range p.destinations(leaf) {
			host, external := externalHost(p.After, d.Host, leaf.Namespace)
			if !d.mesh || d.dropped || !external {
				continue
			}
			f := Finding{
				Path:    "spec.http",
				Told:    told.F("delegates to %s, which sends mesh traffic straight to %s, past the egress gateway", leaf.Ref, hostPort(host, d.Port)),
				ToldFix: told.F("Lead the routes of %s to the egress gateway first.\n", leaf.Ref),
			}
			if p.idle(root) && !opens(p, leaf.Ref) {
				f.Severity = Warn
				f.Told += ": no traffic takes that route today, because other routes win"
			}
			p.Report(f)
			break
		}
	}
}

// idle is [idle] of a VirtualService, asked once for all of its destinations.
func (p *Pass) idle(vs *mesh.VirtualService) bool {
	is, _ := p.Memo.Do(idleKey{vs}, func() (any, error) { return idle(p, vs), nil })
	return is.(bool)
}

type idleKey struct{ of *mesh.VirtualService }

// idle reports whether the model has followed every host of the
// VirtualService, with its entries open, and found that it opens no path.
// Where it is a companion that wins, the rule is not idle but in wait: Istio
// prefers the older of two, and a companion that is written anew is the newer.
func idle(p *Pass, vs *mesh.VirtualService) bool {
	if len(vs.Hosts) == 0 {
		// A delegate: without a root that sidecars follow nobody takes its
		// routes, and who writes that is told.
		for root := range p.After.Roots(vs) {
			if slices.Contains(root.Gateways, "mesh") {
				return false
			}
		}
		return !opens(p, vs.Ref)
	}
	for _, h := range vs.Hosts {
		p.Spend(hostSteps + len(p.Paths)>>2)
		host := mesh.ResolveHost(h, vs.Namespace, p.After.Settings().ClusterDomain)
		if mesh.IsWildcard(host) {
			return false // it is also for Services, and for names that nobody registered
		}
		if !slices.ContainsFunc(p.Paths, func(path mesh.Path) bool { return mesh.HostsOverlap(host, path.Host) }) {
			return false
		}
	}
	return !opens(p, vs.Ref) && !besideCompanion(p, vs)
}

// besideCompanion reports whether Sallyport keeps a route for a host of the
// VirtualService in its namespace.
func besideCompanion(p *Pass, vs *mesh.VirtualService) bool {
	return slices.ContainsFunc(vs.Hosts, func(host string) bool {
		return managedRoute(p, vs.Namespace, p.canonical(host))
	})
}

// managedRoute reports whether Sallyport keeps a route for the canonical host
// in the namespace.
func managedRoute(p *Pass, namespace, host string) bool {
	p.Spend(lookupSteps)
	return slices.ContainsFunc(p.After.RoutesFor(host), func(vs *mesh.VirtualService) bool {
		return vs.Namespace == namespace && vs.Labels[mesh.ManagedByLabel] == mesh.ManagedBy
	})
}

// opens reports whether the object is a reason for a direct path.
func opens(p *Pass, ref mesh.Ref) bool {
	p.Spend(len(p.Paths) >> 1)
	return slices.ContainsFunc(p.Paths, func(path mesh.Path) bool {
		return path.Verdict == mesh.Direct &&
			slices.ContainsFunc(path.Because, func(r mesh.Reason) bool { return r.Ref == ref })
	})
}

// straightFix takes the destination through the gateway.
func straightFix(p *Pass, vs *mesh.VirtualService, d destination, host string) told.Text {
	port := 0
	if d.Port != nil {
		port = d.Port.Number
	}
	protocol := map[string]string{"http": "HTTP", "tls": "TLS", "tcp": "TCP"}[d.section]
	for _, se := range p.After.EntriesFor(host) {
		p.Spend(len(se.Ports) >> 2)
		for _, sp := range se.Ports {
			if port == 0 || port == sp.Number {
				port, protocol = sp.Number, sp.Protocol
				break
			}
		}
	}
	if port == 0 {
		port = map[string]int{"http": 80, "tls": 443, "tcp": 443}[d.section]
	}
	if mesh.ClassOf(protocol) == mesh.Sniffed {
		protocol = strings.ToUpper(d.section)
	}
	if fix, ok := lead(p, host, port, protocol); ok {
		return fix
	}
	if !slices.ContainsFunc(vs.Hosts, func(h string) bool { return p.canonical(h) == host }) {
		return shut(p, host, told.F("Let clients call %s by its own name, with a route of that host to the egress gateway, and take it out of this one.\n", told.Host(host)))
	}
	return shut(p, host, told.F("Send the traffic for %s to the egress gateway here, and from there to the host.\n", told.Host(host)))
}

func hostPort(host string, port *mesh.PortSelector) told.Arg {
	if port == nil || port.Number == 0 {
		return told.Host(host)
	}
	return told.Host(host).As(fmt.Sprintf("%s:%d", host, port.Number))
}
