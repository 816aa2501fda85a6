# METADATA
# title: owner and purpose of an external host
# description: |
#   Whoever reads a ServiceEntry a year from now must find out whom to ask, and what the host is for: the
#   listed annotations are present, and match their pattern.
# custom:
#   severity: deny
#   parameters:
#     annotations:
#       type: object
#       additionalProperties: {type: string, format: regex}
#       description: for each annotation, the regular expression (RE2) that its whole value matches
#       default:
#         sallyport.io/owner: .+
#         sallyport.io/purpose: .+
package sallyport.policies.owner_annotations

deny contains {"msg": msg, "path": path, "fix": fix} if {
	given := object.get(input.object.metadata, "annotations", {})
	some key, pattern in data.sallyport.owner_annotations.annotations
	not given[key]
	path := "metadata.annotations"
	msg := sprintf("annotation %s is missing", [key])
	fix := sprintf("add the annotation %s; its value matches %s", [key, pattern])
}

deny contains {"msg": msg, "path": path, "fix": fix} if {
	given := object.get(input.object.metadata, "annotations", {})
	some key, pattern in data.sallyport.owner_annotations.annotations
	value := given[key]
	not regex.match(concat("", ["^(", pattern, ")$"]), value)
	path := sprintf("metadata.annotations[%q]", [key])
	msg := sprintf("annotation %s is %q, which does not match %s", [key, value, pattern])
	fix := "correct the value"
}
