// Package review is the one judge behind the admission webhook, the command
// line and audits: it takes a mesh and a write, and returns what Sallyport
// makes of it. It is pure.
package review

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// Write is one write to be judged.
type Write struct {
	Request rules.Request
	// Object and OldObject are the JSON of the object after and before the
	// write; empty where there is none (OldObject on CREATE, Object on
	// DELETE).
	Object, OldObject []byte
}

// Outcome is what Sallyport makes of a write.
type Outcome struct {
	Ref mesh.Ref
	// Known is false for a kind that the model does not hold: nothing was
	// judged.
	Known bool
	// Findings are sorted by severity (deny first), rule and path.
	Findings []rules.Finding
	// Paths of every egress point that the write can change, in the mesh
	// after it; sorted by host, port and client.
	Paths []mesh.Path
	// Companions that Sallyport would keep for the object's hosts.
	Companions []mesh.Object
}

// Denied reports whether any finding denies the write.
func (o Outcome) Denied() bool {
	for _, f := range o.Findings {
		if f.Severity == rules.Deny {
			return true
		}
	}
	return false
}

// Judge judges writes with a fixed set of rules. It is safe for concurrent
// use.
type Judge struct {
	Rules []*rules.Rule
}

// Review judges one write into the mesh. An error means "could not judge".
func (j *Judge) Review(ctx context.Context, m *mesh.Mesh, w Write) (Outcome, error) {
	return Outcome{}, nil
}

// PatchOp is one operation of a JSON patch (RFC 6902) on the raw object.
type PatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Default returns the patch that admission applies to an object before it is
// judged. It adds absent fields only, with the one exception of an exportTo
// that Sallyport itself manages ([mesh.ExportAnnotation]), and is idempotent.
func Default(m *mesh.Mesh, w Write) ([]PatchOp, error) { return nil, nil }
