package test

// threats are the classes of attack on the guard itself.
var threats = []threat{
	{
		class: "Whoever reaches the port forges reviews",
		tests: []string{"webhook.TestForgedReviews", "webhook.FuzzReview", "webhook.FuzzDecodeReview", "webhook.TestBadReviews"},
		why:   "a review causes an answer and nothing else; what it says of its user grants nothing; no input panics",
	},
	{
		class: "A sender is slow, resets its streams, or announces what it does not send",
		tests: []string{"webhook.TestSlowSender", "webhook.TestResetStreams", "webhook.TestAnnouncedSize", "webhook.TestLargeReviewsAreBounded"},
		why:   "it holds no place, ends no process, and takes a bounded share of memory",
	},
}

// advisoryIDs are the advisories of this field that were looked at.
var advisoryIDs = []string{
	// A controller writes or reads for the tenant with its own rights.
	"CVE-2026-54523", "CVE-2026-122302", "CVE-2026-122303", "CVE-2026-122304", "CVE-2026-122310", "CVE-2026-122311", "CVE-2026-122313", "CVE-2026-124440",
	"CVE-2026-22039", "GO-2026-5337", "CVE-2026-100706", "CVE-2026-31837", "CVE-2026-41413", "CVE-2021-34824", "GO-2026-5584", "GO-2026-5043", "GO-2026-5406",
	// Objects of one namespace act on the whole mesh.
	"ISTIO-SECURITY-2026-002", "GHSA-7p2q-4xvg-vxc6", "CVE-2020-8554",
	// The endpoint answers whoever reaches it.
	"CVE-2025-1974", "CVE-2022-24726", "CVE-2022-39278", "CVE-2022-23635",
	// Exhaustion and panics.
	"ISTIO-SECURITY-2026-006", "GHSA-jc72-9675-pcmv", "GHSA-793w-c9f9-m6f8", "GO-2026-5374", "GO-2026-4382", "GO-2025-3823", "CVE-2025-46569",
	// Truncation and unknown fields.
	"CVE-2026-50197", "CVE-2026-65604", "CVE-2026-65838", "GO-2026-6495",
	// Selectors and labels that are believed.
	"CVE-2023-34091", "GO-2025-3652", "CVE-2021-25735", "GHSA-wpv2-mpqq-vv52", "GHSA-p8j8-x28r-3c9v", "CVE-2026-39350", "GHSA-w44g-8m76-8gc5",
	// The policy engine.
	"GHSA-g2pf-6v5v-qcc8", "CVE-2022-36085", "CVE-2024-8260",
	// What policies can reach.
	"CVE-2026-41323", "GO-2026-5575", "GO-2026-5268", "CVE-2026-84199", "GO-2026-5594", "GO-2026-5621",
	// Exceptions.
	"CVE-2024-48921", "CVE-2026-84200", "kyverno#17473",
	// The data plane and the control plane themselves.
	"GHSA-qm8v-g4f9-qhjx", "sidecar-annotation-yaml-injection", "CVE-2026-31838", "CVE-2025-54588", "CVE-2025-62408", "CVE-2026-47220",
}

// advisories are those, by class.
var advisories = []threat{
	{
		class: "A generator writes for the tenant what the tenant may not",
		ids:   []string{"CVE-2026-54523", "CVE-2026-122302", "CVE-2026-122303", "CVE-2026-122304", "CVE-2026-122313", "CVE-2026-31837", "CVE-2021-34824", "GO-2026-5584"},
		tests: []string{"internal/companion.TestNoConfusedDeputy", "internal/companion.FuzzFor", "internal/companion.TestNames", "internal/reconcile.TestForeignObjectIsLeftAlone"},
		why:   "no string of an entry becomes a name, namespace, kind, selector, visibility or credential of a companion; names are hashes; what others wrote is not adopted; a Secret comes from the administrator's list alone",
	},
	{
		class: "A policy reaches the API server, other hosts or secrets",
		ids: []string{
			"CVE-2026-22039", "GO-2026-5337", "CVE-2026-100706", "CVE-2026-122310", "CVE-2026-122311", "CVE-2026-124440",
			"CVE-2026-41323", "GO-2026-5575", "GO-2026-5268", "CVE-2026-84199", "GO-2026-5594", "GO-2026-5621",
		},
		tests: []string{"policies.TestCapabilities"},
		why:   "policies have no network, environment, clock or randomness, no path is ever built from an object, and only the platform writes policies",
	},
	{
		class: "A fetcher is led inside",
		ids:   []string{"CVE-2026-41413"},
		tests: []string{"rules.TestCases/jwks-uri", "rules.TestCases/proxy-extension"},
		why:   "keys and extensions come from public addresses alone, in whatever spelling; a redirect cannot be seen at admission and is Istio's to refuse",
	},
	{
		class: "A namespace is taken over through a subresource",
		ids:   []string{"GO-2026-5043", "GO-2026-5406", "GHSA-p8j8-x28r-3c9v"},
		tests: []string{"test.TestEveryJudgedKindReachesTheWebhook", "rules.TestCases/namespace-labels"},
		why:   "subresources are judged like the object itself; every invariant is the validator's",
	},
	{
		class: "An object of one namespace acts on the whole mesh",
		ids:   []string{"ISTIO-SECURITY-2026-002", "CVE-2020-8554"},
		tests: []string{
			"rules.TestCases/host-takeover", "rules.TestCases/foreign-host-route", "rules.TestCases/breaks-others", "rules.TestCases/gateway-hop-hijack",
			"rules.TestCases/gateway-host-hijack", "rules.TestCases/external-ips", "test/istio.TestDifferential", "test/istio.TestHistories",
		},
		why: "hosts, routes and addresses of others are refused to tenants, whatever the kind",
	},
	{
		class: "An entry claims an address of the cluster",
		ids:   []string{"GHSA-7p2q-4xvg-vxc6"},
		tests: []string{"rules.TestCases/cluster-address", "internal/mesh.TestAddressesIn"},
		why:   "addresses of Services, nodes, gateways and waypoints are refused, alone or in a range",
	},
	{
		class: "The webhook's port answers whoever reaches it",
		ids:   []string{"CVE-2025-1974", "CVE-2022-24726", "CVE-2022-39278", "CVE-2022-23635"},
		tests: []string{"webhook.TestForgedReviews", "webhook.FuzzReview", "webhook.FuzzDecodeReview", "webhook.TestLargeReviewsAreBounded"},
		why:   "nothing is executed, read or written because of a review; forged ones panic nothing and grant nothing",
	},
	{
		class: "An object is dear to judge, or makes the judge panic",
		ids:   []string{"ISTIO-SECURITY-2026-006", "GHSA-jc72-9675-pcmv", "GHSA-793w-c9f9-m6f8", "GO-2026-5374", "GO-2026-4382", "GO-2025-3823"},
		tests: []string{"internal/review.FuzzReview", "internal/mesh.FuzzDecode", "internal/review.TestCannotJudge"},
		why:   "work is counted and bounded; no regular expression of a tenant's is compiled; a panic is a refusal",
	},
	{
		class: "The policy engine's own server is exhausted",
		ids:   []string{"CVE-2025-46569"},
		why:   "OPA is a library here: its server is not linked",
	},
	{
		class: "An oversized body is judged as if it were empty",
		ids:   []string{"CVE-2026-50197", "CVE-2026-65604", "CVE-2026-65838", "GO-2026-6495"},
		tests: []string{"webhook.TestAnnouncedSize", "webhook.TestLargeReviewsAreBounded", "webhook.TestBadReviews", "policies.TestCannotJudge"},
		why:   "what is too large is refused, never cut; what a policy cannot decide is no permission",
	},
	{
		class: "An object that is being deleted is not looked at",
		ids:   []string{"CVE-2023-34091"},
		tests: []string{"internal/mesh.TestDying", "internal/review.TestEnds", "internal/companion.TestLasting", "internal/companion.TestDyingRoutesCoverNothing"},
		why:   "what it closes counts as open, what it opens as open still, and what is written to it is judged",
	},
	{
		class: "What keeps a path closed is taken away without a DELETE",
		tests: []string{
			"internal/review.TestDeletionHistories", "internal/review.TestEnds", "webhook.TestCollect", "webhook.TestCollectorLetsGo", "webhook.TestPropagation",
			"webhook.TestCollectionOfWalls", "test.TestEveryDeleteIsJudged", "test.TestControllersDeleteLikeAnybody", "test/e2e.TestDeletions",
		},
		why: "the last finalizer, an owner that is none, a namespace, the foreground, a collection: each is judged as the deletion, and so is what controllers delete",
	},
	{
		class: "A definition takes all objects of its kind with it",
		tests: []string{"rules.TestCases/definition-in-use", "test.TestDefinitionsOfHeldKindsAreJudged", "test/e2e.TestDeletions"},
		why:   "a CustomResourceDefinition goes after its objects, each of which is judged",
	},
	{
		class: "A label, a selector or an old object is believed",
		ids:   []string{"GO-2025-3652", "CVE-2021-25735", "GHSA-wpv2-mpqq-vv52"},
		tests: []string{"internal/companion.TestIs", "rules.TestCases/reserved-companion", "internal/review.TestNamespaceCannotExcuseItself", "webhook.TestForgedReviews", "test.TestWebhookEntries"},
		why:   "what Sallyport keeps is known by name and writer, never by label; the object is judged as it will be",
	},
	{
		class: "A name is read as a pattern",
		ids:   []string{"CVE-2026-39350", "GHSA-w44g-8m76-8gc5"},
		tests: []string{"internal/companion.TestAuthorization", "test/istio.TestAuthorization", "internal/mesh.TestHostCovers", "internal/mesh.TestCanonicalHost"},
		why:   "generated policies use neither methods nor serviceAccounts; hosts are compared by labels",
	},
	{
		class: "A bundle is trusted that nobody signed",
		ids:   []string{"GHSA-g2pf-6v5v-qcc8"},
		tests: []string{"internal/policysource.TestBundleRefused", "internal/policysource.TestBundle"},
		why:   "keys have names; unsigned and delta bundles are refused where a key is configured",
	},
	{
		class: "A forbidden builtin is reached by another way",
		ids:   []string{"CVE-2022-36085"},
		tests: []string{"policies.TestCapabilities"},
		why:   "builtins are taken away from the compiler, not listed as unsafe",
	},
	{
		class: "A path of Windows leaks credentials",
		ids:   []string{"CVE-2024-8260"},
		why:   "the fault is in OPA's handling of UNC paths on Windows, mended in the version that is linked",
	},
	{
		class: "An exception outlives its end, comes from anywhere, or the laxer of two wins",
		ids:   []string{"CVE-2024-48921", "CVE-2026-84200", "kyverno#17473"},
		tests: []string{"policies.TestRollout", "policies.TestParameters"},
		why:   "exceptions stand in the platform's configuration, have an end, and do all the same: the finding goes on record; whether an open path is closed at the end is said in docs/policies.md",
	},
	{
		class: "The control plane or the gateway has the fault itself",
		ids:   []string{"GHSA-qm8v-g4f9-qhjx", "CVE-2025-54588", "CVE-2025-62408", "CVE-2026-47220"},
		tests: []string{"internal/doctor.TestChecks", "internal/doctor.TestAll"},
		why:   "`sallyport doctor` compares the versions of istiod and of the gateway (known-faults)",
	},
	{
		class: "istiod tells a tenant about the mesh",
		ids:   []string{"CVE-2026-31838"},
		tests: []string{"internal/doctor.TestChecks", "test/netpol.TestMeaning"},
		why:   "walls leave istiod's port 15012 alone; `sallyport doctor` finds namespaces that reach the others (istiod-ports)",
	},
	{
		class: "An annotation of a pod is YAML of the injector's",
		ids:   []string{"sidecar-annotation-yaml-injection"},
		tests: []string{"rules.TestCases/proxy-injection"},
		why:   "annotations that the injector reads are the platform's, or have the plainest of values",
	},
}
