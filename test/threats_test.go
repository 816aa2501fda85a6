package test

// threats are the classes of attack on the guard itself.
var threats = []threat{
	{
		class: "Whoever reaches the port forges reviews",
		tests: []string{"webhook.TestForgedReviews", "webhook.FuzzReview", "webhook.FuzzDecodeReview", "webhook.TestBadReviews"},
		why:   "a review causes an answer and nothing else; what it says of its user grants nothing; no input panics",
	},
	{
		class: "Forged reviews crowd out real ones",
		tests: []string{
			"webhook.TestUnprovenKeepToThemselves", "webhook.TestSourcesAreKeptApart", "webhook.TestProofIsRequired", "internal/caller.TestWhoIsProven",
			"internal/caller.TestAuthoritiesAreReadAgain", "test/e2e.TestClientCertificate",
		},
		why: "with the API server's certificate configured, all others are a class of their own, or refused; without, names count per source address",
	},
	{
		class: "The server's own pods are reached from the cluster",
		tests: []string{"test.TestOwnNetworkPolicy", "test.TestWebhookPortCanBeClosed"},
		why:   "the manifests fence the server in; the webhook's port is open as shipped, with a patch that closes it to all but the API server",
	},
	{
		class: "A sender is slow, resets its streams, or announces what it does not send",
		tests: []string{
			"webhook.TestSlowSender", "webhook.TestResetStreams", "webhook.TestAnnouncedSize", "webhook.TestLargeReviewsAreBounded",
			"cmd/sallyport-webhook.TestLargeBodiesDoNotStallSmallOnes", "cmd/sallyport-webhook.TestConnectionsAreBounded",
		},
		why: "it holds no place, ends no process, stalls nobody else, and takes a bounded share of memory",
	},
	{
		class: "An object is dear to judge",
		tests: []string{
			"internal/budget.TestLimit", "internal/review.TestHostile", "internal/review.TestHostileKinds", "internal/netpol.TestWiderIsLinear",
			"internal/netpol.TestWiderCountsWhatIsLong",
		},
		why: "work is counted in steps, the same in server, command line and batch; the dearest object of every kind is judged or refused within the limit",
	},
	{
		class: "One tenant takes every place, all memory for large bodies, or every connection",
		tests: []string{
			"webhook.TestOneTenantLeavesPlaces", "webhook.TestLargeReviewsAreFair", "internal/fair.TestEachIsBounded", "internal/fair.TestRoundRobin",
			"cmd/sallyport-webhook.TestManyReviewsOfOneAPIServer", "test/hostile.TestHostile",
		},
		why: "places are shared out by namespace and user, and nobody holds all of them; a connection that an API server opens in excess waits, and is not closed",
	},
	{
		class: "One tenant keeps the processors busy, with what is dear to judge, or only to turn away",
		tests: []string{
			"webhook.TestComputingIsShared", "internal/fair.TestAllowance", "webhook.TestReadingIsPaidFor", "webhook.TestDearBodiesAreNotRead",
			"webhook.TestManyWaitForNothing", "webhook.TestFewAreTurnedAwayForRoom", "webhook.TestDearReviewsLeaveACore",
			"internal/budget.TestOthersHaveTheirTurn", "test/hostile.TestHostile",
		},
		why: "steps are shared out over time; who has spent its own waits before it is turned away, of which no more than the head is read",
	},
	{
		class: "A handler does not end",
		tests: []string{"webhook.TestWatchdogAnswers", "webhook.TestWatchdogOfTheMutator", "webhook.TestStuckIsNotReady"},
		why:   "a watchdog answers for it, closed for the validator; its place stays taken, and the replica is not ready for long",
	},
	{
		class: "Findings, names or answers fill the memory",
		tests: []string{
			"internal/review.TestHostileMemory", "rules.TestFindingsAreBounded", "rules.TestDenialsBeyondTheListStillDeny", "webhook.TestAnswersAreBounded", "internal/mesh.TestCheckWords",
		},
		why: "they are bounded where they are made, and a denial is never among what is left out",
	},
	{
		class: "Stored objects fill the model",
		tests: []string{"internal/review.TestSizesAreBounded", "internal/review.TestOverlongObjectsGo", "internal/mesh.TestKeptBytes", "rules.TestCases/object-size", "test/hostile.TestHostile"},
		why:   "a tenant's object and namespace have a size; what is larger is refused, on the command line too",
	},
	{
		class: "Losing the lead ends the guard",
		tests: []string{"test/e2e.TestEndToEnd"},
		why:   "the reconcilers end, and stand for election again; the webhook goes on answering",
	},
	{
		class: "More is deleted or narrowed than is judged",
		tests: []string{"internal/review.TestTooManyPoints", "rules.TestCases/unjudged-points"},
		why:   "what only the object closes is judged first, and what remains unjudged is refused to a tenant, who can narrow in steps",
	},
	{
		class: "A write comes by a subresource, a Binding, a revision or a kind that nobody judges",
		tests: []string{
			"test/e2e.TestEveryWriteIsAccountedFor", "test.TestSurface", "test.TestKindsPage", "test.TestEveryJudgedKindReachesTheWebhook",
			"rules.TestEveryTemplateIsJudgedAlike", "rules.TestRevisionsAsKubernetesReadsThem", "rules.TestCases/controller-revision", "rules.TestCases/status-address",
			"test.TestControllersArePassedOverForAReason", "webhook.TestValidate",
		},
		why: "every served kind and subresource is judged or listed as harmless with the reason, in docs/kinds.md",
	},
	{
		class: "An answer tells a tenant, or a forger, about others",
		tests: []string{
			"webhook.TestAnswersTellNothingOfOthers", "webhook.TestPlatformIsToldWhereItIsProved", "webhook.TestAnswersStayUseful", "policies.TestPolicyTellsWhatIsSeen",
			"internal/told.TestText", "internal/told.FuzzText", "internal/reconcile.TestContradictionIsTold",
		},
		why: "every message marks the names in it, and an answer has those that its reader's namespace can see; the decision log has the rest",
	},
	{
		class: "Somebody squats on a host",
		tests: []string{
			"rules.TestCases/host-owner", "internal/mesh.TestTitle", "internal/mesh.TestTitleOfPatterns", "internal/review.TestOwnerDisplacesStranger",
			"internal/reconcile.TestOwnerTakesItsHost", "internal/reconcile.TestOwnExportIsDisplaced", "internal/reconcile.TestOwnerByLabel", "rules.TestCases/owner-labels",
		},
		why: "the configuration says whose a host is; an owner's claim displaces a stranger's, and nobody labels itself an owner",
	},
	{
		class: "Two claims on a host contradict each other",
		tests: []string{"internal/review.TestNoContradictionIsFoundAfterwards", "internal/reconcile.TestContradictionsInARace", "rules.TestCases/contradicting-claim"},
		why:   "the second is denied when it is written; of two that are written at once the owner's stands, then the older",
	},
	{
		class: "An entry is seen before its routes stand",
		tests: []string{
			"internal/review.TestNoEntryIsSeenEarly", "internal/review.TestNoKindOpensAMoment", "internal/review.TestEditOfAnOpenEntry", "internal/review.TestOrderOfExplicitSets", "internal/reconcile.TestNeverDirect",
			"internal/reconcile.TestNeverDirectWhateverIsWritten", "test/e2e.TestEndToEnd",
		},
		why: "what is neither held nor led through the gateway is refused, where the mutating webhook was away as well; at no version of the cluster is a host direct",
	},
	{
		class: "A pod makes a proxy of its own, or takes it out of the platform's hands",
		tests: []string{
			"rules.TestOwnProxyContainers", "rules.TestIstioKeys", "rules.TestIstioKeysOnPods", "rules.TestPrometheusTargetsStayOnThePod", "rules.TestCases/proxy-container",
			"rules.TestCases/proxy-injection", "test/istio.TestInjectedPodsPass",
		},
		why: "every annotation and label of Istio's API has a form or is refused; what Istio injects itself passes",
	},
	{
		class: "An object leads to the metadata service of a cloud, for the credentials of a node or of the gateway",
		tests: []string{"rules.TestCases/metadata-service", "internal/metadata.TestEveryServiceIsFound", "internal/companion.TestGolden", "cmd/sallyport.TestScripts"},
		why:   "names, patterns, ranges and every spelling of the addresses are denied to tenants, and no route through a gateway is kept for anybody; exceptions are the platform's, and end",
	},
	{
		class: "A tenant's gateway leads out past the egress gateway",
		tests: []string{"rules.TestCases/ingress-relay", "rules.TestCases/external-name"},
		why:   "whichever of its objects comes last is denied, of Istio's kinds and the Gateway API's",
	},
	{
		class: "A policy that stands already undoes a wall that goes up",
		tests: []string{"rules.TestCases/wide-network-policy", "internal/doctor.TestChecks"},
		why:   "who puts the wall up is told which policies undo it, and where",
	},
	{
		class: "A policy of Cilium's or Calico's adds to a wall, or leads around it",
		tests: []string{"rules.TestCases/plugin-policy", "internal/netpol.TestOneWrongPartOpens", "internal/netpol.TestPluginsAreCounted", "webhook.TestPluginPolicies"},
		why:   "what cannot be shown to lie within the wall is refused to tenants; an existing one is not followed, and is found by sallyport review",
	},
	{
		class: "The server may issue certificates that nobody asked for",
		tests: []string{"test.TestCertificatesOnlyForIssuers", "internal/reconcile.TestNoRightToCertificates"},
		why:   "the right is in a file of its own, for who configures issuers",
	},
	{
		class: "Hostile files steer the terminal or the pipeline, or fill the memory",
		tests: []string{
			"cmd/sallyport.TestHostileFiles", "cmd/sallyport.TestNothingIsWaitedFor", "internal/printable.TestWriter", "internal/printable.FuzzYAML", "internal/manifest.TestBombs",
			"internal/manifest.TestLimits", "internal/manifest.TestPeakMemory", "internal/manifest.TestOnlyRegularFiles",
		},
		why: "all output goes through one writer; only regular files are read, within bounds, and reading can be interrupted",
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
		tests: []string{"rules.TestEverySpellingOfAPrivateAddress", "rules.TestPrivateHost", "rules.FuzzPrivateURL", "rules.TestCases/jwks-uri", "rules.TestCases/proxy-extension"},
		why:   "keys and extensions come from public addresses alone, in whatever spelling; a redirect cannot be seen at admission and is Istio's to refuse",
	},
	{
		class: "A namespace is taken over through a subresource",
		ids:   []string{"GO-2026-5043", "GO-2026-5406", "GHSA-p8j8-x28r-3c9v"},
		tests: []string{"test/e2e.TestEveryWriteIsAccountedFor", "test.TestEveryJudgedKindReachesTheWebhook", "rules.TestCases/namespace-labels"},
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
		tests: []string{"internal/review.TestHostile", "internal/review.FuzzReview", "internal/mesh.FuzzDecode", "internal/review.TestCannotJudge"},
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
		tests: []string{"rules.TestIstioKeysOnPods", "test/istio.TestInjectedPodsPass", "rules.TestCases/proxy-injection"},
		why:   "annotations that the injector reads are the platform's, or have the plainest of values",
	},
}
