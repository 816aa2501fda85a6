package rules

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Pass is one write under judgement: the subject and the world around it.
// Rules read it and call Report; nothing else is theirs to do.
type Pass struct {
	Request Request
	// Subject is the object as it would stand after the write; for a DELETE
	// it is the object that goes.
	Subject mesh.Object
	// Old is the object before an UPDATE, nil otherwise.
	Old mesh.Object
	// Raw and OldRaw are the JSON of Subject and Old.
	Raw, OldRaw []byte

	// Before and After are the mesh without and with the write, both with
	// held entries open and with the companions that Sallyport would keep:
	// what the mesh will come to. Before is computed when first asked for.
	Before func() *mesh.Mesh
	After  *mesh.Mesh
	// Live is the mesh with the write as it stands at that moment: held
	// entries are closed, and only those companions exist that exist.
	Live *mesh.Mesh
	// LiveBefore is the same before the write.
	LiveBefore *mesh.Mesh
	// Standing is Live with no more of the companions' routes for the hosts of
	// an entry under judgement than are wanted without the write as well: others
	// may be gone when it is seen. It is computed when first asked for, and nil
	// where the subject is not an entry that is seen at once.
	Standing func() *mesh.Mesh

	// Companions are the objects that Sallyport would keep for the subject's
	// hosts, and Refusals what it cannot serve: of a DestinationRule those of all
	// hosts that it bears on.
	Companions []mesh.Object
	Refusals   []Refusal
	// Reserved is true where the subject's name is one that only Sallyport
	// itself may write.
	Reserved bool
	// Injected is true where the subject is an entry for which Sallyport keeps
	// companions.
	Injected bool

	// Paths are the paths, in After, of every egress point that the write can
	// change, for every client that can differ; sorted by host, port, client.
	// Those that are via may lack what explains them: see Explained.
	Paths []mesh.Path
	// Explain returns a path with what explains it; nil where Paths have it.
	Explain func(mesh.Path) mesh.Path

	// Batch is the set of all objects that are judged together with the
	// subject, which then all count as new; nil for a single write.
	Batch map[mesh.Ref]bool

	// Written returns the JSON of an object of those that are judged together, as
	// somebody has written it, and nil for one that is only stored: the model has
	// not all of that.
	Written func(mesh.Ref) []byte
	// Mends reports whether the objects, applied in this order, are admitted and lead a
	// canonical host through a gateway for every client that reaches it directly,
	// and whether every other path stays what it is. With shuts it is enough that
	// nobody reaches the host directly any more. A nil Mends knows of none that do:
	// what nobody has tried is not offered as a fix.
	Mends func(host string, fix []Applied, shuts bool) bool
	// Mendable reports whether there is room to look for a fix of one more host: Mends
	// says no of any for which there is none.
	Mendable func(host string) bool
	// Fixes keeps the fixes that were found, for all writes for which Written says
	// the same; a nil one is that of the write alone.
	Fixes *Memo

	// Excused are denials that are only warned of, as the object before the
	// write earned them already.
	Excused Sins

	// Stored is true where the subject stands in a cluster and is looked at, not written.
	Stored bool

	// Memo is shared by all rules that judge the write; who builds the Pass sets it to new(Memo).
	Memo *Memo

	report     func(Finding)
	wholes     int // of the findings have asked for a whole object
	wholeBytes int // of the objects that were printed for them
	rule       *Rule
}

// Request says who writes and how.
type Request struct {
	Operation string // CREATE, UPDATE or DELETE
	DryRun    bool
	User      string // empty where the write is read from a file
	Groups    []string
	// Foreground is true for a DELETE after which the object stays until the garbage
	// collector has deleted others that it owns.
	Foreground bool
	// Time is the time of the request, RFC 3339: rules have no clock.
	Time string
}

// Applied is an object of a fix. Raw, its JSON, is nil where no more is changed than
// its labels or annotations.
type Applied struct {
	Object mesh.Object
	Raw    []byte
}

// Refusal says why an entry, or one field of it, gets no companions.
type Refusal struct {
	Entry   mesh.Ref
	Path    string // JSON path in the entry
	Message string
	Fix     string

	// With is the claim on the host that this one contradicts, and that goes
	// before it: the zero Ref where there is none.
	With mesh.Ref
	// Outranked is true where With goes before it whichever came first.
	Outranked bool
	// Reverse is the Message, and ReversePath the Path, from where With stands.
	Reverse, ReversePath string

	// Told, ToldFix and ToldReverse are the texts with their names marked; see [Finding].
	Told, ToldFix, ToldReverse told.Text
}

// Report records a finding. Rule and Severity are filled in where empty, and
// the Fix of a denial.
func (p *Pass) Report(f Finding) {
	if f.Rule == "" {
		f.Rule = p.rule.Name
	}
	if f.Severity == "" {
		f.Severity = p.rule.Severity
	}
	if f.Severity == Deny && f.Fix == "" && f.ToldFix == "" && p.rule.Remedy != "" {
		f.ToldFix = told.Plain(p.rule.Remedy + "\n")
	}
	if f.Message == "" {
		f.Message = f.Told.String()
	}
	if f.Fix == "" {
		f.Fix = f.ToldFix.String()
	}
	p.Spend(findingSteps + (len(f.Path)+len(f.Message)+len(f.Fix))>>3)
	p.report(f)
}

// Reportf records a finding of the rule's own severity, without a fix. What the
// arguments name is told to those who may know it; see [told.F].
func (p *Pass) Reportf(path string, format told.Text, args ...any) {
	p.Report(Finding{Path: path, Told: told.F(format, args...)})
}

// What a rule's work costs beside the loops that count each turn as a step.
const (
	findingSteps     = 40  // to make a finding of what was found, and to sort it
	lookupSteps      = 10  // to look something up in the mesh
	hostSteps        = 3   // to read a host, or an address, and to say where it stands
	destinationSteps = 15  // to make a destination of a rule ready for all rules
	bytesPerStep     = 3   // of JSON that is read
	fixSteps         = 500 // to write the objects that lead a host through the gateway
)

// canonical is [mesh.CanonicalHost] for one host of many.
func (p *Pass) canonical(host string) string {
	p.Spend(hostSteps + len(host)>>3)
	return mesh.CanonicalHost(host)
}

// Spend takes steps from the budget of the review; see [budget.Budget.Spend]. Every
// loop of a rule whose length a write, or the objects that are stored, can choose
// does so.
func (p *Pass) Spend(steps int) {
	if p.After != nil {
		p.After.Spend(steps)
	}
}

// spec is the JSON of the subject's spec.
func (p *Pass) spec() string { return string(rawjson.Member(p.Raw, "spec")) }

// Deleting reports whether the write removes the subject. It is of interest to the
// rules alone that declare DELETE among their operations.
func (p *Pass) Deleting() bool { return p.Request.Operation == "DELETE" }

// Platform reports whether the subject lives in a platform namespace.
func (p *Pass) Platform() bool {
	return p.After.Settings().Platform(p.Subject.Metadata().Namespace)
}

// Explained are Paths, each with what explains it.
func (p *Pass) Explained() []mesh.Path {
	if p.Explain == nil {
		return p.Paths
	}
	explained := make([]mesh.Path, len(p.Paths))
	for i, path := range p.Paths {
		if path.Verdict == mesh.Via {
			path = p.Explain(path)
		}
		explained[i] = path
	}
	return explained
}

// Held reports whether the entry is one that Sallyport holds back at that
// moment: no sidecar sees it until its paths are via.
func (p *Pass) Held(entry mesh.Ref) bool {
	se, ok := p.Live.Get(entry).(*mesh.ServiceEntry)
	return ok && se.Held()
}

// Without returns the mesh as it would be if the subject did not exist, and
// all else did.
func (p *Pass) Without() *mesh.Mesh {
	if p.Deleting() {
		return p.After
	}
	return p.After.Without(p.Subject.Metadata().Ref)
}

// WarnInPlatform is Warn for a write of the platform, and else the rule's own
// severity: who owns the installation is told, not stopped.
func (p *Pass) WarnInPlatform() Severity {
	if p.Platform() {
		return Warn
	}
	return p.rule.Severity
}
