package config

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Ambient says what Sallyport has to know of a mesh in ambient mode.
type Ambient struct {
	// Waypoints are the waypoints through which traffic may leave the mesh,
	// NAMESPACE/NAME. What leaves by any other counts as direct. An empty list
	// lets none lead out. Beside the first of them, in its namespace, Sallyport keeps
	// what leads the hosts out that namespaces in ambient mode register.
	//
	// Default: every waypoint of a platform namespace; the first is that by namespace
	// and name.
	Waypoints []string `json:"waypoints,omitempty"`
	// WaypointClasses are GatewayClasses by which a Gateway is a waypoint, beside
	// Istio's own istio-waypoint and istio-agentgateway-waypoint.
	//
	// Default: none.
	WaypointClasses []string `json:"waypointClasses,omitempty"`
	// WildcardTLS is ENABLE_WILDCARD_HOST_SERVICE_ENTRIES_FOR_TLS of istiod:
	// enabled or disabled. Without it a waypoint takes an entry of resolution
	// DYNAMIC_DNS for HTTP only.
	//
	// Default: disabled, as in Istio.
	WildcardTLS Switch `json:"wildcardTLS,omitempty"`
}

func (a Ambient) check(fail failure) {
	for i, w := range a.Waypoints {
		checkNamespacedName(w, func(msg string) { fail(fmt.Sprintf("ambient.waypoints[%d]", i), "%s", msg) })
	}
	for i, c := range a.WaypointClasses {
		for _, msg := range content.IsDNS1123Subdomain(c) {
			fail(fmt.Sprintf("ambient.waypointClasses[%d]", i), "%q is not the name of a GatewayClass: %s", c, msg)
		}
	}
	if s := a.WildcardTLS; s != "" && s != Enabled && s != Disabled {
		fail("ambient.wildcardTLS", "must be %s or %s, is %q", Enabled, Disabled, s)
	}
}

func (a Ambient) settings() mesh.Ambient {
	out := mesh.Ambient{Classes: a.WaypointClasses, WildcardTLS: a.WildcardTLS == Enabled}
	if a.Waypoints != nil {
		out.Waypoints = []mesh.WaypointName{}
	}
	for _, w := range a.Waypoints {
		namespace, name, _ := strings.Cut(w, "/")
		out.Waypoints = append(out.Waypoints, mesh.WaypointName{Namespace: namespace, Name: name})
	}
	return out
}
