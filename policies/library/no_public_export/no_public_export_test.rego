package sallyport.policies.no_public_export_test

import data.sallyport.policies.no_public_export

found(namespace, platform, object) := messages if {
	findings := no_public_export.deny with input as {
		"namespace": {"name": namespace, "platform": platform},
		"object": object,
	}
		with data.sallyport.no_public_export.namespaces as ["shared"]
	messages := {f.msg | some f in findings}
}

test_absent if found("shop", false, {"spec": {}}) == {"without exportTo the hosts would be visible to every namespace"}

test_empty if count(found("shop", false, {"spec": {"exportTo": []}})) == 1

test_absent_in_platform if found("istio-system", true, {"spec": {}}) == set()

test_own if found("shop", false, {"spec": {"exportTo": [".", "shop"]}}) == set()

test_held if found("shop", false, {"spec": {"exportTo": ["~"]}}) == set()

test_public if found("shop", false, {"spec": {"exportTo": ["*"]}}) == {"the hosts would be visible to every namespace"}

test_other if found("shop", false, {"spec": {"exportTo": ["blog"]}}) == {"the hosts would be visible to namespace \"blog\""}

test_platform if found("istio-system", true, {"spec": {"exportTo": ["*"]}}) == set()

test_listed if found("shared", false, {"spec": {"exportTo": ["*"]}}) == set()

test_annotation if found("shop", false, {"spec": {"exportTo": ["~"]}, "metadata": {"annotations": {"sallyport.io/export-to": "*"}}}) == {"the hosts would be visible to every namespace"}

test_own_annotation if found("shop", false, {"spec": {"exportTo": ["~"]}, "metadata": {"annotations": {"sallyport.io/export-to": "."}}}) == set()
