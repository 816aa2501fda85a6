// Package release computes how Sallyport lets go of a cluster: which objects are
// given back to their owners, and which are deleted, in an order in which nobody
// loses a path. It is pure; the command line does what it computes.
package release

import (
	"cmp"
	"slices"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// Step is one write.
type Step struct {
	Stage Stage
	Ref   mesh.Ref
	// Version is that of the object that was looked at.
	Version string
	// Edits change the object: one without a value removes the field. Where there
	// are none the object is deleted.
	Edits []companion.Edit
	// Why says what the write is for.
	Why string
}

// Stage is what is to be done, and seen by the proxies, before the next begins.
type Stage int

// The stages, in order.
const (
	Walls   Stage = iota // what would stop traffic that leaves directly
	Give                 // routes and entries become their owners' again
	Routes               // clients are no longer led to the gateway
	Gateway              // and the gateway needs none of it any more
)

// Kept is an entry that is left as it is, with its companions: they go on
// without Sallyport.
type Kept struct {
	Ref mesh.Ref
	Why string
}

// Plan computes what is left to do in a cluster whose server no longer runs. Done
// in its order, and again after it was broken off, no client loses a path that it
// has: what goes through the gateway leaves directly in the end. An entry whose
// traffic only the gateway puts into TLS is kept, for directly it would leave in
// plain text.
func Plan(m *mesh.Mesh) (steps []Step, kept []Kept) {
	staying := make(map[string]bool) // by companion.Key
	for o := range m.All("ServiceEntry") {
		entry := o.(*mesh.ServiceEntry)
		if companion.Is(entry.Ref) || !originates(m, entry) {
			continue
		}
		for _, h := range entry.Hosts {
			staying[companion.Key(mesh.CanonicalHost(h))] = true
		}
	}
	stays := func(entry *mesh.ServiceEntry) bool {
		return slices.ContainsFunc(entry.Hosts, func(h string) bool { return staying[companion.Key(mesh.CanonicalHost(h))] })
	}
	for o := range m.All("NetworkPolicy") {
		if meta := o.Metadata(); netpol.Is(meta.Ref) && meta.Labels[mesh.ManagedByLabel] == mesh.ManagedBy {
			steps = append(steps, Step{Stage: Walls, Ref: meta.Ref, Version: meta.ResourceVersion, Why: "a wall that lets out nothing but what goes to the gateway"})
		}
	}
	for o := range m.All("VirtualService") {
		vs := o.(*mesh.VirtualService)
		if vs.Annotations[mesh.RewriteAnnotation] != "true" || vs.Deleting {
			continue
		}
		if edits := companion.Straighten(m, vs); len(edits) > 0 {
			steps = append(steps, Step{Stage: Give, Ref: vs.Ref, Version: vs.ResourceVersion, Edits: edits, Why: "it was rewritten, and leads to subsets that go"})
		}
	}
	for o := range m.All("ServiceEntry") {
		entry := o.(*mesh.ServiceEntry)
		switch {
		case companion.Is(entry.Ref) || entry.Deleting:
		case stays(entry):
			kept = append(kept, Kept{entry.Ref, "the gateway speaks TLS for it; without its companions the traffic would leave in plain text"})
		default:
			if edits := given(entry); len(edits) > 0 {
				steps = append(steps, Step{Stage: Give, Ref: entry.Ref, Version: entry.ResourceVersion, Edits: edits, Why: why(entry)})
			}
		}
	}
	for _, kind := range companion.Kinds {
		for o := range m.All(kind) {
			meta := o.Metadata()
			if !companion.Is(meta.Ref) || meta.Fingerprint == 0 || meta.Deleting || staying[companion.KeyOf(meta.Ref)] {
				continue
			}
			s := Step{Stage: Gateway, Ref: meta.Ref, Version: meta.ResourceVersion, Why: "a companion"}
			if companion.MeshHop(meta.Ref) {
				s.Stage = Routes
			}
			steps = append(steps, s)
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Ref.String(), b.Ref.String()))
	})
	slices.SortFunc(kept, func(a, b Kept) int { return cmp.Compare(a.Ref.String(), b.Ref.String()) })
	return steps, kept
}

// rank orders the steps of a stage: routes are straight before the entries that
// they lead to change, the registration goes before the routes of the gateway,
// and those before what they rest on.
func rank(s Step) int {
	if s.Stage == Give {
		return slices.Index([]string{"VirtualService", "ServiceEntry"}, s.Ref.Kind)
	}
	return slices.Index([]string{"ServiceEntry", "VirtualService", "DestinationRule", "Gateway", "AuthorizationPolicy"}, s.Ref.Kind)
}

// originates reports whether the gateway puts traffic of an entry into TLS.
func originates(m *mesh.Mesh, entry *mesh.ServiceEntry) bool {
	for _, h := range entry.Hosts {
		host := mesh.CanonicalHost(h)
		if !slices.ContainsFunc(m.RoutesFor(host), func(vs *mesh.VirtualService) bool { return companion.Is(vs.Ref) }) {
			continue // nothing leads it there
		}
		for _, g := range m.Settings().Gateways {
			if m.Get(mesh.Ref{Kind: "DestinationRule", Namespace: g.Namespace, Name: companion.OriginationName(host)}) != nil {
				return true
			}
		}
	}
	return false
}

// given are the edits by which an entry is as its owner wrote it: whoever sees it
// is what Istio makes of an exportTo that is not there, for where the owner had
// written one Sallyport has left it.
func given(entry *mesh.ServiceEntry) []companion.Edit {
	var edits []companion.Edit
	if entry.Managed() && len(entry.ExportTo) > 0 {
		edits = append(edits, companion.Edit{Pointer: "/spec/exportTo"})
	}
	if entry.Annotations[mesh.ExportAnnotation] != "" {
		edits = append(edits, companion.Edit{Pointer: "/metadata/annotations/sallyport.io~1export-to"})
	}
	if entry.Annotations[mesh.InjectionAnnotation] != "" {
		// Left behind it would have a Sallyport that is installed again serve the entry unasked.
		edits = append(edits, companion.Edit{Pointer: "/metadata/annotations/sallyport.io~1injection"})
	}
	if entry.Fingerprint != 0 { // of its status
		edits = append(edits, companion.Edit{Pointer: "/metadata/annotations/sallyport.io~1status"})
	}
	return edits
}

func why(entry *mesh.ServiceEntry) string {
	switch {
	case entry.Held():
		return "it is held back, and nobody would open it"
	case entry.Managed():
		return "Sallyport has confined it"
	default:
		return "it bears Sallyport's notes"
	}
}
