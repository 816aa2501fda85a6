package mesh

import (
	"fmt"
	"maps"
	"slices"
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
	waypointLabel          = "istio.io/use-waypoint"
	waypointNamespaceLabel = "istio.io/use-waypoint-namespace"
	waypointForLabel       = "istio.io/waypoint-for"
	waypointBinding        = "ambient.istio.io/waypoint-inbound-binding"
	managedLabel           = "gateway.istio.io/managed"
	waypointClass          = "istio-waypoint"
	hbonePort              = 15008
)

// UseWaypoint reads the labels by which an entry or a namespace chooses a
// waypoint (GetUseWaypoint in Istio's pilot/pkg/serviceregistry/ambient). Labels
// that are there count even where they are empty: they choose a waypoint that
// cannot exist.
func UseWaypoint(labels map[string]string, namespace string) (ref Ref, ok bool) {
	name, ok := labels[waypointLabel]
	if !ok {
		return Ref{}, false
	}
	if other, ok := labels[waypointNamespaceLabel]; ok {
		namespace = other
	}
	return Ref{Kind: "K8sGateway", Namespace: namespace, Name: name}, true
}

func (x *index) visitWaypoint(o Object, namespace string, i indexer) {
	if ref, ok := UseWaypoint(o.Metadata().Labels, namespace); ok {
		put(i, &x.bindings, o, ref.Namespace, "/", ref.Name, sep, objectKey(o.Metadata().Ref))
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
	g, _ := m.read(ref).(*K8sGateway)
	switch {
	case g == nil || g.GatewayClassName != waypointClass:
		return nil, at.with("there is no waypoint %s", ref.Tell().As(ref.Namespace+"/"+ref.Name))
	case !g.forServices():
		return nil, Reason{Ref: g.Ref, Path: "metadata.labels"}.with("the label %s makes it a waypoint for %s, not for services", told.Plain(waypointForLabel), g.Labels[waypointForLabel])
	case g.Namespace != se.Namespace && m.shown(se) == meshconfig.OwnNamespace:
		return nil, at.with("serviceEntryVisibility of the mesh configuration keeps the entry to its own namespace, and the waypoint is in another")
	case !m.admits(g, se.Namespace):
		return nil, Reason{Ref: g.Ref, Path: "spec.listeners"}.with("allowedRoutes admits nothing of %s", told.InNamespace(se.Namespace))
	}
	return g, Reason{}
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
	return hasLabels(s.MatchLabels, labels)
}
