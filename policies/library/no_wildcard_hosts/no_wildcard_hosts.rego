# METADATA
# title: no wildcard hosts
# description: |
#   A wildcard opens a whole domain, with every name that somebody registers below it tomorrow. Hosts are
#   registered one by one, unless the list has the wildcard.
# custom:
#   severity: deny
#   parameters:
#     allowed:
#       type: array
#       items: {type: string, pattern: '^\*(\.[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)?$'}
#       default: []
#       description: wildcards that may be registered, exactly as written here
package sallyport.policies.no_wildcard_hosts

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	point.wildcard
	not point.host in data.sallyport.no_wildcard_hosts.allowed
	msg := sprintf("host %q opens a whole domain", [point.host])
	fix := "name the hosts one by one"
}
