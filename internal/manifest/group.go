package manifest

import (
	"strings"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/schema"
)

// gatewayKinds are the kinds of the Gateway API that bear on egress, and the
// versions that are served of them.
var gatewayKinds = map[string]string{
	"BackendTLSPolicy": "v1",
	"Gateway":          "v1",
	"GatewayClass":     "v1",
	"GRPCRoute":        "v1",
	"HTTPRoute":        "v1",
	"ListenerSet":      "v1",
	"ReferenceGrant":   "v1beta1",
	"TCPRoute":         "v1alpha2",
	"TLSRoute":         "v1",
}

// maxMisspelt is how many letters of a group may be wrong.
const maxMisspelt = 3

// misspelt refuses a kind of Istio's or the Gateway API's in a group that is
// almost the right one, or in none: it would pass for somebody else's kind, and
// nothing would be judged. A group in which an API server holds objects exists.
func (c *checker) misspelt(o *Object) {
	g := group(o.APIVersion)
	if c.stored && g != "" || len(g) > 64 { // comparing costs the product of the lengths
		return
	}
	best, distance := "", maxMisspelt+1
	consider := func(right, version string) {
		d := editDistance(strings.ToLower(g), right)
		if g == "" {
			d = maxMisspelt
		}
		if g == right || d >= distance {
			return
		}
		if _, v, ok := strings.Cut(o.APIVersion, "/"); ok {
			version = v
		}
		best, distance = right+"/"+version, d
	}
	// Istio's first: without any group a Gateway is more likely to be Istio's.
	for right := range schema.IstioGroups() {
		if _, ok := schema.Istio(right, o.Kind); ok {
			consider(right, "v1")
		}
	}
	if version, ok := gatewayKinds[o.Kind]; ok && g != apikind.GatewayAPI {
		consider(apikind.GatewayAPI, version)
	}
	if best != "" {
		c.errorf(o.root.at("apiVersion").line, "apiVersion", "%s is not a kind of %s; write %s", o.Kind, o.APIVersion, best)
	}
}
