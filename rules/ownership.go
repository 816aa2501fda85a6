package rules

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// foreignEntries returns the entries by which other namespaces register the
// canonical host, without what Sallyport keeps for its gateways. To an owner of
// the host nothing is foreign.
func foreignEntries(m *mesh.Mesh, host, namespace string) []*mesh.ServiceEntry {
	m.Spend(lookupSteps)
	if m.Title(namespace, host) == mesh.Holder {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.EntriesFor(host)), func(se *mesh.ServiceEntry) bool {
		return se.Namespace == namespace || companionEntry(m, se.Ref)
	})
}

// companionEntry reports whether the entry is the registration that Sallyport
// keeps for a gateway: its names are reserved, and the namespace is not one
// that tenants write to.
func companionEntry(m *mesh.Mesh, ref mesh.Ref) bool {
	return m.Settings().GatewayNamespace(ref.Namespace) && strings.HasPrefix(ref.Name, "sallyport-")
}

// exportsBeyond reports whether an exportTo lets other namespaces see the
// object; an absent one lets all of them.
func exportsBeyond(exportTo []string, namespace string) bool {
	return len(exportTo) == 0 || slices.ContainsFunc(exportTo, func(e string) bool {
		return e != "." && e != "~" && e != namespace
	})
}

// selectsEgress returns the approved gateway whose pods a Gateway's selector
// matches, or nil.
func selectsEgress(m *mesh.Mesh, selector map[string]string) *mesh.EgressGateway {
	s := m.Settings()
	for i := range s.Gateways {
		if s.Gateways[i].SelectedBy(selector) {
			return &s.Gateways[i]
		}
	}
	return nil
}

// boundGateway returns the Gateway that a VirtualService of the namespace
// means by a name in its gateways, or nil where there is none.
func boundGateway(m *mesh.Mesh, name, namespace string) *mesh.Gateway {
	gw, _ := m.Get(mesh.BoundGateway(name, namespace)).(*mesh.Gateway)
	return gw
}

// meshNamespace reports whether the namespace's pods are part of the mesh or
// are confined by Sallyport: only then is leaving the mesh a finding.
func meshNamespace(m *mesh.Mesh, name string) bool {
	ns := m.Namespace(name)
	if ns == nil {
		return false
	}
	return ns.InMesh() || netpol.Walled(m, name)
}

// byMachinery is the severity of what is the cluster's own machinery to write,
// and whether there is anything to report. A service account of another
// namespace, outside the mesh, may be that of a controller which nobody has
// declared (a load balancer's, say): it is warned.
func (p *Pass) byMachinery() (severity Severity, report bool) {
	user := p.Request.User
	if p.After.Settings().Operates(user) {
		return "", false
	}
	if p.Platform() {
		return Warn, true
	}
	namespace, ok := mesh.ServiceAccountNamespace(user)
	if ok && namespace != p.Subject.Metadata().Namespace && p.After.Namespace(namespace) != nil && !meshNamespace(p.After, namespace) {
		return Warn, true
	}
	return p.rule.Severity, true
}
