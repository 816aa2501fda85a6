package rules

import (
	"bytes"
	"fmt"
)

// limit is something about a mesh that the model does not know.
type limit struct {
	what string
	// unsafe is true where traffic may leave that is believed not to.
	unsafe bool
	then   string // what comes of it, and what to do
}

// limits are what every verdict has to be read with.
var limits = []limit{
	{"revisions with different root namespaces", true, "Of several mesh configurations that name different ones, that of the ConfigMap istio counts, or of the first by name: a Sidecar in another root namespace is not taken for everybody's. The doctor fails then."},
	{"a mesh configuration that is not in the cluster", true, "Where istiod runs elsewhere, or reads a file or objects from other places (configSources), Sallyport's configuration has to say what its fields are. Metric, log and doctor say where no ConfigMap was found."},
	{"headless Services with HTTP ports", true, "To the Service's name a sidecar sends requests to whatever address the client has chosen. " +
		"No object tells such a client: NetworkPolicy contains it."},
	{"private addresses behind Services", true, "In an EndpointSlice, in a WorkloadEntry that a Service selects, and in a ServiceEntry that says MESH_INTERNAL, a private address is taken for a pod's, a node's or a member's. " +
		"Where other networks are reached by such addresses, NetworkPolicy contains it."},
	{"a waypoint that is not ready", true, "Until its first pod runs, ztunnel resolves the entries bound to it without any. Deploy waypoints before entries; NetworkPolicy contains the rest."},
	{"sidecars beside ambient mode", true, "A namespace without labels is taken to have no sidecars where the host's entry is in a namespace in ambient mode. " +
		"Label every namespace whose pods get sidecars one by one; NetworkPolicy contains the rest."},
	{"unknown destinations in ambient mode", true, "ztunnel passes on what it does not know, whatever outboundTrafficPolicy says, and it ignores exportTo. NetworkPolicy contains it."},
	{"namespaces that are not given", false, "Of a namespace without its object the labels are not known. Istio is taken to read it, and to show its entries to everybody, whatever discoverySelectors and serviceEntryVisibility say."},
	{"labels of workloads", false, "A rule for some workloads may apply to a client or not: both are followed, and the worse one is the verdict."},
	{"ports without protocol beside HTTP", false, "Whether Istio sniffs such a port depends on which Service of the same number is the oldest. It is taken to, and what is not HTTP to go straight out."},
	{"listeners that Envoy refuses", false, "Where two servers of the gateway match the same name, Envoy keeps the listener it had. A path is called via that fails."},
	{"EnvoyFilter", false, "The path of every proxy that one applies to is undetermined, unless it is direct already."},
}

func writeLimits(b *bytes.Buffer) {
	b.WriteString(`
## Limits of the model

What a verdict does not take into account, and on which side it then errs:
unsafe where traffic may leave that is believed not to.

| what | side | what comes of it |
|---|---|---|
`)
	for _, l := range limits {
		side := "safe"
		if l.unsafe {
			side = "unsafe"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", l.what, side, l.then)
	}
}
