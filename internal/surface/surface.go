// Package surface accounts for every way in which an API server lets somebody
// write: each kind and subresource that it serves is judged, or there is a reason
// why it need not be.
//
// What the server is asked about stands in manifests/webhooks.yaml. A test asks a
// real API server for all that it serves and fails on what neither the manifest
// nor this package accounts for; docs/kinds.md is generated from both.
package surface

import (
	"cmp"
	"slices"
	"strings"
)

// Resource is a resource, or a subresource, of an API.
type Resource struct {
	Group string
	Name  string // "pods", "pods/status"
	// Kind is the model's name of what a review of it holds, see [mesh.Ref]; empty
	// for what is not judged.
	Kind string
	// Harmless is why the writes of it that are not judged open no way out:
	// a sentence.
	Harmless string
	// Partly is true where conditions of the webhook leave out some objects of a
	// resource whose writes are all sent: Harmless is about these.
	Partly bool
	// Optional is true where not every API server has it.
	Optional bool
}

// String is "group/name", without the slash for the group that has no name.
func (r Resource) String() string {
	if r.Group == "" {
		return r.Name
	}
	return r.Group + "/" + r.Name
}

// Find returns the resource of that name.
func Find(group, name string) (Resource, bool) {
	i, ok := slices.BinarySearchFunc(Resources, Resource{Group: group, Name: name}, compare)
	if !ok {
		return Resource{}, false
	}
	return Resources[i], true
}

// Harmless says why objects that nobody judges open no way out, of a kind of which
// none is, or not this one, and is empty where nobody has looked at the kind.
func Harmless(group, kind string) string {
	name := strings.ToLower(kind)
	for _, plural := range []string{name + "s", name + "es", strings.TrimSuffix(name, "y") + "ies", name} {
		if r, ok := Find(group, plural); ok {
			return r.Harmless
		}
	}
	return ""
}

func compare(a, b Resource) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
}
