package sallyport.policies.separation_of_duties_test

import data.sallyport.policies.separation_of_duties

found(user, groups, new) := messages if {
	findings := separation_of_duties.deny with input as {
		"request": {"user": user, "groups": groups},
		"egress": [{"host": "api.example.com", "new": new, "path": "spec.hosts[0]"}],
	}
		with data.sallyport.separation_of_duties as {"groups": ["egress-approvers"], "users": ["system:serviceaccount:argo:argo"]}
	messages := {f.msg | some f in findings}
}

test_anybody if found("bob", ["dev"], true) == {"user \"bob\" may not open the new host \"api.example.com\""}

test_group if found("alice", ["dev", "egress-approvers"], true) == set()

test_user if found("system:serviceaccount:argo:argo", [], true) == set()

test_file if found("", [], true) == set()

test_edit if found("bob", ["dev"], false) == set()
