package sallyport.policies.allowed_hosts_test

import data.sallyport.policies.allowed_hosts

hosts := {
	"api.stripe.com": [{"namespaces": ["shop"], "ticket": "SEC-1"}],
	"*.github.com": [{"labels": {"team": "build"}}],
	"gone.example.com": [{"namespaces": ["shop"], "expires": "2026-06-30"}],
	"old.example.com": [{"namespaces": ["*"], "expires": "2026-06-30", "ticket": "SEC-2"}],
}

messages(patterns, namespace, labels) := {finding.msg | some finding in found} if {
	found := allowed_hosts.deny with input as {
		"namespace": {"name": namespace, "labels": labels},
		"egress": [{"host": patterns[0], "patterns": patterns, "registered": true, "path": "spec.hosts[0]"}],
		"time": "2026-07-01T00:00:00Z",
	}
		with data.sallyport.allowed_hosts.hosts as hosts
}

test_exact if messages(["api.stripe.com", "*.stripe.com", "*.com", "*"], "shop", {}) == set()

test_other_namespace if messages(["api.stripe.com", "*.stripe.com", "*.com", "*"], "blog", {}) == {"host \"api.stripe.com\" is not allowed in namespace \"blog\""}

test_unknown_host if count(messages(["evil.example.org", "*.example.org", "*.org", "*"], "shop", {})) == 1

test_wildcard_by_label if messages(["api.github.com", "*.github.com", "*.com", "*"], "ci", {"team": "build"}) == set()

test_wildcard_deep if messages(["a.b.github.com", "*.b.github.com", "*.github.com", "*.com", "*"], "ci", {"team": "build"}) == set()

test_wildcard_other_label if count(messages(["api.github.com", "*.github.com", "*.com", "*"], "ci", {"team": "shop"})) == 1

test_wildcard_not_the_domain_itself if count(messages(["github.com", "*.com", "*"], "ci", {"team": "build"})) == 1

test_registered_wildcard if messages(["*.github.com", "*.com", "*"], "ci", {"team": "build"}) == set()

test_registered_wildcard_too_wide if count(messages(["*.com", "*"], "ci", {"team": "build"})) == 1

test_expired if messages(["old.example.com", "*.example.com", "*.com", "*"], "shop", {}) == {"host \"old.example.com\" was allowed in namespace \"shop\" until 2026-06-30 (SEC-2)"}

test_last_day if {
	found := allowed_hosts.deny with input as {
		"namespace": {"name": "shop", "labels": {}},
		"egress": [{"host": "old.example.com", "patterns": ["old.example.com", "*.example.com", "*.com", "*"], "registered": true, "path": "spec.hosts[0]"}],
		"time": "2026-06-30T23:59:59Z",
	}
		with data.sallyport.allowed_hosts.hosts as hosts
	found == set()
}

test_expired_without_ticket if messages(["gone.example.com", "*.example.com", "*.com", "*"], "shop", {}) == {"host \"gone.example.com\" was allowed in namespace \"shop\" until 2026-06-30"}

test_renewed if {
	found := allowed_hosts.deny with input as {
		"namespace": {"name": "shop", "labels": {}},
		"egress": [{"host": "gone.example.com", "patterns": ["gone.example.com", "*.example.com", "*.com", "*"], "registered": true, "path": "spec.hosts[0]"}],
		"time": "2026-07-01T00:00:00Z",
	}
		with data.sallyport.allowed_hosts.hosts as {"gone.example.com": array.concat(hosts["gone.example.com"], [{"labels": {}}])}
	found == set()
}

test_name_without_dot if count(messages(["partner", "*"], "shop", {})) == 1

test_of_several_the_last_to_end if {
	found := allowed_hosts.deny with input as {
		"namespace": {"name": "shop", "labels": {}},
		"egress": [{"host": "old.example.com", "patterns": ["old.example.com", "*.example.com", "*.com", "*"], "registered": true, "path": "spec.hosts[0]"}],
		"time": "2026-07-01T00:00:00Z",
	}
		with data.sallyport.allowed_hosts.hosts as {
			"old.example.com": [{"namespaces": ["shop"], "expires": "2026-06-30"}],
			"*.example.com": [{"namespaces": ["shop"], "expires": "2026-05-31", "ticket": "SEC-3"}],
		}
	{f.msg | some f in found} == {"host \"old.example.com\" was allowed in namespace \"shop\" until 2026-06-30"}
}
