# METADATA
# title: NAME, in one line
# description: |
#   What the policy asks for, and why. Both are printed by "sallyport policy docs".
# custom:
#   severity: deny
#   kinds: [ServiceEntry]
#   parameters:
#     suffixes:
#       type: array
#       items: {type: string}
#       default: [.example.com]
#       description: the ends that a host may have
package sallyport.policies.IDENTIFIER

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	not permitted(point.host)
	msg := sprintf("host %q ends in none of %s", [point.host, concat(", ", data.sallyport.IDENTIFIER.suffixes)])
	fix := "use a host that ends so, or ask the platform team"
}

permitted(host) if {
	some suffix in data.sallyport.IDENTIFIER.suffixes
	endswith(host, suffix)
}
