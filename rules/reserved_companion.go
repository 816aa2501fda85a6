package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var reservedCompanion = &Rule{
	Name: "reserved-companion",
	Doc: `what Sallyport keeps, nobody else writes

Sallyport's companions have names of their own: "sallyport-" and the hash of a
host. Somebody else's object of such a name would be taken for a companion, and a
change to one would hold until the next reconciliation. Only Sallyport's own
service account writes them. Where the object is read from a file, and nobody
knows who will write it, that is a warning; one that stands in a cluster with
Sallyport's label is Sallyport's own.`,
	Severity:   Deny,
	Kinds:      []string{"AuthorizationPolicy", "DestinationRule", "Gateway", "ServiceEntry", "VirtualService"},
	Operations: everyOperation,
	Check: func(_ context.Context, p *Pass) error {
		if !p.Reserved || p.Stored && p.Subject.Metadata().Labels[mesh.ManagedByLabel] == mesh.ManagedBy {
			return nil
		}
		f := Finding{
			Path:    "metadata.name",
			Told:    "the name is reserved for what Sallyport itself keeps beside ServiceEntries",
			ToldFix: "Choose another name; to change what Sallyport keeps, change the ServiceEntry.\n",
		}
		if p.Request.User == "" {
			f.Severity = Warn
		}
		p.Report(f)
		return nil
	},
}
