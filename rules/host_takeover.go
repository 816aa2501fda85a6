package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var hostTakeover = &Rule{
	Name: "host-takeover",
	Doc: `no tenant answers for a host that others registered

Where several ServiceEntries register one host, a client takes the one of its
own namespace, then one exported to its namespace by name, then the oldest. An
entry of a tenant that so comes to stand for a host in another namespace, or at
the egress gateway, with endpoints other than those it replaces, sends the
traffic of others where the tenant likes. That is denied; the same host with
the same endpoints is not.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"S-15", "S-16"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if !exportsBeyond(se.ExportTo, se.Namespace) {
			return
		}
		var without *mesh.Mesh
		for i, h := range se.Hosts {
			host := p.canonical(h)
			foreign := foreignEntries(p.After, host, se.Namespace)
			if len(foreign) == 0 {
				continue
			}
			if without == nil {
				without = p.Without()
			}
			clients, replaced := takenOver(p, without, se, host)
			if len(clients) == 0 {
				continue
			}
			p.Report(Finding{
				Path:    fmt.Sprintf("spec.hosts[%d]", i),
				Told:    told.F("answers for host %q in %s in place of %s, with other endpoints", told.Host(host), few(clients, replaced), replaced),
				ToldFix: ownNamespaceOnly, Words: leaveHost,
			})
		}
	}),
}

// takenOver returns the namespaces in which the entry stands for the host in
// place of another namespace's entry with other endpoints, and that entry.
func takenOver(p *Pass, without *mesh.Mesh, se *mesh.ServiceEntry, host string) (clients []told.Text, replaced mesh.Ref) {
	candidates := append(p.After.Clients(host), mesh.AnyClient)
	slices.Sort(candidates)
	for _, client := range slices.Compact(candidates) {
		if client == se.Namespace || p.After.Settings().GatewayNamespace(client) {
			continue
		}
		for _, port := range se.Ports {
			if _, now := p.After.Verdict(client, host, port.Number); now != se.Ref {
				continue
			}
			_, before := without.Verdict(client, host, port.Number)
			other, ok := without.Get(before).(*mesh.ServiceEntry)
			if !ok || other.Namespace == se.Namespace || sameEndpoints(se, other) || wasFirst(p, se, other, host) {
				continue
			}
			name := told.InNamespace(client).Text()
			if client == mesh.AnyClient {
				name = "every namespace that has none of its own"
			}
			clients, replaced = append(clients, name), before
			break
		}
	}
	for _, g := range p.After.Settings().Gateways {
		if other := atGateway(p.After, se, host, g.Namespace); other != nil {
			clients, replaced = append(clients, told.Plain("egress gateway "+g.Name)), other.Ref
		}
	}
	return clients, replaced
}

// few lists the first of those in whose place an entry stands. How many more there
// are is for those who know the entry that it replaces.
func few(clients []told.Text, replaced mesh.Ref) told.Text {
	list := told.List(told.Namespaces, clients[:min(len(clients), mesh.MaxFew)]...)
	if rest := len(clients) - mesh.MaxFew; rest > 0 {
		list += told.If(replaced.Tell(), told.F(" and %d more", rest))
	}
	return list
}

// wasFirst reports whether the entry registered the host before the other did:
// then it is the other's owner who comes second, and nothing is taken. An
// entry that takes up the host in an update comes second however old it is.
// To have been first excuses nobody where the host has an owner.
func wasFirst(p *Pass, se, other *mesh.ServiceEntry, host string) bool {
	if p.After.Title(se.Namespace, host) == mesh.Stranger {
		return false
	}
	if old, ok := p.Old.(*mesh.ServiceEntry); ok && !slices.ContainsFunc(old.Hosts, func(h string) bool { return mesh.CanonicalHost(h) == host }) {
		return false
	}
	for _, e := range p.After.EntriesFor(host) { // oldest first
		switch e.Ref {
		case se.Ref:
			return !slices.ContainsFunc(se.ExportTo, func(e string) bool { return e != "*" && e != "." && e != se.Namespace })
		case other.Ref:
			return false
		}
	}
	return false
}

// atGateway returns the entry that this one replaces for the gateway's own
// proxies, or nil. There an entry exported to the namespace by name is
// preferred to every public one, of the same namespace even (initServiceRegistry
// in Istio's pilot/pkg/model/push_context.go); only a private one of the
// namespace comes first, as Sallyport's own registration is.
func atGateway(m *mesh.Mesh, se *mesh.ServiceEntry, host, namespace string) *mesh.ServiceEntry {
	if !slices.Contains(se.ExportTo, namespace) {
		return nil
	}
	var replaced *mesh.ServiceEntry
	for _, other := range m.EntriesFor(host) {
		switch {
		case other.Namespace == namespace && !exportsBeyond(other.ExportTo, namespace):
			return nil
		case other.Namespace != se.Namespace && exportsBeyond(other.ExportTo, other.Namespace) && !sameEndpoints(se, other) && replaced == nil:
			replaced = other
		}
	}
	return replaced
}

// sameEndpoints reports whether two entries for a host lead to the same place.
func sameEndpoints(a, b *mesh.ServiceEntry) bool {
	return a.Resolution == b.Resolution && slices.Equal(addresses(a), addresses(b))
}

func addresses(se *mesh.ServiceEntry) []string {
	var all []string
	for _, e := range se.Endpoints {
		all = append(all, mesh.CanonicalHost(e.Address))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
