package sallyport.policies.IDENTIFIER_test

import data.sallyport.policies.IDENTIFIER

found(host) := messages if {
	findings := IDENTIFIER.deny with input as {"egress": [{
		"host": host,
		"registered": true,
		"path": "spec.hosts[0]",
	}]}
		with data.sallyport.IDENTIFIER.suffixes as [".example.com"]
	messages := {f.msg | some f in findings}
}

test_permitted if found("api.example.com") == set()

test_other if found("api.example.org") == {"host \"api.example.org\" ends in none of .example.com"}
