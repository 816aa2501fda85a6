package main

// list prints companions: those that match what comes after it.
const companions = `kubectl get se,gw,dr,vs -A -l app.kubernetes.io/managed-by=sallyport ` + columns

const columns = `-o 'custom-columns=NAMESPACE:.metadata.namespace,KIND:.kind,NAME:.metadata.name,HOST:.metadata.annotations.sallyport\.io/host'`

// setting is played before Sallyport is installed.
var setting = scene{"The platform", []step{{
	why:     "The platform team has two egress gateways (one reached by mutual TLS, one without) and a namespace per team.",
	user:    "platform",
	command: "kubectl apply -f platform.yaml",
	want:    []string{"service/istio-egressgateway created", "namespace/shop created"},
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
		command:    "kubectl get dr -n istio-system -o 'custom-columns=HOST:.spec.host,TLS:.spec.trafficPolicy.portLevelSettings[*].tls.mode,EXPORT TO:.spec.exportTo'",
		want:       []string{`httpbin.org +SIMPLE +\[\.\]`},
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
		command:    "kubectl get gw -n istio-system -o 'custom-columns=HOSTS:.spec.servers[*].hosts,PROTOCOL:.spec.servers[*].port.protocol,MODE:.spec.servers[*].tls.mode'",
		want:       []string{`en\.wikipedia\.org.*TLS +ISTIO_MUTUAL`},
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
		command:    "kubectl get gw -n istio-system -o 'custom-columns=SELECTOR:.spec.selector.istio,HOSTS:.spec.servers[*].hosts,PROTOCOL:.spec.servers[*].port.protocol,MODE:.spec.servers[*].tls.mode'",
		want:       []string{`legacy-egressgateway .*edition.cnn.com.*HTTP,TLS +PASSTHROUGH`},
		eventually: true,
	}}},
	{"Enforcement: no way around the gateway", []step{{
		why:     "A route for a timeout, written as in any tutorial, would send the host's traffic straight out.",
		user:    "dev",
		command: "cat direct.yaml",
	}, {
		why:     "It is denied; the answer names the route and gives the corrected stanza.",
		user:    "dev",
		command: "kubectl apply -n shop -f direct.yaml",
		fails:   true,
		want:    []string{`denied the request`, `spec\.http\[0\]\.route\[0\]`, `istio-egressgateway\.istio-system\.svc\.cluster\.local`},
	}, {
		why:     "The same timeout on a route that goes to the gateway is admitted.",
		user:    "dev",
		command: "kubectl apply -n shop -f compliant.yaml",
		want:    []string{"virtualservice.networking.istio.io/cnn-timeout created"},
	}}},
	{"Organisation policy, in Rego", []step{{
		why:     "The platform team's configuration lists the hosts of each namespace; this one is not among them.",
		user:    "dev",
		command: "kubectl apply -n shop -f forbidden.yaml",
		fails:   true,
		want:    []string{`host "pastebin.com" is not allowed in namespace "shop"`},
	}}},
	{"Dry run", []step{{
		why:     "A dry run says what would be created ...",
		user:    "dev",
		command: "kubectl apply -n shop -f weather.yaml --dry-run=server",
		want:    []string{`(?m)^Warning: .*would`, `created \(server dry run\)`},
	}, {
		why:     "... and writes nothing;",
		user:    "platform",
		command: "kubectl get se,gw,dr,vs -A -l app.kubernetes.io/managed-by=sallyport " + columns,
		wantNot: `api\.weather\.gov`,
	}, {
		why:     "of a forbidden host it says what a real apply would.",
		user:    "dev",
		command: "kubectl apply -n shop -f forbidden.yaml --dry-run=server",
		fails:   true,
		want:    []string{`host "pastebin.com" is not allowed in namespace "shop"`},
	}}},
	{"The wall around the gate: NetworkPolicy", []step{{
		why:     "Whoever bypasses the sidecar meets the network: the label confines a namespace to DNS, istiod and the gateway.",
		user:    "platform",
		command: "kubectl label namespace shop sallyport.io/network-policy=enabled",
		want:    []string{"labeled"},
	}, {
		why:        "The policy appears, with the ports that the gateway's pods really listen on.",
		user:       "platform",
		command:    "kubectl describe networkpolicy -n shop",
		want:       []string{`8443/TCP`, `15012/TCP`, `53/UDP`},
		eventually: true,
	}}},
	{"Drift is repaired", []step{{
		why:     "Nobody but Sallyport may touch a companion ...",
		user:    "dev",
		command: "kubectl delete vs -n shop -l app.kubernetes.io/managed-by=sallyport",
		fails:   true,
		want:    []string{"denied the request"},
	}}},
	{"Deletion cleans up", []step{{
		why:     "The team deletes its entries ...",
		user:    "dev",
		command: "kubectl delete se -n shop httpbin wikipedia",
		want:    []string{`"httpbin" deleted`, `"wikipedia" deleted`},
	}, {
		why:        "... and what was there for them alone goes, on the gateway's side too.",
		user:       "platform",
		command:    companions,
		wantNot:    `httpbin|wikipedia`,
		eventually: true,
	}}},
}
