# Functions over IP addresses that policies share.
package sallyport.lib.addresses

# literal(host) holds for an IPv4 or IPv6 address.
literal(host) if regex.match(`^\d+\.\d+\.\d+\.\d+$`, host)

literal(host) if contains(host, ":")

# cidr(address) is the address as a range; an address that is a range already stays as it is.
cidr(address) := address if contains(address, "/")

cidr(address) := sprintf("%s/32", [address]) if {
	not contains(address, "/")
	not contains(address, ":")
	literal(address)
}

cidr(address) := sprintf("%s/128", [address]) if {
	not contains(address, "/")
	contains(address, ":")
}

# within(address, ranges) are the ranges that share an address with it; none where it is a name.
within(address, ranges) := {range |
	some range in ranges
	contains(range, ":") == contains(address, ":")
	net.cidr_intersects(range, cidr(address))
}
