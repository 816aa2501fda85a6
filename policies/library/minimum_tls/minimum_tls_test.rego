package sallyport.policies.minimum_tls_test

import data.sallyport.policies.minimum_tls

found(tls, minimum) := paths if {
	findings := minimum_tls.deny with input as {"object": {"spec": {"servers": [{"tls": tls}]}}}
		with data.sallyport.minimum_tls.version as minimum
	paths := {f.path | some f in findings}
}

test_old if found({"mode": "SIMPLE", "minProtocolVersion": "TLSV1_1"}, "TLSV1_2") == {"spec.servers[0].tls.minProtocolVersion"}

test_default_is_enough if found({"mode": "SIMPLE"}, "TLSV1_2") == set()

test_default_is_too_low if count(found({"mode": "MUTUAL"}, "TLSV1_3")) == 1

test_new if found({"mode": "SIMPLE", "minProtocolVersion": "TLSV1_3"}, "TLSV1_3") == set()

test_istio_mutual if found({"mode": "ISTIO_MUTUAL"}, "TLSV1_3") == set()
