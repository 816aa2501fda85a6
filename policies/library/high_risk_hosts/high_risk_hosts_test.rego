package sallyport.policies.high_risk_hosts_test

import data.sallyport.policies.high_risk_hosts

found(host, allowed) := messages if {
	findings := high_risk_hosts.deny with input as {"egress": [{
		"host": host,
		"registered": true,
		"path": "spec.hosts[0]",
	}]}
		with data.sallyport.high_risk_hosts.allowed as allowed
	messages := {f.msg | some f in findings}
}

test_domain if found("pastebin.com", []) == {"host \"pastebin.com\" is in the category paste-sites (pastebin.com)"}

test_below if found("abc.ngrok.io", []) == {"host \"abc.ngrok.io\" is in the category tunnels (ngrok.io)"}

test_wildcard if count(found("*.duckdns.org", [])) == 1

test_only_similar if found("mypastebin.com", []) == set()

test_other if found("api.stripe.com", []) == set()

test_allowed if found("abc.ngrok.io", ["abc.ngrok.io"]) == set()
