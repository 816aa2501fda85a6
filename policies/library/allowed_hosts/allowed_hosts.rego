# METADATA
# title: external hosts are allowed per namespace
# description: |
#   A ServiceEntry may register only hosts that the list grants to its namespace, by name or by label.
#   A grant of "*.example.com" covers every name below example.com, "*" covers every host; a registered
#   wildcard needs a grant at least as wide. A grant may end on a date, and names the ticket that decided it.
# custom:
#   severity: deny
#   parameters:
#     hosts:
#       type: object
#       description: for each host, exact or with a leading "*.", in small letters, the grants that allow it
#       propertyNames: {pattern: '^(\*|(\*\.)?[a-z0-9_:]([a-z0-9_.:-]*[a-z0-9_:])?)$'}
#       additionalProperties:
#         type: array
#         items:
#           type: object
#           additionalProperties: false
#           properties:
#             namespaces: {type: array, items: {type: string}, description: "names; \"*\" stands for every namespace"}
#             labels: {type: object, additionalProperties: {type: string}, description: labels that the namespace must have}
#             expires: {type: string, pattern: '^\d{4}-\d{2}-\d{2}$', description: the last day of the grant}
#             ticket: {type: string}
#           anyOf: [{required: [namespaces]}, {required: [labels]}]
package sallyport.policies.allowed_hosts

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	granted := grants(point.patterns)
	every grant in granted {
		expired(grant)
	}
	[msg, fix] := refusal(point.host, granted)
}

# The grants to this namespace, for the host or for a wildcard that covers it.
grants(patterns) := {grant |
	hosts := data.sallyport.allowed_hosts.hosts
	some pattern in patterns
	some grant in hosts[pattern]
	named(grant)
	labelled(grant)
}

named(grant) if input.namespace.name in grant.namespaces

named(grant) if "*" in grant.namespaces

named(grant) if not grant.namespaces

labelled(grant) if not grant.labels

labelled(grant) if {
	every key, value in grant.labels {
		input.namespace.labels[key] == value
	}
}

expired(grant) if substring(input.time, 0, 10) > grant.expires

refusal(host, granted) := [msg, fix] if {
	count(granted) == 0
	msg := sprintf("host %q is not allowed in namespace %q", [host, input.namespace.name])
	fix := "use a host that is allowed here, or ask the platform team to add this one to policies.parameters.allowed-hosts.hosts"
}

# Of several grants the one that ended last is named.
refusal(host, granted) := [msg, fix] if {
	[expires, ticket] := max([[grant.expires, object.get(grant, "ticket", "")] | some grant in granted])
	msg := sprintf("host %q was allowed in namespace %q until %s%s", [host, input.namespace.name, expires, because(ticket)])
	fix := "remove the host, or have the grant renewed in policies.parameters.allowed-hosts.hosts"
}

because("") := ""

because(ticket) := sprintf(" (%s)", [ticket]) if ticket != ""
