package main

// companions lists what Sallyport keeps.
const companions = `kubectl get se,gw,dr,vs -A -l app.kubernetes.io/managed-by=sallyport -o custom-columns-file=companions.columns`

// setting is played before Sallyport is installed.
var setting = scene{"The platform", []step{{
	why:     "A cluster with two egress gateways: sidecars speak mutual TLS to the first, and none to the other.",
	user:    "platform",
	command: "kubectl get service -n istio-system -o custom-columns-file=services.columns",
	want:    []string{`istio-egressgateway +80,443,15443`},
}}}

// scenes are played in order, each on what the ones before have left.
var scenes = []scene{
	{"HTTP: one ServiceEntry is all that a team writes", []step{{
		why:     "The shop wants edition.cnn.com, plain and encrypted, and says no more than that.",
		user:    "dev",
		command: "cat http.yaml",
	}, {
		why:     "Admission makes the entry private and holds it back (exportTo: [\"~\"]) until its path is there.",
		user:    "dev",
		command: "kubectl apply -n shop -f http.yaml",
		want:    []string{"serviceentry.networking.istio.io/cnn created"},
	}, {
		why:        "Sallyport writes the rest: the gateway's side in istio-system, and the route to the gateway beside the entry.",
		user:       "platform",
		command:    companions,
		want:       []string{`istio-system +Gateway`, `istio-system +ServiceEntry`, `istio-system +DestinationRule`, `istio-system +VirtualService`, `shop +VirtualService`},
		eventually: true,
	}, {
		why:        "Now that every port leaves through the gateway, the entry is open to its own namespace.",
		user:       "dev",
		command:    "kubectl get se cnn -n shop -o 'jsonpath={.spec.exportTo}{\"\\n\"}'",
		want:       []string{`^\["\."\]`},
		eventually: true,
	}}},
	{"TLS origination at the gateway", []step{{
		why:     "The application speaks HTTP on port 80, the gateway HTTPS: targetPort 443 asks for it.",
		user:    "dev",
		command: "kubectl apply -n shop -f origination.yaml",
		want:    []string{"created"},
	}, {
		why:        "Only the gateway originates TLS: the rule is not exported, so that no sidecar goes straight out with it.",
		user:       "platform",
		command:    "kubectl get dr -n istio-system -o custom-columns-file=origination.columns",
		want:       []string{`(?s)(istio-egressgateway\S+ +<none>.*){2}httpbin\.org +SIMPLE +\[\.\]`},
		eventually: true,
	}}},
	{"HTTPS originated by the application", []step{{
		why:     "The application speaks TLS itself; the gateway passes it on without opening it.",
		user:    "dev",
		command: "kubectl apply -n shop -f https.yaml",
		want:    []string{"created"},
	}, {
		why:        "Between sidecar and gateway it is wrapped in mutual TLS, so that the gateway knows who calls.",
		user:       "platform",
		command:    "kubectl get gw -n istio-system -o custom-columns-file=gateways.columns",
		want:       []string{`en\.wikipedia\.org +TLS +ISTIO_MUTUAL`},
		eventually: true,
	}}},
	{"The same without mutual TLS", []step{{
		why:     "The namespace legacy is served by a gateway that is reached without mutual TLS; its entry is the same file.",
		user:    "dev",
		command: "kubectl apply -n legacy -f http.yaml",
		want:    []string{"created"},
	}, {
		why:        "Its Gateway speaks plain HTTP, and passes TLS through by server name.",
		user:       "platform",
		command:    "kubectl get gw -n istio-system -o custom-columns-file=gateways.columns",
		want:       []string{`legacy-egressgateway +\S*edition\.cnn\.com +HTTP,TLS`},
		eventually: true,
	}}},
	{"Enforcement: no way around the gateway", []step{{
		why:     "The platform team routes this host by hand. Every path leads through the gateway: nothing to add, nothing to deny.",
		user:    "platform",
		command: "kubectl apply -f partner.yaml",
		want:    []string{"serviceentry.networking.istio.io/partner created"},
	}, {
		why:     "A developer wants a timeout, and writes it as in any tutorial ...",
		user:    "dev",
		command: "cat direct.yaml",
	}, {
		why:     "... which would send the shop's traffic straight out. The answer names the route and gives the corrected stanza.",
		user:    "dev",
		command: "kubectl apply -n shop -f direct.yaml",
		fails:   true,
		want: []string{
			`denied the request`, `spec\.http\[0\]\.route\[0\]\.destination`, `\[direct-path\]`,
			`host: istio-egressgateway\.istio-system\.svc\.cluster\.local`,
		},
	}, {
		why:     "The same timeout on a route to the gateway ...",
		user:    "dev",
		command: "diff direct.yaml compliant.yaml",
		fails:   true, // they differ
	}, {
		why:     "... is admitted: at the gateway, the platform team's route takes over.",
		user:    "dev",
		command: "kubectl apply -n shop -f compliant.yaml",
		want:    []string{"virtualservice.networking.istio.io/partner created"},
		wantNot: "Warning",
	}}},
	{"Organisation policy, in Rego", []step{{
		why:     "The platform team's configuration lists the hosts of each namespace; this one is not among them.",
		user:    "dev",
		command: "kubectl apply -n shop -f forbidden.yaml",
		fails:   true,
		want:    []string{`host "pastebin.com" is not allowed in namespace "shop"`},
	}, {
		why:     "The shop may use Wikipedia in every language; but hosts are registered one by one.",
		user:    "dev",
		command: "kubectl apply -n shop -f wildcard.yaml",
		fails:   true,
		want:    []string{`host "\*\.wikipedia\.org" opens a whole domain \[no-wildcard-hosts\]`},
	}, {
		why:     "And to a host that is allowed, it may not speak what it likes.",
		user:    "dev",
		command: "kubectl apply -n shop -f ftp.yaml",
		fails:   true,
		want:    []string{`TCP on port 21 of host "api\.weather\.gov" is not allowed \[allowed-ports\]`},
	}}},
	{"Dry run", []step{{
		why:     "A dry run says what would be created ...",
		user:    "dev",
		command: "kubectl apply -n shop -f weather.yaml --dry-run=server",
		want: []string{
			`(?m)^Warning: would create Gateway istio-system/sallyport-148991c618fcf1097ec1$`,
			`(?m)^Warning: would create VirtualService shop/sallyport-148991c618fcf1097ec1-mesh$`,
			`created \(server dry run\)`,
		},
	}, {
		why:     "... and writes nothing.",
		user:    "platform",
		command: "kubectl get gateway sallyport-148991c618fcf1097ec1 -n istio-system",
		fails:   true,
		want:    []string{"NotFound"},
	}, {
		why:     "Of a forbidden host it says what a real apply says.",
		user:    "dev",
		command: "kubectl apply -n shop -f forbidden.yaml --dry-run=server",
		fails:   true,
		want:    []string{`host "pastebin.com" is not allowed in namespace "shop"`},
	}}},
	{"Drift is repaired", []step{{
		why:     "Nobody but Sallyport touches a companion, not even an administrator ...",
		user:    "platform",
		command: "kubectl delete vs sallyport-b71288d6f0880c7cebf4-mesh -n shop",
		fails:   true,
		want:    []string{`denied the request`, `metadata\.name: .* \[reserved-`},
	}, {
		why:     "... and should one be lost all the same (here: deleted in Sallyport's own name), ...",
		user:    "platform",
		command: "kubectl delete vs sallyport-b71288d6f0880c7cebf4-mesh -n shop --as system:serviceaccount:sallyport-system:sallyport-webhook",
		want:    []string{"deleted"},
	}, {
		why:        "... it is back at once.",
		user:       "platform",
		command:    "kubectl get vs sallyport-b71288d6f0880c7cebf4-mesh -n shop -o name",
		want:       []string{"virtualservice.networking.istio.io/sallyport-b71288d6f0880c7cebf4-mesh"},
		eventually: true,
	}}},
	{"The wall around the gate", []step{{
		why:     "Whoever gets around the sidecar is to meet the network. What would that cut off, by all that the cluster holds and Hubble has seen?",
		user:    "platform",
		command: "sallyport netpol preview shop --cluster --config config.yaml --flows hubble.json",
		fails:   true, // something would be
		want: []string{
			`(?s)would be cut off:.*updates\.example\.net TCP/443 \(2 times\).*service monitoring/graphite TCP/2003`,
			`(?s)would go on:.*edition\.cnn\.com HTTP/80: through the egress gateway`,
		},
	}, {
		why:     "Staged, the wall shows in the server's log and metrics ...",
		user:    "platform",
		command: "kubectl label namespace shop sallyport.io/network-policy=staged",
		want:    []string{"labeled"},
	}, {
		why:     "... and nowhere else.",
		user:    "platform",
		command: "kubectl get networkpolicy -n shop",
		want:    []string{"No resources found in shop namespace."},
	}, {
		why:     "Nobody misses what would be cut off. The label asks for the policy:",
		user:    "platform",
		command: "kubectl label --overwrite namespace shop sallyport.io/network-policy=enabled",
		want:    []string{"labeled"},
	}, {
		why:        "out of the namespace lead DNS, istiod, and the gateway's pods on the ports that they really listen on.",
		user:       "platform",
		command:    "kubectl get networkpolicy -n shop -o go-template-file=networkpolicy.tmpl",
		want:       []string{`8443/TCP`, `15012/TCP`, `53/UDP`},
		eventually: true,
	}, {
		why:     "Policies add up. A team's own that opens what this one closes is refused.",
		user:    "dev",
		command: "kubectl apply -n shop -f wide.yaml",
		fails:   true,
		want:    []string{`spec\.egress\[0\]: allows every destination, .* \[wide-network-policy\]`},
	}}},
	{"Deletion cleans up", []step{{
		why:     "The shop needs nothing outside any more ...",
		user:    "dev",
		command: "kubectl delete se --all -n shop",
		want:    []string{`"cnn" deleted`, `"httpbin" deleted`, `"wikipedia" deleted`},
	}, {
		why:        "... and what was there for it alone goes, on the gateway's side after ten seconds of grace. The other team's stays.",
		user:       "platform",
		command:    companions,
		want:       []string{`legacy +VirtualService +\S+ +edition\.cnn\.com`, `istio-system +ServiceEntry +\S+ +edition\.cnn\.com`},
		wantNot:    `httpbin|wikipedia|shop|(Gateway|DestinationRule|VirtualService) +sallyport-3198e25ac27f46c85dcb `,
		eventually: true,
	}}},
}
