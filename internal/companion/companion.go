// Package companion computes what must exist beside a ServiceEntry so that
// its egress points are reached through the egress gateway: the gateway's own
// registration, Gateway, DestinationRules, AuthorizationPolicy, and the
// VirtualServices of both hops. It is pure; package reconcile writes what it
// computes.
package companion

import (
	"slices"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Set is what one host needs.
type Set struct {
	Host string
	// Objects are the companions: the gateway's side first, the mesh hop
	// last. Written in this order they open no direct path at any moment.
	Objects []mesh.Object
	// Refused are the claims on the host that cannot be served.
	Refused []Refusal
	// SparesAfter is when the spares among the objects may be written: to
	// Istio an age has whole seconds, and a spare must be the younger one.
	SparesAfter time.Time
}

// Refusal says why an entry, or one field of it, gets no companions.
type Refusal struct {
	Entry   mesh.Ref
	Path    string // JSON path in the entry
	Message string
	Fix     string

	// With is the claim that this one contradicts, and that goes before it; the
	// zero Ref where the claim could not be served if it were the only one.
	With mesh.Ref
	// Outranked is true where With goes before it whichever came first: the
	// platform's claim, and that of an owner of the host.
	Outranked bool
	// Reverse is the Message, and ReversePath the Path, from where With stands.
	Reverse, ReversePath string

	// Told, ToldFix and ToldReverse are the texts with their names marked, of which
	// the others are made; see package told.
	Told, ToldFix, ToldReverse told.Text
}

// said fills in the texts.
func (r Refusal) said() Refusal {
	r.Message, r.Fix, r.Reverse = r.Told.String(), r.ToldFix.String(), r.ToldReverse.String()
	return r
}

// For computes the companions of one canonical host. The mesh may hold
// companions that already exist; they are set aside first, so that the answer
// depends on what users wrote. A host whose paths are all via without Sallyport
// needs nothing, unless Sallyport has led to it before, or the entry asks for it
// ([mesh.SpareAnnotation]): then the companions stand behind what covers it.
//
// For clients in ambient mode there is what stands beside a waypoint, see [ForAmbient].
func For(m *mesh.Mesh, host string) Set {
	p := planFor(m, host)
	if !m.AnyAmbient() {
		return p.result()
	}
	_, set := p.result().withAmbient(p.settled(p.built()))
	return set
}

// Without returns the mesh without the companions of the hosts: the mesh as
// users wrote it.
func Without(m *mesh.Mesh, hosts ...string) *mesh.Mesh {
	var refs []mesh.Ref
	for _, host := range hosts {
		refs = append(refs, existing(m, host, Key(host))...)
	}
	return without(m, refs)
}

func without(m *mesh.Mesh, refs []mesh.Ref) *mesh.Mesh {
	if len(refs) == 0 {
		return m
	}
	return m.Without(refs...)
}

// Apply returns the mesh with the companions of the hosts in place of any
// that exist, and every held entry open, with the sets it applied. To Istio
// the companions are the newest objects of that mesh: what holds then holds
// whenever they are written. An entry whose claim contradicts one that goes
// before it is closed, or keeps its route, as it is when all is written.
func Apply(m *mesh.Mesh, hosts ...string) (*mesh.Mesh, []Set) {
	if len(hosts) == 1 {
		p := planFor(m, hosts[0])
		after, set := p.result().withAmbient(p.settled(p.built()))
		return after, []Set{set}
	}
	sets := make([]Set, len(hosts))
	var objects []mesh.Object
	var displacing []*plan
	for i, host := range hosts {
		p := planFor(m, host)
		if sets[i] = p.result(); m.AnyAmbient() {
			_, sets[i] = sets[i].withAmbient(p.settled(p.built()))
		}
		objects = append(objects, sets[i].Objects...)
		if len(p.displaced) > 0 {
			displacing = append(displacing, p)
		}
	}
	after := Without(m, hosts...).With(objects...).Open()
	for _, p := range displacing {
		after = p.settled(after)
	}
	return after, sets
}

// existing returns the companions of the host, of that key, that the mesh holds.
func existing(m *mesh.Mesh, host, key string) []mesh.Ref {
	refs := make([]mesh.Ref, 0, 8) // what a host usually has
	collect := func(kind, namespace string) {
		for o := range m.Named(kind, namespace, key) {
			if ref := o.Metadata().Ref; Is(ref) {
				refs = append(refs, ref)
			}
		}
	}
	for _, gateway := range m.Settings().Gateways {
		for _, kind := range Kinds {
			collect(kind, gateway.Namespace)
		}
	}
	if m.AnyAmbient() {
		if waypoint := m.EgressWaypoint(); waypoint.Namespace != "" && !m.Settings().GatewayNamespace(waypoint.Namespace) {
			refs = append(refs, besideWaypoint(m, waypoint.Namespace, key)...)
		}
	}
	// A mesh hop is found by what it routes, and where somebody has changed
	// that, by the namespaces that register the host.
	for _, vs := range m.RoutesFor(host) {
		if Is(vs.Ref) && KeyOf(vs.Ref) == key {
			refs = append(refs, vs.Ref)
		}
	}
	for _, entry := range m.EntriesFor(host) {
		collect("VirtualService", entry.Namespace)
		collect("DestinationRule", entry.Namespace)
	}
	return refs
}

// Lasting returns the mesh without the companions of an entry's hosts that are
// about to go: those being deleted, and those whose owners are gone, which
// Kubernetes collects any moment. Beside the entry only those count that the
// entry owns itself: it is not to rest on what goes with another one.
func Lasting(m *mesh.Mesh, entry *mesh.ServiceEntry) *mesh.Mesh {
	var going []mesh.Ref
	for _, host := range entry.Hosts {
		m.Spend(hostSteps)
		host = mesh.CanonicalHost(host)
		alive := make(map[string]bool)
		for _, e := range m.EntriesFor(host) {
			alive[e.UID] = e.Namespace != entry.Namespace
		}
		alive[entry.UID] = true
		for _, ref := range existing(m, host, Key(host)) {
			meta := m.Get(ref).Metadata()
			owned := slices.ContainsFunc(meta.Owners, func(uid string) bool { return alive[uid] })
			if meta.Deleting || len(meta.Owners) > 0 && !owned {
				going = append(going, ref)
			}
		}
	}
	return without(m, going)
}
