# Functions over host names that policies share.
package sallyport.lib.hosts

# patterns(host) is the host, and every wildcard that covers it: "*.b.c", "*.c" and "*" for "a.b.c".
patterns(host) := array.concat([host], wildcards) if {
	labels := split(host, ".")
	count(labels) > 1
	wildcards := array.concat(
		[concat(".", array.concat(["*"], array.slice(labels, i, count(labels)))) | some i in numbers.range(1, count(labels) - 1)],
		["*"],
	)
}

patterns(host) := [host, "*"] if not contains(host, ".")
