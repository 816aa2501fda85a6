package doctor

import (
	"maps"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var keptObjects = &Check{
	Name:  "kept-objects",
	Group: groupServer,
	Doc: `what stands in the cluster fits into the judge's memory

Sallyport holds the objects of the mesh in memory. What is written is bounded by
limits.objectBytes and limits.namespaceBytes (rule object-size); what was there
before is kept, however large, and may take the server past its limit of memory.`,
	Sources: []string{"../rules/README.md#object-size"},
	Check: func(e *Exam) {
		if !e.need(kinds("Namespace", "ServiceEntry", "VirtualService", "DestinationRule", "Gateway", "Sidecar")...) {
			return
		}
		limits, mark := e.Settings.Limits, e.mark()
		all, total := map[string]int{}, 0
		for _, kind := range mesh.Kinds() {
			if !mesh.Kept(kind) {
				continue
			}
			for o := range e.Mesh().All(kind) {
				meta := o.Metadata()
				if meta.Namespace == "" {
					continue
				}
				all[meta.Namespace] += meta.Size
				total += meta.Size
				if meta.Size > limits.OfObject() {
					e.fail(meta.Ref, "", "Split it into smaller objects, or raise limits.objectBytes in Sallyport's configuration and the server's limit of memory.",
						"%d bytes of labels, annotations and spec, more than the %d that one object may have", meta.Size, limits.OfObject())
				}
			}
		}
		for _, namespace := range slices.Sorted(maps.Keys(all)) {
			if all[namespace] > limits.OfNamespace() && !e.Settings.Platform(namespace) {
				e.fail(mesh.Ref{Kind: "Namespace", Name: namespace}, "", "Delete what is no longer needed, or raise limits.namespaceBytes in Sallyport's configuration and the server's limit of memory.",
					"its objects have %d bytes together, more than the %d that a namespace may have", all[namespace], limits.OfNamespace())
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s, %d KiB of labels, annotations and specs", count(len(all), "namespace"), (total+1023)>>10)
	},
}
