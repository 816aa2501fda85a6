package sallyport.policies.change_freeze_test

import data.sallyport.policies.change_freeze

windows := [{
	"start": "2026-12-18T00:00:00Z",
	"end": "2027-01-04T00:00:00+01:00",
	"reason": "year end",
	"exceptGroups": ["oncall"],
}]

found(time, new, groups) := messages if {
	findings := change_freeze.deny with input as {
		"time": time,
		"request": {"groups": groups},
		"egress": [{"host": "api.example.com", "new": new, "path": "spec.hosts[0]"}],
	}
		with data.sallyport.change_freeze.windows as windows
	messages := {f.msg | some f in findings}
}

test_within if found("2026-12-24T12:00:00Z", true, []) == {"host \"api.example.com\" cannot be opened before 2027-01-04T00:00:00+01:00: year end"}

test_before if found("2026-12-17T23:59:59Z", true, []) == set()

test_after_in_another_zone if found("2027-01-03T23:00:00Z", true, []) == set()

test_nothing_new if found("2026-12-24T12:00:00Z", false, []) == set()

test_excepted if found("2026-12-24T12:00:00Z", true, ["oncall"]) == set()

test_other_group if count(found("2026-12-24T12:00:00Z", true, ["dev"])) == 1
