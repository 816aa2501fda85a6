package sallyport.policies.allowed_ports_test

import data.sallyport.policies.allowed_ports

found(port, protocol) := findings if {
	findings := allowed_ports.deny with input as {"egress": [{
		"host": "api.example.com",
		"port": port,
		"protocol": protocol,
		"registered": true,
		"path": "spec.hosts[0]",
	}]}
		with data.sallyport.allowed_ports.ports as {"443": ["HTTPS"], "5432": []}
}

test_allowed if found(443, "HTTPS") == set()

test_any_protocol if found(5432, "TCP") == set()

test_other_protocol if count(found(443, "TCP")) == 1

test_other_port if {
	some finding in found(22, "TCP")
	finding.fix == "use one of the ports 443, 5432"
}
