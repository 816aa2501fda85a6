# METADATA
# title: hosts of high-risk categories
# description: |
#   Paste sites, file drops, tunnels, dynamic DNS, request catchers and open proxies are how data leaves and
#   how control comes in. The categories and their hosts are in data.yaml beside the module; configured
#   categories replace them.
# custom:
#   severity: deny
#   parameters:
#     categories:
#       type: object
#       additionalProperties: {type: array, items: {type: string}}
#       description: for each category, its domains; a domain stands for itself and every name below it
#     allowed:
#       type: array
#       items: {type: string}
#       default: []
#       description: hosts that are allowed nevertheless, exact or with a leading "*."
package sallyport.policies.high_risk_hosts

import data.sallyport.lib.hosts

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	every pattern in hosts.patterns(point.host) {
		not pattern in data.sallyport.high_risk_hosts.allowed
	}
	name := trim_prefix(point.host, "*.")
	some category, domains in data.sallyport.high_risk_hosts.categories
	some domain in domains
	listed(name, domain)
	msg := sprintf("host %q is in the category %s (%s)", [point.host, category, domain])
	fix := "use a service that the organisation runs or has a contract with"
}

listed(name, domain) if name == domain

listed(name, domain) if endswith(name, concat("", [".", domain]))
