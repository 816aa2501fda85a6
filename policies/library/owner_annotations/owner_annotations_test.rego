package sallyport.policies.owner_annotations_test

import data.sallyport.policies.owner_annotations

found(metadata) := messages if {
	findings := owner_annotations.deny with input as {"object": {"metadata": metadata}}
		with data.sallyport.owner_annotations.annotations as {"owner": "team-[a-z]+"}
	messages := {f.msg | some f in findings}
}

test_absent if found({}) == {"annotation owner is missing"}

test_wrong if found({"annotations": {"owner": "me"}}) == {"annotation owner is \"me\", which does not match team-[a-z]+"}

test_wrong_in_part if count(found({"annotations": {"owner": "team-a or so"}})) == 1

test_right if found({"annotations": {"owner": "team-shop"}}) == set()
