package rules

import "github.com/sallyport-io/sallyport/internal/mesh"

var contradictingClaim = &Rule{
	Name: "contradicting-claim",
	Doc: `what entries ask for one host does not contradict itself

All namespaces that register a host share its way through the gateway. Two that
ask for different things of a port (a protocol, another port behind it, TLS that
the gateway originates, a client certificate) cannot both be served, nor can two
TCP hosts that a sidecar cannot tell apart. Whoever comes second is told so here,
and not afterwards by an entry that stays closed; so is who changes an entry that
stands and thereby comes into the way of another.

The platform's entries, and those of the host's owners in the configuration, go
before the others: they take the place of what contradicts them. The entry that
is displaced is closed, and its status says why.`,
	Severity: Deny,
	Remedy:   "Ask your platform team about the host.",
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if p.Reserved {
			return
		}
		for _, r := range p.Refusals {
			switch {
			case r.With == (mesh.Ref{}): // it would not be served alone either
			case r.Entry == se.Ref:
				p.Report(Finding{Path: r.Path, Told: r.Told, ToldFix: r.ToldFix})
			case r.With != se.Ref, p.Batch[r.Entry]: // of the objects of one batch, the one that comes second is told
			case r.Outranked:
				p.Report(Finding{Severity: Warn, Path: r.ReversePath, Told: r.ToldReverse + "; that entry is closed, for this one goes before it"})
			default:
				p.Report(Finding{Path: r.ReversePath, Told: r.ToldReverse, ToldFix: r.ToldFix})
			}
		}
	}),
}
