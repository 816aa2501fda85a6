package sallyport.policies.high_risk_hosts_test

import data.sallyport.policies.high_risk_hosts

found(patterns, allowed) := messages if {
	findings := high_risk_hosts.deny with input as {"egress": [{
		"host": patterns[0],
		"patterns": patterns,
		"registered": true,
		"path": "spec.hosts[0]",
	}]}
		with data.sallyport.high_risk_hosts.allowed as allowed
	messages := {f.msg | some f in findings}
}

test_domain if found(["pastebin.com", "*.com", "*"], []) == {"host \"pastebin.com\" is in the category paste-sites (pastebin.com)"}

test_below if found(["abc.ngrok.io", "*.ngrok.io", "*.io", "*"], []) == {"host \"abc.ngrok.io\" is in the category tunnels (ngrok.io)"}

test_wildcard if count(found(["*.duckdns.org", "*.org", "*"], [])) == 1

test_only_similar if found(["mypastebin.com", "*.com", "*"], []) == set()

test_other if found(["api.stripe.com", "*.stripe.com", "*.com", "*"], []) == set()

test_allowed if found(["abc.ngrok.io", "*.ngrok.io", "*.io", "*"], ["abc.ngrok.io"]) == set()
