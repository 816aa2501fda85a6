package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
	"github.com/sallyport-io/sallyport/internal/told"
)

// RoutesFrom is a listener's allowedRoutes.namespaces. From is Same when absent.
type RoutesFrom struct {
	From     string        `json:"from"`
	Selector LabelSelector `json:"selector"`
}

// LabelSelector is Kubernetes' selector of labels.
type LabelSelector struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"` // In, NotIn, Exists or DoesNotExist
		Values   []string `json:"values"`
	} `json:"matchExpressions"`
}

// Labels and annotations by which waypoints and services find each other.
const (
	waypointLabel        = "istio.io/use-waypoint"
	waypointForLabel     = "istio.io/waypoint-for"
	waypointBinding      = "ambient.istio.io/waypoint-inbound-binding"
	managedLabel         = "gateway.istio.io/managed"
	canaryLabel          = "istio.io/use-waypoint-canary"
	canaryNamespaceLabel = "istio.io/use-waypoint-canary-namespace"
	canaryWeight         = "istio.io/use-waypoint-canary-weight"
	waypointClass        = "istio-waypoint"
	agentgatewayClass    = "istio-agentgateway-waypoint"
	hbonePort            = 15008
)

// WaypointNamespaceLabel says where the waypoint is that an entry chooses, unless it is
// in the entry's own namespace.
const WaypointNamespaceLabel = "istio.io/use-waypoint-namespace"

// Ambient is what the configuration says of ambient mode.
type Ambient struct {
	// Waypoints are those that may lead out of the mesh; nil stands for those of
	// platform namespaces.
	Waypoints []WaypointName
	// Classes are the GatewayClasses of waypoints beside Istio's own.
	Classes []string
	// WildcardTLS is istiod's ENABLE_WILDCARD_HOST_SERVICE_ENTRIES_FOR_TLS.
	WildcardTLS bool
}

// WaypointName names a waypoint.
type WaypointName struct{ Namespace, Name string }

// LeadsOut reports whether a waypoint may lead out of the mesh. Any other is one
// of a tenant's, and what leaves there leaves without the platform.
func (s Settings) LeadsOut(waypoint Ref) bool {
	if s.Ambient.Waypoints == nil {
		return s.Platform(waypoint.Namespace)
	}
	return slices.Contains(s.Ambient.Waypoints, WaypointName{waypoint.Namespace, waypoint.Name})
}

// EgressWaypoint is the waypoint by which Sallyport leads clients in ambient mode
// out: the first that the configuration lists, whether it exists or not; where it
// lists none, the first by namespace and name of those for services that platform
// namespaces have. The zero value is none.
func (m *Mesh) EgressWaypoint() WaypointName {
	if listed := m.settings.Ambient.Waypoints; len(listed) > 0 {
		return listed[0]
	} else if listed != nil {
		return WaypointName{}
	}
	for _, namespace := range slices.Sorted(slices.Values(m.settings.PlatformNamespaces)) {
		m.Spend(lookupSteps)
		for o := range m.In("K8sGateway", namespace) {
			m.Spend(1)
			if g := o.(*K8sGateway); m.settings.isWaypoint(g) && g.forServices() {
				return WaypointName{Namespace: g.Namespace, Name: g.Name}
			}
		}
	}
	return WaypointName{}
}

// WaypointProblem says what keeps a waypoint from serving the entries of its own
// namespace, or nothing.
func (m *Mesh) WaypointProblem(w WaypointName) told.Text {
	if w == (WaypointName{}) {
		return "there is no waypoint that may lead out of the mesh"
	}
	g, why := m.waypointNamed(Ref{Kind: "K8sGateway", Namespace: w.Namespace, Name: w.Name}, w.Namespace, Reason{})
	if g != nil {
		return ""
	}
	return why.Says()
}

// isWaypoint reports whether a Gateway is of a class by which Istio deploys a
// waypoint.
func (s Settings) isWaypoint(g *K8sGateway) bool {
	switch g.GatewayClassName {
	case waypointClass, agentgatewayClass:
		return true
	default:
		return slices.Contains(s.Ambient.Classes, g.GatewayClassName)
	}
}

// UseWaypoint reads the labels by which an entry or a namespace chooses a
// waypoint (GetUseWaypoint in Istio's pilot/pkg/serviceregistry/ambient). Labels
// that are there count even where they are empty: they choose a waypoint that
// cannot exist.
func UseWaypoint(labels map[string]string, namespace string) (ref Ref, ok bool) {
	name, ok := labels[waypointLabel]
	if !ok {
		return Ref{}, false
	}
	if other, ok := labels[WaypointNamespaceLabel]; ok {
		namespace = other
	}
	return Ref{Kind: "K8sGateway", Namespace: namespace, Name: name}, true
}

// WaypointLabels are the labels by which an entry beside a waypoint chooses it.
func WaypointLabels(name string) map[string]string { return map[string]string{waypointLabel: name} }

func (x *index) visitWaypoint(o Object, namespace string, i indexer) {
	labels := o.Metadata().Labels
	if ref, ok := UseWaypoint(labels, namespace); ok {
		put(i, &x.bindings, o, ref.Namespace, "/", ref.Name, sep, objectKey(o.Metadata().Ref))
	}
	if name := labels[canaryLabel]; name != "" {
		if other, ok := labels[canaryNamespaceLabel]; ok {
			namespace = other
		}
		put(i, &x.bindings, o, namespace, "/", name, sep, objectKey(o.Metadata().Ref))
	}
}

// Waypoint returns the waypoint that serves an entry; nil where there is none.
func (m *Mesh) Waypoint(se *ServiceEntry) *K8sGateway {
	g, _ := m.waypoint(se)
	return g
}

// waypoint returns the waypoint that serves an entry, or nil and why there is
// none: then the entry resolves without one (fetchWaypointForService in Istio's
// pilot/pkg/serviceregistry/ambient). The entry's own label takes the place of
// its namespace's, whatever comes of it.
func (m *Mesh) waypoint(se *ServiceEntry) (*K8sGateway, Reason) {
	at := Reason{Ref: se.Ref, Path: "metadata.labels"}
	if managed := se.Labels[managedLabel]; managed == "istio.io-mesh-controller" || managed == "istio.io-eastwest-controller" {
		return nil, at.with("the label %s makes Istio take the entry for a waypoint, which has none itself", told.Plain(managedLabel))
	}
	ref, ok := UseWaypoint(se.Labels, se.Namespace)
	if ns := m.Namespace(se.Namespace); !ok && ns != nil {
		if ref, ok = UseWaypoint(ns.Labels, se.Namespace); ok {
			at.Ref = ns.Ref
		}
	}
	if !ok {
		return nil, at.with("no label %s names a waypoint", told.Plain(waypointLabel))
	}
	if ref.Name == "none" {
		return nil, at.with("the label %s opts out of waypoints", told.Plain(waypointLabel))
	}
	g, why := m.waypointNamed(ref, se.Namespace, at)
	if g != nil && g.Namespace != se.Namespace && m.shown(se) == meshconfig.OwnNamespace {
		return nil, at.with("serviceEntryVisibility of the mesh configuration keeps the entry to its own namespace, and the waypoint is in another")
	}
	return g, why
}

// waypointNamed returns the waypoint of a name, for entries of a namespace, or nil and why
// Istio takes it for none.
func (m *Mesh) waypointNamed(ref Ref, namespace string, at Reason) (*K8sGateway, Reason) {
	m.Spend(lookupSteps)
	g, _ := m.read(ref).(*K8sGateway)
	switch {
	case g == nil || !m.settings.isWaypoint(g):
		return nil, at.with("there is no waypoint %s", ref.Tell().As(ref.Namespace+"/"+ref.Name))
	case g.Unready:
		return nil, Reason{Ref: g.Ref, Path: "status.conditions"}.with("the waypoint is not ready")
	case !g.forServices():
		return nil, Reason{Ref: g.Ref, Path: "metadata.labels"}.with("the label %s makes it a waypoint for %s, not for services", told.Plain(waypointForLabel), g.Labels[waypointForLabel])
	case !m.admits(g, namespace):
		return nil, Reason{Ref: g.Ref, Path: "spec.listeners"}.with("allowedRoutes admits nothing of %s", told.InNamespace(namespace))
	}
	return g, Reason{}
}

// share is a waypoint, the percentage of an entry's connections that it gets, and
// the object that says so.
type share struct {
	waypoint *K8sGateway
	weight   int
	by       Reason
}

// shares are the waypoints of an entry that get any of its connections; none where
// there is none, with the reason.
func (m *Mesh) shares(se *ServiceEntry) ([]share, Reason) {
	g, why := m.waypoint(se)
	if g == nil {
		return nil, why
	}
	all := share{g, 100, m.chosenBy(se)}
	canary, weight, by := m.canary(se)
	if canary == nil || canary == g || weight == 0 {
		return []share{all}, Reason{}
	}
	all.weight -= weight
	out := []share{{canary, weight, by}}
	if all.weight > 0 {
		out = append(out, all)
	}
	return out, Reason{}
}

// chosenBy names the object whose labels choose the waypoint of an entry.
func (m *Mesh) chosenBy(se *ServiceEntry) Reason {
	ref := se.Ref
	if _, own := UseWaypoint(se.Labels, se.Namespace); !own {
		if ns := m.Namespace(se.Namespace); ns != nil {
			ref = ns.Ref
		}
	}
	return Reason{Ref: ref, Path: "metadata.labels[" + strconv.Quote(waypointLabel) + "]"}
}

// canary returns the waypoint that takes a share of an entry's connections beside
// its own, nil where there is none (buildWeightedWaypoints in Istio's
// pilot/pkg/serviceregistry/ambient). The namespace has a say only where the
// entry's own waypoint comes from there.
func (m *Mesh) canary(se *ServiceEntry) (g *K8sGateway, weight int, by Reason) {
	var ns *Namespace
	if _, own := UseWaypoint(se.Labels, se.Namespace); !own {
		ns = m.Namespace(se.Namespace)
	}
	from := &se.Meta
	if _, own := se.Labels[canaryLabel]; !own && ns != nil {
		from = &ns.Meta
	}
	name := from.Labels[canaryLabel]
	if name == "" || name == "none" {
		return nil, 0, Reason{}
	}
	namespace := se.Namespace
	if other, ok := from.Labels[canaryNamespaceLabel]; ok {
		namespace = other
	}
	text, ok := se.Annotations[canaryWeight]
	if !ok && ns != nil {
		text = ns.Annotations[canaryWeight]
	}
	weight, err := strconv.Atoi(text)
	if err != nil || weight < 0 || weight > 100 {
		return nil, 0, Reason{}
	}
	by = Reason{Ref: from.Ref, Path: "metadata.labels[" + strconv.Quote(canaryLabel) + "]"}
	g, _ = m.waypointNamed(Ref{Kind: "K8sGateway", Namespace: namespace, Name: name}, se.Namespace, by)
	return g, weight, by
}

// NewWaypoint is the plainest waypoint of that name: for services, and open to
// entries of every namespace.
func NewWaypoint(ref Ref) *K8sGateway {
	return &K8sGateway{
		Meta: Meta{Ref: ref}, GatewayClassName: waypointClass,
		Listeners: []K8sListener{{Protocol: "HBONE", Port: hbonePort, Routes: RoutesFrom{From: "All"}}},
	}
}

// forServices reports whether a waypoint takes traffic for services.
func (g *K8sGateway) forServices() bool {
	kind, ok := g.Labels[waypointForLabel]
	return !ok || kind == "service" || kind == "all"
}

// admits reports whether a waypoint's listener lets entries of a namespace bind
// to it (makeAllowedRoutes and AllowsAttachmentFromNamespaceOrLookup).
func (m *Mesh) admits(g *K8sGateway, namespace string) bool {
	m.Spend(endpointSteps * len(g.Listeners))
	i := slices.IndexFunc(g.Listeners, g.bound)
	if i < 0 {
		i = slices.IndexFunc(g.Listeners, func(l K8sListener) bool { return l.Protocol == "HBONE" && l.Port == hbonePort })
	}
	if i < 0 {
		return g.Namespace == namespace
	}
	switch from := g.Listeners[i].Routes; from.From {
	case "All":
		return true
	case "Selector":
		ns := m.Namespace(namespace)
		if ns == nil {
			return false
		}
		m.Spend(labelSteps * len(ns.Labels))
		for i := range from.Selector.MatchExpressions {
			m.Spend(1 + len(from.Selector.MatchExpressions[i].Values)>>3)
		}
		labels := maps.Clone(ns.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		labels["kubernetes.io/metadata.name"] = namespace // as the API server does
		return from.Selector.matches(labels)
	default: // Same
		return g.Namespace == namespace
	}
}

// bound reports whether a listener is the one that the annotation of the
// waypoint puts in the place of the usual one: "protocol" or "protocol/port".
func (g *K8sGateway) bound(l K8sListener) bool {
	protocol, port, _ := strings.Cut(g.Annotations[waypointBinding], "/")
	switch {
	case protocol != "PROXY" && protocol != "NONE", strings.Contains(port, "/"):
		return false
	case port != "" && port != "0":
		return fmt.Sprint(l.Port) == port
	default:
		return protocol == "PROXY" && l.Protocol == "istio.io/PROXY"
	}
}

// captured reports whether ztunnel recognises traffic for an entry: by an
// address that the entry has, or that Istio allocates to it (ShouldV2AutoAllocateIP
// in Istio's pilot/pkg/networking/serviceentry).
func captured(se *ServiceEntry, host string) bool {
	switch {
	case len(se.Addresses) > 0:
		return true
	case se.Resolution == "NONE", strings.EqualFold(se.Labels["networking.istio.io/enable-autoallocate-ip"], "false"):
		return false
	default:
		return !IsWildcard(host) || se.Resolution == "DYNAMIC_DNS"
	}
}

// matches reports whether the selector picks an object with these labels.
func (s *LabelSelector) matches(labels map[string]string) bool {
	for _, e := range s.MatchExpressions {
		value, ok := labels[e.Key]
		switch e.Operator {
		case "In":
			ok = ok && slices.Contains(e.Values, value)
		case "NotIn":
			ok = !ok || !slices.Contains(e.Values, value)
		case "DoesNotExist":
			ok = !ok
		}
		if !ok {
			return false
		}
	}
	return HasLabels(s.MatchLabels, labels)
}
