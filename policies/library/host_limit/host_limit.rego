# METADATA
# title: a limit on the hosts of a namespace
# description: |
#   A namespace registers no more external hosts than its limit. Every host costs listeners and clusters in
#   every sidecar that sees it; hundreds of them in one namespace are usually one wildcard written out.
# custom:
#   severity: deny
#   parameters:
#     limit:
#       type: integer
#       minimum: 0
#       default: 50
#       description: how many hosts a namespace may register
#     namespaces:
#       type: object
#       additionalProperties: {type: integer, minimum: 0}
#       default: {}
#       description: limits of single namespaces, by name
package sallyport.policies.host_limit

deny contains {"msg": msg, "path": "spec.hosts", "fix": fix} if {
	input.namespace.hosts > limit
	some point in input.egress
	point.new
	msg := sprintf("namespace %q would register %d hosts; its limit is %d", [input.namespace.name, input.namespace.hosts, limit])
	fix := "remove hosts that are no longer used, or ask for a higher limit"
}

limit := object.get(data.sallyport.host_limit.namespaces, input.namespace.name, data.sallyport.host_limit.limit)
