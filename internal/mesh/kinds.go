package mesh

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/apikind"
)

const (
	groupIstio      = apikind.Istio
	groupExtensions = apikind.Extensions
	groupSecurity   = apikind.Security
	groupTelemetry  = "telemetry.istio.io"
	groupGateway    = apikind.GatewayAPI
	groupGatewayX   = apikind.GatewayAPIX
	groupCilium     = apikind.Cilium
	groupCalico     = apikind.Calico
	groupCalicoKept = apikind.CalicoKept
)

// Other is an object that matters by its existence and metadata only.
type Other struct{ Meta }

// kinds are the kinds that the model holds.
var kinds = named(map[groupKind]kind{
	{groupIstio, "ServiceEntry"}:    spec(finishServiceEntry),
	{groupIstio, "VirtualService"}:  spec(finishVirtualService),
	{groupIstio, "Gateway"}:         spec(finishGateway),
	{groupIstio, "DestinationRule"}: spec(finishDestinationRule),
	{groupIstio, "Sidecar"}:         spec(finishSidecar),
	{groupIstio, "WorkloadEntry"}:   spec[WorkloadEntry](nil),
	{groupIstio, "EnvoyFilter"}:     spec[EnvoyFilter](nil),
	{groupIstio, "WorkloadGroup"}:   {decode: decodeOther},
	{groupIstio, "ProxyConfig"}:     {decode: decodeOther},

	{groupExtensions, "WasmPlugin"}:          {decode: decodeOther},
	{groupExtensions, "TrafficExtension"}:    {decode: decodeOther},
	{groupTelemetry, "Telemetry"}:            {decode: decodeOther},
	{groupSecurity, "AuthorizationPolicy"}:   spec[AuthorizationPolicy](nil),
	{groupSecurity, "PeerAuthentication"}:    {decode: decodeOther},
	{groupSecurity, "RequestAuthentication"}: {decode: decodeOther},
	{groupGateway, "Gateway"}:                {wire: reflect.TypeFor[wireGateway](), decode: decodeK8sGateway},
	{groupGateway, "HTTPRoute"}:              {wire: reflect.TypeFor[wireRoute](), decode: decodeRoute},
	{groupGateway, "GRPCRoute"}:              {wire: reflect.TypeFor[wireRoute](), decode: decodeRoute},
	{groupGateway, "TLSRoute"}:               {wire: reflect.TypeFor[wireRoute](), decode: decodeRoute},
	{groupGateway, "TCPRoute"}:               {wire: reflect.TypeFor[wireRoute](), decode: decodeRoute},
	{groupGateway, "ListenerSet"}:            {decode: decodeOther},
	{groupGatewayX, "XListenerSet"}:          {decode: decodeOther},
	{groupGateway, "BackendTLSPolicy"}:       spec[BackendTLSPolicy](nil),
	{groupGatewayX, "XBackend"}:              spec[XBackend](nil),
	{groupGateway, "ReferenceGrant"}:         {decode: decodeOther},
	{"", "Namespace"}:                        {decode: decodeNamespace},
	{"", "Node"}:                             {decode: decodeNode},
	{"networking.k8s.io", "ServiceCIDR"}:     spec[ServiceCIDR](nil),
	{"", "ConfigMap"}:                        {decode: decodeConfigMap},
	{"", "Service"}:                          {decode: decodeService},
	{"", "Endpoints"}:                        {decode: decodeEndpoints},
	{"discovery.k8s.io", "EndpointSlice"}:    {decode: decodeEndpointSlice},
	{"networking.k8s.io", "NetworkPolicy"}:   {decode: decodeNetworkPolicy},
	{"networking.k8s.io", "Ingress"}:         {decode: decodeOther},
	{"", "Pod"}:                              {decode: decodePod},
	{"", "ReplicationController"}:            {decode: decodeTemplated},
	{"apps", "Deployment"}:                   {decode: decodeTemplated},
	{"apps", "StatefulSet"}:                  {decode: decodeTemplated},
	{"apps", "DaemonSet"}:                    {decode: decodeTemplated},
	{"apps", "ReplicaSet"}:                   {decode: decodeTemplated},
	{"batch", "Job"}:                         {decode: decodeTemplated},
	{"batch", "CronJob"}:                     {decode: decodeCronJob},
	{"", "PodTemplate"}:                      {decode: decodePodTemplate},
	{"", "Binding"}:                          {decode: decodeBinding},
	{"apps", "ControllerRevision"}:           {decode: decodeControllerRevision},

	{groupCilium, "CiliumNetworkPolicy"}:            {decode: decodeOther},
	{groupCilium, "CiliumLocalRedirectPolicy"}:      {decode: decodeOther},
	{groupCilium, "CiliumEnvoyConfig"}:              {decode: decodeOther},
	{groupCilium, "CiliumClusterwideNetworkPolicy"}: {decode: decodeOther},
	{groupCilium, "CiliumClusterwideEnvoyConfig"}:   {decode: decodeOther},
	{groupCalico, "NetworkPolicy"}:                  {decode: decodeOther},
	{groupCalicoKept, "NetworkPolicy"}:              {decode: decodeOther},
	{groupCalico, "NetworkSet"}:                     {decode: decodeOther},
	{groupCalicoKept, "NetworkSet"}:                 {decode: decodeOther},
	{groupCalico, "GlobalNetworkPolicy"}:            {decode: decodeOther},
	{groupCalicoKept, "GlobalNetworkPolicy"}:        {decode: decodeOther},

	{"apiextensions.k8s.io", definitionKind}: {decode: decodeDefinition},
})

// named gives each kind the name and the scope that the table of kinds has for it.
func named(kinds map[groupKind]kind) map[groupKind]kind {
	for key, k := range kinds {
		row, _ := apikind.Of(key.group, key.kind)
		k.name, k.clusterScoped = row.Name, row.Cluster
		kinds[key] = k
	}
	return kinds
}

func decodeDefinition(m Meta, spec, _ []byte) (Object, error) {
	var w struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
	}
	if err := unmarshalSpec(spec, &w); err != nil {
		return nil, err
	}
	return &Definition{Meta: m, Group: w.Group, Kind: w.Names.Kind}, nil
}

func decodeOther(m Meta, spec, _ []byte) (Object, error) { return &Other{Meta: m}, checkSpec(spec) }

func decodeNamespace(m Meta, spec, _ []byte) (Object, error) {
	return &Namespace{Meta: m}, checkSpec(spec)
}

func finishServiceEntry(se *ServiceEntry) {
	se.Location = orDefault(se.Location, "MESH_EXTERNAL")
	se.Resolution = orDefault(se.Resolution, "NONE")
}

func finishVirtualService(vs *VirtualService) {
	if len(vs.Gateways) == 0 {
		vs.Gateways = meshOnly
	}
}

// meshOnly stands for an absent gateways field.
var meshOnly = []string{"mesh"}

func finishGateway(g *Gateway) {
	for i := range g.Servers {
		if t := g.Servers[i].TLS; t != nil && t.Mode == "" {
			t.Mode = "PASSTHROUGH"
		}
	}
}

func finishDestinationRule(dr *DestinationRule) {
	finishPolicy(dr.TrafficPolicy)
	for i := range dr.Subsets {
		finishPolicy(dr.Subsets[i].TrafficPolicy)
	}
}

func finishPolicy(p *TrafficPolicy) {
	if p == nil {
		return
	}
	finishClientTLS(p.TLS)
	for i := range p.PortLevelSettings {
		finishClientTLS(p.PortLevelSettings[i].TLS)
	}
}

func finishClientTLS(t *ClientTLS) {
	if t != nil && t.Mode == "" {
		t.Mode = "DISABLE"
	}
}

func finishSidecar(s *Sidecar) {
	if p := s.OutboundTrafficPolicy; p != nil && p.Mode == "" {
		p.Mode = "REGISTRY_ONLY"
	}
}

// wirePort is a Service's port as written.
type wirePort struct {
	K8sServicePort
	TargetPort intOrString `json:"targetPort"`
}

// intOrString is a number or a name.
type intOrString string

// UnmarshalJSON implements [json.Unmarshaler].
func (v *intOrString) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		err := json.Unmarshal(b, &s)
		*v = intOrString(s)
		return err
	}
	var n int
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	if n != 0 {
		*v = intOrString(strconv.Itoa(n))
	}
	return nil
}

// serviceExportAnnotation is a Kubernetes Service's exportTo, a list with
// commas (ConvertService in Istio's pilot/pkg/serviceregistry/kube).
const serviceExportAnnotation = "networking.istio.io/exportTo"

func decodeService(m Meta, spec, _ []byte) (Object, error) {
	var w struct {
		Type         string            `json:"type"`
		ExternalName string            `json:"externalName"`
		ClusterIP    string            `json:"clusterIP"`
		ClusterIPs   []string          `json:"clusterIPs"`
		ExternalIPs  []string          `json:"externalIPs"`
		Selector     map[string]string `json:"selector"`
		Ports        []wirePort        `json:"ports"`
	}
	if err := unmarshalSpec(spec, &w); err != nil {
		return nil, err
	}
	s := &Service{
		Meta: m, Type: w.Type, ExternalName: w.ExternalName, ClusterIPs: w.ClusterIPs,
		ExternalIPs: w.ExternalIPs, Selector: w.Selector,
	}
	if len(s.ClusterIPs) == 0 && w.ClusterIP != "" {
		s.ClusterIPs = []string{w.ClusterIP}
	}
	if to := m.Annotations[serviceExportAnnotation]; to != "" {
		for ns := range strings.SplitSeq(to, ",") {
			s.ExportTo = append(s.ExportTo, strings.TrimSpace(ns))
		}
	}
	for _, p := range w.Ports {
		p.K8sServicePort.TargetPort = string(p.TargetPort)
		s.Ports = append(s.Ports, p.K8sServicePort)
	}
	return s, nil
}

func decodeEndpointSlice(m Meta, _, raw []byte) (Object, error) {
	var w struct {
		Endpoints []struct {
			Addresses  []string `json:"addresses"`
			Conditions struct {
				Ready *bool `json:"ready"` // unknown counts as ready
			} `json:"conditions"`
		} `json:"endpoints"`
		Ports []EndpointPort `json:"ports"`
	}
	if err := unmarshal(raw, &w); err != nil {
		return nil, fieldError("object", err)
	}
	s := &EndpointSlice{Meta: m, Service: m.Labels["kubernetes.io/service-name"], Ports: w.Ports}
	for _, e := range w.Endpoints {
		s.Addresses = append(s.Addresses, e.Addresses...)
		if e.Conditions.Ready == nil || *e.Conditions.Ready {
			s.Ready += len(e.Addresses)
		}
	}
	return s, nil
}

// decodeEndpoints reads the older form of an EndpointSlice. Kubernetes mirrors
// it into slices, so what it says comes true.
func decodeEndpoints(m Meta, _, raw []byte) (Object, error) {
	type addresses []struct {
		IP string `json:"ip"`
	}
	var w struct {
		Subsets []struct {
			Addresses         addresses `json:"addresses"`
			NotReadyAddresses addresses `json:"notReadyAddresses"`
		} `json:"subsets"`
	}
	if err := unmarshal(raw, &w); err != nil {
		return nil, fieldError("object", err)
	}
	s := &EndpointSlice{Meta: m, Service: m.Name}
	for _, sub := range w.Subsets {
		for _, a := range append(sub.Addresses, sub.NotReadyAddresses...) {
			s.Addresses = append(s.Addresses, a.IP)
		}
	}
	return s, nil
}

func decodeNetworkPolicy(m Meta, _, raw []byte) (Object, error) {
	return &NetworkPolicy{Meta: m, Raw: append([]byte(nil), raw...)}, nil
}

// wireGateway is what counts of a Gateway API Gateway.
type wireGateway struct {
	Addresses        wireAddresses `json:"addresses"`
	GatewayClassName string        `json:"gatewayClassName"`
	Listeners        []struct {
		K8sListener
		TLS *struct {
			Mode string `json:"mode"`
		} `json:"tls"`
		AllowedRoutes struct {
			Namespaces RoutesFrom `json:"namespaces"`
		} `json:"allowedRoutes"`
	} `json:"listeners"`
}

type wireAddresses []struct {
	Value string `json:"value"`
}

func decodeK8sGateway(m Meta, spec, raw []byte) (Object, error) {
	var status struct {
		Status *struct {
			Addresses  wireAddresses `json:"addresses"`
			Conditions []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		} `json:"status"`
	}
	if err := unmarshal(raw, &status); err != nil {
		return nil, fieldError("object", err)
	}
	var w wireGateway
	if err := unmarshalSpec(spec, &w); err != nil {
		return nil, err
	}
	g := &K8sGateway{Meta: m, GatewayClassName: w.GatewayClassName}
	addresses := w.Addresses
	if have := status.Status; have != nil {
		addresses = slices.Concat(addresses, have.Addresses)
		// The addresses come with the first pod that is ready, and stay.
		g.Unready = len(have.Addresses) == 0
		for _, c := range have.Conditions {
			g.Unready = g.Unready || c.Type == "Programmed" && c.Status != "True"
		}
	}
	for _, a := range addresses {
		g.Addresses = append(g.Addresses, a.Value)
	}
	for _, l := range w.Listeners {
		if l.TLS != nil {
			l.K8sListener.TLSMode = "Terminate" // the API's default
			if l.TLS.Mode != "" {
				l.K8sListener.TLSMode = l.TLS.Mode
			}
		}
		l.K8sListener.Routes = l.AllowedRoutes.Namespaces
		g.Listeners = append(g.Listeners, l.K8sListener)
	}
	return g, nil
}

// wireFilter is what counts of a filter of an HTTPRoute or GRPCRoute.
type wireFilter struct {
	RequestMirror *struct {
		BackendRef BackendRef `json:"backendRef"`
	} `json:"requestMirror"`
	URLRewrite *struct {
		Hostname string `json:"hostname"`
	} `json:"urlRewrite"`
	RequestHeaderModifier *struct {
		Set []wireHeader `json:"set"`
		Add []wireHeader `json:"add"`
	} `json:"requestHeaderModifier"`
}

type wireHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// authorities are the values that the filter gives the Host header.
func (f *wireFilter) authorities() []string {
	var out []string
	if f.URLRewrite != nil && f.URLRewrite.Hostname != "" {
		out = append(out, f.URLRewrite.Hostname)
	}
	if m := f.RequestHeaderModifier; m != nil {
		for _, h := range slices.Concat(m.Set, m.Add) {
			if strings.EqualFold(h.Name, "host") || strings.EqualFold(h.Name, ":authority") {
				out = append(out, h.Value)
			}
		}
	}
	return out
}

// wireRoute is what counts of a route of the Gateway API.
type wireRoute struct {
	Hostnames  []string    `json:"hostnames"`
	ParentRefs []ParentRef `json:"parentRefs"`
	Rules      []struct {
		Matches     []json.RawMessage `json:"matches"`
		BackendRefs []struct {
			BackendRef
			Filters []wireFilter `json:"filters"`
		} `json:"backendRefs"`
		Filters []wireFilter `json:"filters"`
	} `json:"rules"`
}

func decodeRoute(m Meta, spec, _ []byte) (Object, error) {
	var w wireRoute
	if err := unmarshalSpec(spec, &w); err != nil {
		return nil, err
	}
	r := &Route{Meta: m, Hostnames: w.Hostnames, ParentRefs: w.ParentRefs}
	for _, rule := range w.Rules {
		out := RouteRule{HasMatches: len(rule.Matches) > 0}
		for _, f := range rule.Filters {
			if f.RequestMirror != nil {
				out.Mirrors = append(out.Mirrors, f.RequestMirror.BackendRef)
			}
			out.Authorities = append(out.Authorities, f.authorities()...)
		}
		for _, b := range rule.BackendRefs {
			out.BackendRefs = append(out.BackendRefs, b.BackendRef)
			for _, f := range b.Filters {
				out.Authorities = append(out.Authorities, f.authorities()...)
			}
		}
		r.Rules = append(r.Rules, out)
	}
	return r, nil
}
