package companion

import (
	"encoding/json"
	"fmt"
	"maps"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	istiotype "istio.io/api/type/v1beta1"
	istio "istio.io/client-go/pkg/apis/networking/v1"
	istiosecurity "istio.io/client-go/pkg/apis/security/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// APIObject is an object of Istio's API.
type APIObject interface {
	metav1.Object
	runtime.Object
}

// Render returns a companion as an object of networking.istio.io/v1, or of
// security.istio.io/v1. It renders what [For] computes: fields that no
// companion uses are not looked at. The result may share slices with the
// companion and is not to be changed.
func Render(o mesh.Object) (APIObject, error) {
	switch o := o.(type) {
	case *mesh.ServiceEntry:
		return renderServiceEntry(o)
	case *mesh.Gateway:
		return renderGateway(o)
	case *mesh.DestinationRule:
		return renderDestinationRule(o)
	case *mesh.VirtualService:
		return renderVirtualService(o)
	case *mesh.AuthorizationPolicy:
		return renderAuthorizationPolicy(o)
	default:
		return nil, fmt.Errorf("%s: companions are of the kinds %v", o.Metadata().Ref, Kinds)
	}
}

// Manifest returns a companion as YAML, without status.
func Manifest(o mesh.Object) ([]byte, error) {
	object, err := Render(o)
	if err != nil {
		return nil, err
	}
	fields, err := Fields(object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Metadata().Ref, err)
	}
	return yaml.Marshal(fields)
}

// Fields returns a rendered companion as the JSON object that people are to
// read, without status. PASSTHROUGH, which is zero to protobuf and therefore
// left out by Istio's types, is there: an empty tls reads like a mistake.
func Fields(object APIObject) (map[string]any, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	if meta, ok := fields["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	if _, ok := object.(*istio.Gateway); !ok {
		return fields, nil
	}
	servers, _, err := unstructured.NestedSlice(fields, "spec", "servers")
	if err != nil {
		return nil, err
	}
	for _, server := range servers {
		tls, ok, _ := unstructured.NestedMap(server.(map[string]any), "tls")
		if ok && tls["mode"] == nil {
			tls["mode"] = networking.ServerTLSSettings_PASSTHROUGH.String()
			server.(map[string]any)["tls"] = tls
		}
	}
	return fields, unstructured.SetNestedSlice(fields, servers, "spec", "servers")
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: istio.SchemeGroupVersion.String(), Kind: kind}
}

func objectMeta(m *mesh.Meta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:        m.Name,
		Namespace:   m.Namespace,
		Labels:      maps.Clone(m.Labels),
		Annotations: maps.Clone(m.Annotations),
	}
}

// enum returns the value of a protobuf enumeration by its name.
func enum[E ~int32](o mesh.Object, values map[string]int32, name string) (E, error) {
	v, ok := values[name]
	if !ok {
		return 0, fmt.Errorf("%s: Istio's API has no value %q", o.Metadata().Ref, name)
	}
	return E(v), nil
}

func renderServiceEntry(o *mesh.ServiceEntry) (APIObject, error) {
	location, err := enum[networking.ServiceEntry_Location](o, networking.ServiceEntry_Location_value, o.Location)
	if err != nil {
		return nil, err
	}
	resolution, err := enum[networking.ServiceEntry_Resolution](o, networking.ServiceEntry_Resolution_value, o.Resolution)
	if err != nil {
		return nil, err
	}
	out := &istio.ServiceEntry{TypeMeta: typeMeta("ServiceEntry"), ObjectMeta: objectMeta(&o.Meta)}
	out.Spec.Hosts = o.Hosts
	out.Spec.Location = location
	out.Spec.Resolution = resolution
	out.Spec.ExportTo = o.ExportTo
	for _, e := range o.Endpoints {
		out.Spec.Endpoints = append(out.Spec.Endpoints, &networking.WorkloadEntry{Address: e.Address})
	}
	for _, p := range o.Ports {
		out.Spec.Ports = append(out.Spec.Ports, &networking.ServicePort{
			Number: uint32(p.Number), Protocol: p.Protocol, Name: p.Name, TargetPort: uint32(p.TargetPort),
		})
	}
	return out, nil
}

func renderGateway(o *mesh.Gateway) (APIObject, error) {
	out := &istio.Gateway{TypeMeta: typeMeta("Gateway"), ObjectMeta: objectMeta(&o.Meta)}
	out.Spec.Selector = maps.Clone(o.Selector)
	for _, s := range o.Servers {
		server := &networking.Server{
			Port:  &networking.Port{Number: uint32(s.Port.Number), Protocol: s.Port.Protocol, Name: s.Port.Name},
			Hosts: s.Hosts,
		}
		if s.TLS != nil {
			mode, err := enum[networking.ServerTLSSettings_TLSmode](o, networking.ServerTLSSettings_TLSmode_value, s.TLS.Mode)
			if err != nil {
				return nil, err
			}
			server.Tls = &networking.ServerTLSSettings{Mode: mode}
		}
		out.Spec.Servers = append(out.Spec.Servers, server)
	}
	return out, nil
}

func renderDestinationRule(o *mesh.DestinationRule) (APIObject, error) {
	out := &istio.DestinationRule{TypeMeta: typeMeta("DestinationRule"), ObjectMeta: objectMeta(&o.Meta)}
	out.Spec.Host = o.Host
	out.Spec.ExportTo = o.ExportTo
	policy, err := renderPolicy(o, o.TrafficPolicy)
	if err != nil {
		return nil, err
	}
	out.Spec.TrafficPolicy = policy
	for _, s := range o.Subsets {
		policy, err := renderPolicy(o, s.TrafficPolicy)
		if err != nil {
			return nil, err
		}
		out.Spec.Subsets = append(out.Spec.Subsets, &networking.Subset{Name: s.Name, TrafficPolicy: policy})
	}
	return out, nil
}

func renderPolicy(o *mesh.DestinationRule, p *mesh.TrafficPolicy) (*networking.TrafficPolicy, error) {
	if p == nil {
		return nil, nil
	}
	out := &networking.TrafficPolicy{}
	for _, s := range p.PortLevelSettings {
		port := &networking.TrafficPolicy_PortTrafficPolicy{Port: &networking.PortSelector{Number: uint32(s.Port.Number)}}
		if s.TLS != nil {
			mode, err := enum[networking.ClientTLSSettings_TLSmode](o, networking.ClientTLSSettings_TLSmode_value, s.TLS.Mode)
			if err != nil {
				return nil, err
			}
			port.Tls = &networking.ClientTLSSettings{Mode: mode, Sni: s.TLS.SNI, CredentialName: s.TLS.CredentialName}
		}
		if s.ConnectionPool != nil && s.ConnectionPool.HTTP != nil {
			policy, err := enum[networking.ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy](
				o, networking.ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy_value, s.ConnectionPool.HTTP.H2UpgradePolicy)
			if err != nil {
				return nil, err
			}
			port.ConnectionPool = &networking.ConnectionPoolSettings{Http: &networking.ConnectionPoolSettings_HTTPSettings{H2UpgradePolicy: policy}}
		}
		out.PortLevelSettings = append(out.PortLevelSettings, port)
	}
	return out, nil
}

func renderVirtualService(o *mesh.VirtualService) (APIObject, error) {
	out := &istio.VirtualService{TypeMeta: typeMeta("VirtualService"), ObjectMeta: objectMeta(&o.Meta)}
	out.Spec.Hosts = o.Hosts
	out.Spec.Gateways = o.Gateways
	out.Spec.ExportTo = o.ExportTo
	for _, r := range o.HTTP {
		out.Spec.Http = append(out.Spec.Http, renderHTTPRoute(r))
	}
	for _, r := range o.TLS {
		route := &networking.TLSRoute{Route: renderDestinations(r.Route)}
		for _, m := range r.Match {
			route.Match = append(route.Match, &networking.TLSMatchAttributes{
				Gateways: m.Gateways, Port: uint32(m.Port), SniHosts: m.SNIHosts,
			})
		}
		out.Spec.Tls = append(out.Spec.Tls, route)
	}
	for _, r := range o.TCP {
		route := &networking.TCPRoute{Route: renderDestinations(r.Route)}
		for _, m := range r.Match {
			route.Match = append(route.Match, &networking.L4MatchAttributes{Gateways: m.Gateways, Port: uint32(m.Port)})
		}
		out.Spec.Tcp = append(out.Spec.Tcp, route)
	}
	return out, nil
}

func renderHTTPRoute(r mesh.HTTPRoute) *networking.HTTPRoute {
	out := &networking.HTTPRoute{}
	for _, m := range r.Match {
		match := &networking.HTTPMatchRequest{Gateways: m.Gateways, Port: uint32(m.Port)}
		for name, value := range m.Headers {
			if match.Headers == nil {
				match.Headers = make(map[string]*networking.StringMatch)
			}
			match.Headers[name] = &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: *value.Exact}}
		}
		out.Match = append(out.Match, match)
	}
	for _, d := range r.Route {
		out.Route = append(out.Route, &networking.HTTPRouteDestination{Destination: renderDestination(d.Destination)})
	}
	if h := r.Headers; h != nil && h.Request != nil {
		out.Headers = &networking.Headers{Request: &networking.Headers_HeaderOperations{
			Set: maps.Clone(h.Request.Set), Remove: h.Request.Remove,
		}}
	}
	return out
}

func renderDestinations(routes []mesh.RouteDestination) []*networking.RouteDestination {
	var out []*networking.RouteDestination
	for _, r := range routes {
		out = append(out, &networking.RouteDestination{Destination: renderDestination(r.Destination)})
	}
	return out
}

func renderDestination(d mesh.Destination) *networking.Destination {
	return &networking.Destination{Host: d.Host, Subset: d.Subset, Port: &networking.PortSelector{Number: uint32(d.Port.Number)}}
}

func renderAuthorizationPolicy(o *mesh.AuthorizationPolicy) (APIObject, error) {
	action, err := enum[security.AuthorizationPolicy_Action](o, security.AuthorizationPolicy_Action_value, o.Action)
	if err != nil {
		return nil, err
	}
	out := &istiosecurity.AuthorizationPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: istiosecurity.SchemeGroupVersion.String(), Kind: "AuthorizationPolicy"},
		ObjectMeta: objectMeta(&o.Meta),
	}
	if o.Selector != nil {
		out.Spec.Selector = &istiotype.WorkloadSelector{MatchLabels: maps.Clone(o.Selector.MatchLabels)}
	}
	for _, t := range o.TargetRefs {
		out.Spec.TargetRefs = append(out.Spec.TargetRefs, &istiotype.PolicyTargetReference{Group: t.Group, Kind: t.Kind, Name: t.Name})
	}
	out.Spec.Action = action
	for _, r := range o.Rules {
		rule := &security.Rule{}
		for _, f := range r.From {
			rule.From = append(rule.From, &security.Rule_From{Source: &security.Source{
				NotNamespaces: f.Source.NotNamespaces, NotPrincipals: f.Source.NotPrincipals,
			}})
		}
		for _, to := range r.To {
			rule.To = append(rule.To, &security.Rule_To{Operation: &security.Operation{Ports: to.Operation.Ports}})
		}
		for _, c := range r.When {
			rule.When = append(rule.When, &security.Condition{Key: c.Key, Values: c.Values})
		}
		out.Spec.Rules = append(out.Spec.Rules, rule)
	}
	return out, nil
}
