package sallyport.policies.no_wildcard_hosts_test

import data.sallyport.policies.no_wildcard_hosts

registering(host) := {"egress": [{
	"host": host,
	"wildcard": startswith(host, "*"),
	"registered": true,
	"path": "spec.hosts[0]",
}]}

test_wildcard if {
	found := no_wildcard_hosts.deny with input as registering("*.example.com")
	{f.path | some f in found} == {"spec.hosts[0]"}
}

test_exact if {
	found := no_wildcard_hosts.deny with input as registering("api.example.com")
	found == set()
}

test_allowed if {
	found := no_wildcard_hosts.deny with input as registering("*.example.com")
		with data.sallyport.no_wildcard_hosts.allowed as ["*.example.com"]
	found == set()
}

test_allowed_is_exact if {
	found := no_wildcard_hosts.deny with input as registering("*.api.example.com")
		with data.sallyport.no_wildcard_hosts.allowed as ["*.example.com"]
	count(found) == 1
}
