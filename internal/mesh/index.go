package mesh

import (
	"encoding/binary"
	"math"
)

// sep ends each part of an index key. It sorts before every byte that a
// name or host can hold.
const sep = "\x00"

// index holds every object once, and the ways to find it that Paths needs.
// All of it is persistent: a copy of the struct is a copy of the index.
type index struct {
	settings *Settings
	// objects by kind, namespace and name.
	objects tree[Object]
	// By host, read from its end, and within a host oldest first, as Istio
	// sorts them (model.sortConfigByCreationTime): time, name, namespace.
	entries  tree[*ServiceEntry]
	routes   tree[*VirtualService]
	policies tree[*DestinationRule]
	aliases  tree[*Service] // ExternalName Services by the name they stand for
}

func objectKey(r Ref) string { return r.Kind + sep + r.Namespace + sep + r.Name }

func (x *index) add(e *edit, o Object) {
	x.objects.set(e, objectKey(o.Metadata().Ref), o)
	switch o := o.(type) {
	case *ServiceEntry:
		for _, k := range x.entryKeys(o) {
			x.entries.set(e, k, o)
		}
	case *VirtualService:
		for _, k := range x.routeKeys(o) {
			x.routes.set(e, k, o)
		}
	case *DestinationRule:
		x.policies.set(e, x.policyKey(o), o)
	case *Service:
		if o.Type == "ExternalName" {
			x.aliases.set(e, hostKey(CanonicalHost(o.ExternalName), &o.Meta), o)
		}
	}
}

func (x *index) remove(e *edit, r Ref) {
	o, ok := x.objects.get(objectKey(r))
	if !ok {
		return
	}
	x.objects.delete(e, objectKey(r))
	switch o := o.(type) {
	case *ServiceEntry:
		for _, k := range x.entryKeys(o) {
			x.entries.delete(e, k)
		}
	case *VirtualService:
		for _, k := range x.routeKeys(o) {
			x.routes.delete(e, k)
		}
	case *DestinationRule:
		x.policies.delete(e, x.policyKey(o))
	case *Service:
		if o.Type == "ExternalName" {
			x.aliases.delete(e, hostKey(CanonicalHost(o.ExternalName), &o.Meta))
		}
	}
}

func (x *index) entryKeys(se *ServiceEntry) []string {
	keys := make([]string, len(se.Hosts))
	for i, h := range se.Hosts {
		keys[i] = hostKey(CanonicalHost(h), &se.Meta)
	}
	return keys
}

func (x *index) routeKeys(vs *VirtualService) []string {
	keys := make([]string, len(vs.Hosts))
	for i, h := range vs.Hosts {
		keys[i] = hostKey(ResolveHost(h, vs.Namespace, x.settings.ClusterDomain), &vs.Meta)
	}
	return keys
}

func (x *index) policyKey(dr *DestinationRule) string {
	return hostKey(ResolveHost(dr.Host, dr.Namespace, x.settings.ClusterDomain), &dr.Meta)
}

func hostKey(host string, m *Meta) string { return reversed(host) + sep + ageKey(m) }

// ageKey sorts objects as Istio does: oldest first, then by name, then by
// namespace. Objects that do not exist yet come last.
func ageKey(m *Meta) string {
	var b [8]byte
	seconds := uint64(math.MaxUint64)
	if !m.Created.IsZero() {
		seconds = uint64(m.Created.Unix()) ^ 1<<63 // so that the order of bytes is that of the signed number
	}
	binary.BigEndian.PutUint64(b[:], seconds)
	return string(b[:]) + m.Name + sep + m.Namespace
}
