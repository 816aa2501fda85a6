package sallyport.policies.host_limit_test

import data.sallyport.policies.host_limit

found(namespace, hosts, new) := findings if {
	findings := host_limit.deny with input as {
		"namespace": {"name": namespace, "hosts": hosts},
		"egress": [{"host": "api.example.com", "port": 443, "new": new}],
	}
		with data.sallyport.host_limit as {"limit": 2, "namespaces": {"big": 3}}
}

test_at_the_limit if found("shop", 2, true) == set()

test_above if count(found("shop", 3, true)) == 1

test_own_limit if found("big", 3, true) == set()

test_above_own_limit if count(found("big", 4, true)) == 1

test_nothing_new if found("shop", 3, false) == set()
