# METADATA
# title: hosts of high-risk categories
# description: |
#   Paste sites, file drops, tunnels, dynamic DNS, request catchers and open proxies are how data leaves and
#   how control comes in. The domains and their categories are in data.yaml beside the module; configured
#   domains replace them.
# custom:
#   severity: deny
#   parameters:
#     domains:
#       type: object
#       additionalProperties: {type: string}
#       description: for each domain its category; a domain stands for itself and every name below it
#       propertyNames: {pattern: '^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$'}
#     allowed:
#       type: array
#       items: {type: string, pattern: '^(\*|(\*\.)?[a-z0-9_:]([a-z0-9_.:-]*[a-z0-9_:])?)$'}
#       default: []
#       description: hosts that are allowed nevertheless, exact or with a leading "*."
package sallyport.policies.high_risk_hosts

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	domains := data.sallyport.high_risk_hosts.domains
	some point in input.egress
	point.registered
	some pattern in point.patterns
	domain := trim_prefix(pattern, "*.")
	category := domains[domain]
	not permitted(point.patterns)
	msg := sprintf("host %q is in the category %s (%s)", [point.host, category, domain])
	fix := "use a service that the organisation runs or has a contract with"
}

permitted(patterns) if {
	some pattern in data.sallyport.high_risk_hosts.allowed
	pattern in patterns
}
