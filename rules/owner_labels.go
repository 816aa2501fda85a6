package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var ownerLabels = &Rule{
	Name: "owner-labels",
	Doc: `no namespace makes itself the owner of a host

Where the configuration lets namespaces own hosts by their labels
(ownership.owners.namespaceSelector), whoever may edit a Namespace could take
what it likes. Only the users and groups that the configuration names may give a
Namespace such labels, when it is created as well, whatever mode the namespace
asks for. Labels that are there already may stay. In a file, of which nobody
knows who will apply it, that is a warning.`,
	Severity: Deny,
	Remedy:   "Ask your platform team to set the labels.",
	Kinds:    []string{"Namespace"},
	Always:   true,
	Check: On(func(p *Pass, ns *mesh.Namespace) {
		o := p.After.Settings().Ownership
		var before map[string]string
		if p.Old != nil {
			before = p.Old.Metadata().Labels
		}
		labels := o.Bestowed(before, ns.Labels)
		if len(labels) == 0 || o.Trusted().Has(p.Request.User, p.Request.Groups) {
			return
		}
		keys := slices.Sorted(maps.Keys(labels))
		for i, k := range keys {
			keys[i] = fmt.Sprintf("%s=%s", k, labels[k])
		}
		f := Finding{
			Path: "metadata.labels",
			Told: told.F("by %s namespace %s would own hosts, and not everybody may say so", told.Plain(strings.Join(keys, ", ")), told.Namespace(ns.Name)),
		}
		if p.Request.User == "" {
			f.Severity = Warn
		}
		p.Report(f)
	}),
}
