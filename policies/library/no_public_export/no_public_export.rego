# METADATA
# title: no export to other namespaces
# description: |
#   A tenant's ServiceEntry is seen by its own namespace and no other: exportTo is ["."], which Sallyport gives
#   to an entry without it where it keeps the companions. Where it is absent for good Istio shows the hosts to
#   everybody. Namespaces of the platform, and those listed, may export wider.
# custom:
#   severity: deny
#   parameters:
#     namespaces:
#       type: array
#       items: {type: string}
#       default: []
#       description: namespaces that may export wider, besides those of the platform
package sallyport.policies.no_public_export

deny contains {"msg": msg, "path": path, "fix": fix} if {
	not input.namespace.platform
	not input.namespace.name in data.sallyport.no_public_export.namespaces
	some i, target in input.object.spec.exportTo
	not target in {".", "~", input.namespace.name}
	path := sprintf("spec.exportTo[%d]", [i])
	msg := sprintf("the hosts would be visible to %s", [audience(target)])
	fix := "exportTo: [\".\"]"
}

deny contains {"msg": msg, "path": path, "fix": fix} if {
	not input.namespace.platform
	not input.namespace.name in data.sallyport.no_public_export.namespaces
	target := input.object.metadata.annotations["sallyport.io/export-to"]
	not target in {".", input.namespace.name}
	path := "metadata.annotations[\"sallyport.io/export-to\"]"
	msg := sprintf("the hosts would be visible to %s", [audience(target)])
	fix := "remove the annotation"
}

deny contains {"msg": msg, "path": "spec.exportTo", "fix": fix} if {
	not input.namespace.platform
	not input.namespace.name in data.sallyport.no_public_export.namespaces
	count(object.get(input.object.spec, "exportTo", [])) == 0
	msg := "without exportTo the hosts would be visible to every namespace"
	fix := "exportTo: [\".\"]"
}

audience("*") := "every namespace"

audience(target) := sprintf("namespace %q", [target]) if target != "*"
