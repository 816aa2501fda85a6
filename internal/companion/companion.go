// Package companion computes what must exist beside a ServiceEntry so that
// its egress points are reached through the egress gateway: the gateway's own
// registration, Gateway, DestinationRules, and the VirtualServices of both
// hops. It is pure; package reconcile writes what it computes.
package companion

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Set is what one host needs.
type Set struct {
	Host string
	// Objects are the companions: the gateway's side first, the mesh hop
	// last, which is also the order in which they are to be written.
	Objects []mesh.Object
	// Refused are the claims on the host that cannot be served.
	Refused []Refusal
}

// Refusal says why an entry, or one field of it, gets no companions.
type Refusal struct {
	Entry   mesh.Ref
	Path    string // JSON path in the entry
	Message string
	Fix     string
}

// For computes the companions of one canonical host. The mesh may hold
// companions that already exist; they are set aside first, so that the answer
// depends on what users wrote and on nothing else. A host whose paths are all
// via without Sallyport needs nothing.
func For(m *mesh.Mesh, host string) Set { return Set{Host: host} }

// Without returns the mesh without the companions of the hosts: the mesh as users wrote it.
func Without(m *mesh.Mesh, hosts ...string) *mesh.Mesh { return m }

// Apply returns the mesh with the companions of the hosts in place of any
// that exist, and every held entry open, with the sets it applied.
func Apply(m *mesh.Mesh, hosts ...string) (*mesh.Mesh, []Set) { return m, nil }

// Is reports whether the Ref is one that Sallyport uses for companions: such
// objects may be written by nobody else.
func Is(ref mesh.Ref) bool { return false }
