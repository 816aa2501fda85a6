package sallyport.policies.tls_required_test

import data.sallyport.policies.tls_required

found(protocol, external) := fixes if {
	findings := tls_required.deny with input as {"egress": [{
		"host": "api.example.com",
		"patterns": ["api.example.com", "*.example.com", "*.com", "*"],
		"port": 80,
		"protocol": protocol,
		"registered": true,
		"path": "spec.hosts[0]",
		"tls": {"mesh": "mutual", "external": external},
	}]}
	fixes := {f.fix | some f in findings}
}

test_application if found("HTTPS", "application") == set()

test_gateway if found("HTTP", "gateway") == set()

test_http if {
	some fix in found("HTTP", "none")
	contains(fix, "originate-tls")
}

test_sidecar_only if count(found("HTTP", "sidecar")) == 1

test_tcp if {
	some fix in found("TCP", "none")
	contains(fix, "protocol TLS")
}

test_exempt if {
	findings := tls_required.deny with input as {"egress": [{
		"host": "api.example.com",
		"patterns": ["api.example.com", "*.example.com", "*.com", "*"],
		"port": 80,
		"protocol": "HTTP",
		"registered": true,
		"path": "spec.hosts[0]",
		"tls": {"mesh": "mutual", "external": "none"},
	}]}
		with data.sallyport.tls_required.exempt as ["*.example.com"]
	findings == set()
}

# The findings where the gateway originates TLS and verifies as told.
originated(verified, required) := findings if {
	findings := tls_required.deny with input as {"egress": [{
		"host": "api.example.com",
		"patterns": ["api.example.com", "*.example.com", "*.com", "*"],
		"port": 80,
		"protocol": "HTTP",
		"registered": true,
		"path": "spec.hosts[0]",
		"tls": {"mesh": "mutual", "external": "gateway"},
		"paths": [{"verdict": "via", "gateway": "eu", "tls": {"external": {"verified": verified}}}],
	}]}
		with data.sallyport.tls_required.verified as required
}

test_verified if originated(true, true) == set()

test_not_verified if {
	some finding in originated(false, true)
	finding.msg == "gateway eu takes any certificate for that of api.example.com:80"
}

test_need_not_verify if originated(false, false) == set()
