// Package review is the one judge behind the admission webhook, the command
// line and audits: it takes a mesh and a write, and returns what Sallyport
// makes of it. It is pure.
package review

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/rules"
)

// Write is one write to be judged.
type Write struct {
	Request rules.Request
	// Object and OldObject are the JSON of the object after and before the
	// write; empty where there is none (OldObject on CREATE, Object on
	// DELETE).
	Object, OldObject []byte
	// Propagation is the propagationPolicy of a DELETE: Background, Foreground,
	// Orphan, or empty for the default.
	Propagation string
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
	// after it; sorted by host, port and client. Of a single write those that
	// are via come without Because and Hops.
	Paths []mesh.Path
	// Companions that Sallyport would keep for the object's hosts.
	Companions []mesh.Object
	// Steps is what the judgement took, of [MaxSteps] at the most.
	Steps int64
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
	// Time is the time, RFC 3339, that rules see of the writes of a batch;
	// that of a single write is its request's. Policies that look at the time
	// refuse to judge without one.
	Time string
	// Stored says that the objects of a batch are in a cluster: admission has made of
	// them what it makes, and their paths are those by what is there.
	Stored bool
	// Standing returns the JSON of an object in the state of a batch, nil where it is not
	// there: an object of the batch is an update of the one of its name. Without it every
	// object counts as new.
	Standing func(mesh.Ref) []byte
	// Blocked says that the Paths of a batch have those that are blocked as well: most
	// clients do not see most entries, and there are as many as the one times the other.
	Blocked bool
	// Revision identifies the policies among Rules and their parameters; it is
	// told, not looked at.
	Revision string
	// unmended says that nobody is told what is found, so that no fix is looked for.
	unmended bool
}

// Review judges one write into the mesh. An error means "could not judge": a
// malformed object, a rule that failed or panicked, a context that ended, or a
// write that takes more than [MaxSteps], of which the error is a [*budget.TooLarge].
func (j *Judge) Review(ctx context.Context, m *mesh.Mesh, w Write) (out Outcome, err error) {
	steps := budget.New(ctx, limitOf(w.Request.Operation))
	m = m.Bounded(steps)
	err = within(&out.Ref, func() error { return j.review(ctx, m, steps, w, &out) })
	if err != nil {
		out = Outcome{Ref: out.Ref}
	} else if ref := out.Ref; w.Request.DryRun && out.Denied() {
		// Where nobody can say what else would have to be there, the denial stands.
		_ = within(&ref, func() error { return j.supposing(ctx, m, w, &out) })
	}
	out.Steps = steps.Spent()
	return out, err
}

// review judges one write. The steps pay for fixes as well; without any no fix is
// looked for.
func (j *Judge) review(ctx context.Context, m *mesh.Mesh, steps *budget.Budget, w Write, out *Outcome) error {
	spendToRead(m, w)
	w = w.asEnd()
	raw := w.Object
	if w.Request.Operation == "DELETE" {
		raw = w.OldObject
	}
	subject, err := mesh.Decode(raw)
	if errors.Is(err, mesh.ErrUnknownKind) {
		if w.Request.Operation != "UPDATE" {
			return nil
		}
		// What the model held before the write, a mesh configuration, and does not
		// after it is gone.
		w.Request.Operation, w.Object = "DELETE", nil
		return j.review(ctx, m, steps, w, out)
	}
	if err != nil {
		return &InputError{fmt.Errorf("decoding the object: %w", err)}
	}
	out.Ref, out.Known = subject.Metadata().Ref, true
	mode := modeOf(m, subject)
	judging := j.Rules
	if mode == modeOff {
		if judging = always(j.Rules, out.Ref.Kind); len(judging) == 0 {
			return nil
		}
	}
	if err := mesh.CheckWords(subject, raw); err != nil {
		stored := m.Get(out.Ref)
		if w.Request.Operation != "DELETE" || stored == nil {
			return &InputError{fmt.Errorf("%s is not judged: %w", mesh.Short(out.Ref.String()), err)}
		}
		// It was stored before there were limits, and has to go some day: what goes
		// is what the mesh holds, whatever the review says.
		subject = stored
	}

	var old mesh.Object
	if w.Request.Operation == "UPDATE" {
		// An old object that cannot be read counts as innocent and absent:
		// otherwise nobody could repair it.
		if o, err := mesh.Decode(w.OldObject); err == nil && o.Metadata().Ref == out.Ref && mesh.CheckWords(o, w.OldObject) == nil {
			old = fate(m, o, w.OldObject)
		}
	}
	subject = fate(m, subject, w.Object)
	// A write that changes nothing that counts, or is for warnings only, is judged
	// by as much as there is room for.
	m.Spend(len(w.OldObject) / bytesPerStep) // compared
	strict := mode == modeEnforce && bounded(m.Settings(), subject, w.Request.Operation) &&
		(old == nil || !sameObject(subject, old, w.Object, w.OldObject))
	p, err := newPass(ctx, m, w, subject, old, strict)
	if err != nil {
		return fmt.Errorf("could not judge: %w", err)
	}
	p.Raw, p.OldRaw = raw, w.OldObject
	p.Written = func(ref mesh.Ref) []byte {
		if ref == out.Ref {
			return raw
		}
		return nil
	}
	var fixes *mender
	if steps != nil && !j.unmended {
		fixes = &mender{judge: j, ctx: ctx, steps: steps, write: w, pass: p}
		p.Mends, p.Mendable = fixes.mends, fixes.room
	}
	out.Paths, out.Companions = p.Paths, p.Companions

	findings, err := rules.Run(ctx, judging, p)
	if err != nil {
		return fmt.Errorf("could not judge: %w", err)
	}
	if old != nil && (Outcome{Findings: findings}).Denied() {
		findings, err = j.forgive(ctx, m, w, old, p, findings)
		if err != nil {
			return fmt.Errorf("could not judge the object before the update: %w", err)
		}
	}
	fixes.vouch(findings)
	oneEach(findings, raw)
	if mode == modeWarn {
		soften(findings, softened(j.Rules))
	}
	if w.Request.Operation == "CREATE" {
		soften(findings, opensNothing(subject))
	}
	rules.Sort(findings)
	out.Findings = rules.OneCause(findings)
	return nil
}

// opensNothing reports of a mesh configuration which findings are only warnings
// where it is new: without it istiod has Istio's defaults, which are open, and no
// pod is of a new revision yet. What istiod does not take is refused in any case.
func opensNothing(o mesh.Object) func(rules.Finding) bool {
	_, ok := o.(*mesh.IstioConfig)
	return func(f rules.Finding) bool { return ok && f.Rule != "mesh-config" }
}

// bounded reports whether a write is refused that bears on more egress points than
// one is judged by: what is beyond the bound would pass unseen. What is new is
// bounded where it may do something else to each point; what takes away from an
// object that a tenant's namespace has is bounded in any case. The platform's
// routes, Sidecars and gateways may be for everything, and its objects may go; rule
// unjudged-points says so then.
func bounded(s mesh.Settings, o mesh.Object, operation string) bool {
	tenant := !s.Platform(o.Metadata().Namespace)
	switch o.(type) {
	case *mesh.ServiceEntry, *mesh.Route, *mesh.WorkloadEntry:
		return tenant || operation != "DELETE"
	case *mesh.VirtualService, *mesh.Sidecar:
		return tenant
	case *mesh.DestinationRule, *mesh.Gateway:
		return tenant && operation != "CREATE"
	default:
		return false
	}
}

// refusesFull reports whether a change is refused, like a new object, by what the
// object bears on after it: one of these kinds says of each point what it is, and
// not only how to get there.
func refusesFull(o mesh.Object) bool {
	switch o.(type) {
	case *mesh.ServiceEntry, *mesh.Route, *mesh.WorkloadEntry:
		return true
	default:
		return false
	}
}

// sameObject reports whether two versions of an object differ in nothing that
// their reader could take into account.
func sameObject(o, old mesh.Object, a, b []byte) bool {
	owners := func(raw []byte) []byte { return rawjson.Member(rawjson.Member(raw, "metadata"), "ownerReferences") }
	return o.Metadata().Deleting == old.Metadata().Deleting && bytes.Equal(owners(a), owners(b)) &&
		maps.Equal(o.Metadata().Labels, old.Metadata().Labels) && maps.Equal(o.Metadata().Annotations, old.Metadata().Annotations) &&
		bytes.Equal(rawjson.Member(a, "spec"), rawjson.Member(b, "spec"))
}

// forgive turns denials into warnings where the object before the update
// earned them already: an old sin never blocks an unrelated edit. Findings are
// compared by rule, message and what they are about, for the indices in a path move.
func (j *Judge) forgive(ctx context.Context, m *mesh.Mesh, w Write, old mesh.Object, judged rules.Pass, findings []rules.Finding) ([]rules.Finding, error) {
	p, err := newPass(ctx, m, w, old, nil, false)
	if err != nil {
		return nil, err
	}
	p.Raw = w.OldObject
	p.Standing = nil // what the old object rests on is there because of it
	before, err := rules.Run(ctx, j.Rules, p)
	if err != nil {
		return nil, err
	}
	sins := rules.SinsOf(before)
	if !rules.Complete(findings) {
		// What is not listed may be new: excuse before anything is left out.
		judged.Excused = sins
		return rules.Run(ctx, j.Rules, judged)
	}
	soften(findings, sins.Excuse)
	return findings, nil
}

// always are the rules that judge a kind whatever mode its namespace asks for.
func always(all []*rules.Rule, kind string) []*rules.Rule {
	var out []*rules.Rule
	for _, r := range all {
		if r.Always && r.Judges(kind) {
			out = append(out, r)
		}
	}
	return out
}

// softened reports whether a finding is only a warning in a namespace that asks
// for warnings.
func softened(all []*rules.Rule) func(rules.Finding) bool {
	return func(f rules.Finding) bool {
		return !slices.ContainsFunc(all, func(r *rules.Rule) bool { return r.Always && r.Name == f.Rule })
	}
}

// soften makes warnings of those denials.
func soften(findings []rules.Finding, which func(rules.Finding) bool) {
	for i, f := range findings {
		if f.Severity == rules.Deny && which(f) {
			findings[i].Severity = rules.Warn
		}
	}
}

// mode is what a namespace asks of the judge, by [mesh.ModeLabel].
type mode int

const (
	modeEnforce mode = iota
	modeWarn
	modeOff
)

// modeOf reads the label of the subject's namespace. What is not a mode is no
// permission: a misspelt label enforces. A Namespace is judged by the labels
// that it has before the write, or it could excuse itself.
func modeOf(m *mesh.Mesh, subject mesh.Object) mode {
	name := subject.Metadata().Namespace
	if ns, ok := subject.(*mesh.Namespace); ok {
		name = ns.Name
	}
	ns := m.Namespace(name)
	if ns == nil {
		return modeEnforce
	}
	switch ns.Labels[mesh.ModeLabel] {
	case "warn":
		return modeWarn
	case "off":
		return modeOff
	default:
		return modeEnforce
	}
}
