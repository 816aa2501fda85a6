package rules

import "github.com/sallyport-io/sallyport/internal/mesh"

var definitionInUse = &Rule{
	Name: "definition-in-use",
	Doc: `a definition goes after its objects

With a CustomResourceDefinition Kubernetes deletes every object of its kind, in
every namespace, and asks nobody about any of them. Of a kind that decides where
traffic goes, the objects have to be deleted first, each of which is judged.`,
	Severity:   Deny,
	Operations: []string{"DELETE"},
	Kinds:      []string{"CustomResourceDefinition"},
	Remedy:     "Delete the objects of the kind first, in an order that is admitted; to remove Istio from the cluster, remove Sallyport before it.",
	Check: On(func(p *Pass, d *mesh.Definition) {
		kind, _, ok := mesh.KindOf(d.Group, d.Kind)
		if !ok {
			return
		}
		for range p.LiveBefore.All(kind) {
			p.Reportf("spec.names.kind", "objects of this kind exist, and would be deleted without being judged")
			return
		}
	}),
}
