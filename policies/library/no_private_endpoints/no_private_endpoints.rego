# METADATA
# title: no literal addresses and no private endpoints
# description: |
#   A host that is an IP address has no name that could be checked, and an endpoint or address in a private,
#   link-local, loopback or metadata range turns the egress gateway into a door to what lies behind it. So does
#   a name that a cloud's metadata service answers to. Endpoints that an entry selects are judged as
#   WorkloadEntries.
# custom:
#   severity: deny
#   kinds: [ServiceEntry, WorkloadEntry]
#   parameters:
#     ranges:
#       type: array
#       items: {type: string, pattern: '^[0-9a-fA-F.:]+/[0-9]+$'}
#       description: the ranges, in CIDR notation, in which no address may lie
#       default:
#       - 0.0.0.0/8
#       - 10.0.0.0/8
#       - 100.64.0.0/10
#       - 127.0.0.0/8
#       - 168.63.129.16/32
#       - 169.254.0.0/16
#       - 172.16.0.0/12
#       - 192.0.0.0/24
#       - 192.168.0.0/16
#       - 198.18.0.0/15
#       - 224.0.0.0/4
#       - 240.0.0.0/4
#       - "::/127"
#       - 64:ff9b::/96
#       - 64:ff9b:1::/48
#       - fc00::/7
#       - fe80::/10
#       - ff00::/8
#     names:
#       type: array
#       items: {type: string, pattern: '^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$'}
#       description: names that no host and no endpoint may have, nor one below them
#       default:
#       - localhost
#       - metadata
#       - instance-data
#       - metadata.google.internal
#       - metadata.goog
#       - instance-data.ec2.internal
#       - metadata.azure.internal
#       - metadata.tencentyun.com
#     allowed:
#       type: array
#       items: {type: string, pattern: '^[0-9a-fA-F.:]+/[0-9]+$'}
#       default: []
#       description: ranges, in CIDR notation, in which addresses may lie nevertheless
package sallyport.policies.no_private_endpoints

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	point.literal
	msg := sprintf("host %q is an IP address", [point.host])
	fix := "register the host by its name"
}

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	forbidden(point.host)
	msg := sprintf("%q is the name of what lies inside", [point.host])
	fix := "register hosts outside only"
}

deny contains {"msg": msg, "path": address.path, "fix": fix} if {
	some address in listed
	not address.literal
	forbidden(lower(trim_suffix(address.address, ".")))
	msg := sprintf("%q is the name of what lies inside", [address.address])
	fix := "give public addresses, or leave them out and resolve the host by DNS"
}

deny contains {"msg": msg, "path": path, "fix": fix} if {
	count(addresses) > 0
	some [i, path] in overlapping
	not path in permitted
	msg := sprintf("address %s lies in %s", [addresses[path], data.sallyport.no_private_endpoints.ranges[i]])
	fix := "give public addresses, or leave them out and resolve the host by DNS"
}

# What the object lists: an entry lists the same at every point that it registers.
listed := registered[0].addresses

listed := [{"address": address, "literal": literal(address), "path": "spec.address"}] if {
	input.object.kind == "WorkloadEntry"
	address := input.object.spec.address
}

registered := [point | some point in input.egress; point.registered]

default literal(_) := false

literal(address) if net.cidr_is_valid(concat("", [address, "/32"]))

# The addresses, and ranges of addresses, by path.
addresses := {address.path: address.address | some address in listed; address.literal}

# The pairs of a forbidden range and an address or range that have an address in common. Of two ranges that do, one
# holds the other.
overlapping := net.cidr_contains_matches(data.sallyport.no_private_endpoints.ranges, addresses) | {[i, path] |
	some [path, i] in net.cidr_contains_matches(wide, data.sallyport.no_private_endpoints.ranges)
}

wide := {path: address | some path, address in addresses; contains(address, "/")}

# What lies completely in a range that is allowed.
permitted := {path | some [_, path] in net.cidr_contains_matches(data.sallyport.no_private_endpoints.allowed, addresses)}

# The first line is quick, and true of mymetadata.goog as well; the second is exact.
forbidden(host) if {
	strings.any_suffix_match(host, data.sallyport.no_private_endpoints.names)
	some name in data.sallyport.no_private_endpoints.names
	endswith(concat("", [".", host]), concat("", [".", name]))
}
