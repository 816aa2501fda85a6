package sallyport.policies.no_private_endpoints_test

import data.sallyport.policies.no_private_endpoints

not_a_name(host) := regex.match(`^([0-9./]+|.*:.*)$`, host)

found(host, address) := paths if {
	findings := no_private_endpoints.deny with input as {"egress": [{
		"host": host,
		"literal": not_a_name(host),
		"registered": true,
		"path": "spec.hosts[0]",
		"addresses": [{"address": address, "literal": not_a_name(address), "path": "spec.endpoints[0].address"}],
	}]}
	paths := {f.path | some f in findings}
}

test_literal_host if found("203.0.113.7", "203.0.113.7") == {"spec.hosts[0]"}

test_literal_host_v6 if found("2001:db8::7", "2001:db8::7") == {"spec.hosts[0]"}

test_public if found("api.example.com", "203.0.113.7") == set()

test_public_v6 if found("api.example.com", "2001:db8::7") == set()

test_name if found("api.example.com", "other.example.com") == set()

test_forbidden[address] if {
	some address in [
		"10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.64.0.1", "10.0.0.0/16",
		"::1", "fd00::1", "fe80::1", "fd00:ec2::254", "0.0.0.0/0", "::ffff:10.0.0.1", "168.63.129.16",
		"64:ff9b::a00:1", "metadata.google.internal", "METADATA.google.internal.", "localhost",
	]
	found("api.example.com", address) == {"spec.endpoints[0].address"}
}

test_every_forbidden if count(test_forbidden) == 18

test_allowed if {
	findings := no_private_endpoints.deny with input as {"egress": [{
		"host": "db.corp.example",
		"registered": true,
		"path": "spec.hosts[0]",
		"literal": false,
		"addresses": [{"address": "10.1.2.3", "literal": true, "path": "spec.addresses[0]"}],
	}]}
		with data.sallyport.no_private_endpoints.allowed as ["10.1.0.0/16"]
	findings == set()
}

# What is allowed opens nothing else: not another address of the entry, and not a range around it.
beside_allowed(address) := paths if {
	findings := no_private_endpoints.deny with input as {"egress": [{
		"host": "db.corp.example",
		"registered": true,
		"path": "spec.hosts[0]",
		"literal": false,
		"addresses": [
			{"address": "10.1.2.3", "literal": true, "path": "spec.addresses[0]"},
			{"address": address, "literal": true, "path": "spec.endpoints[0].address"},
		],
	}]}
		with data.sallyport.no_private_endpoints.allowed as ["10.1.0.0/16"]
	paths := {f.path | some f in findings}
}

test_another_beside_allowed if beside_allowed("169.254.169.254") == {"spec.endpoints[0].address"}

test_range_around_allowed if beside_allowed("10.0.0.0/8") == {"spec.endpoints[0].address"}

test_range_within_allowed if beside_allowed("10.1.128.0/17") == set()

test_name_of_the_metadata_service if found("metadata.google.internal", "203.0.113.7") == {"spec.hosts[0]"}

test_below_a_name if found("v1.metadata.goog", "203.0.113.7") == {"spec.hosts[0]"}

test_only_similar if found("mymetadata.goog", "203.0.113.7") == set()

selected(address) := paths if {
	findings := no_private_endpoints.deny with input as {"egress": [], "object": {"kind": "WorkloadEntry", "spec": {"address": address}}}
	paths := {f.path | some f in findings}
}

test_workload_entry if selected("169.254.169.254") == {"spec.address"}

test_workload_entry_by_name if selected("metadata.google.internal") == {"spec.address"}

test_public_workload_entry if selected("203.0.113.7") == set()
