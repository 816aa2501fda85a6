# METADATA
# title: no literal addresses and no private endpoints
# description: |
#   A host that is an IP address has no name that could be checked, and an endpoint or address in a private,
#   link-local, loopback or metadata range turns the egress gateway into a door to what lies behind it.
# custom:
#   severity: deny
#   parameters:
#     ranges:
#       type: array
#       items: {type: string}
#       description: the ranges, in CIDR notation, in which no address may lie
#       default:
#       - 0.0.0.0/8
#       - 10.0.0.0/8
#       - 100.64.0.0/10
#       - 127.0.0.0/8
#       - 169.254.0.0/16
#       - 172.16.0.0/12
#       - 192.168.0.0/16
#       - 224.0.0.0/4
#       - "::1/128"
#       - fc00::/7
#       - fe80::/10
#       - ff00::/8
#     allowed:
#       type: array
#       items: {type: string}
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

deny contains {"msg": msg, "path": path, "fix": fix} if {
	count(addresses) > 0
	some [i, path] in overlapping
	not path in permitted
	msg := sprintf("address %s lies in %s", [addresses[path], data.sallyport.no_private_endpoints.ranges[i]])
	fix := "give public addresses, or leave them out and resolve the host by DNS"
}

# The addresses, and ranges of addresses, of the entry by path. They are the same at every point that it registers.
addresses := {address.path: address.address |
	points := [point | some point in input.egress; point.registered]
	some address in points[0].addresses
	address.literal
}

# The pairs of a forbidden range and an address or range that have an address in common. Of two ranges that do, one
# holds the other.
overlapping := net.cidr_contains_matches(data.sallyport.no_private_endpoints.ranges, addresses) | {[i, path] |
	some [path, i] in net.cidr_contains_matches(wide, data.sallyport.no_private_endpoints.ranges)
}

wide := {path: address | some path, address in addresses; contains(address, "/")}

# What lies completely in a range that is allowed.
permitted := {path | some [_, path] in net.cidr_contains_matches(data.sallyport.no_private_endpoints.allowed, addresses)}
