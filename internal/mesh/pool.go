package mesh

import (
	"hash/maphash"
	"reflect"
	"slices"
)

// Pool decodes objects that are kept, as a cluster has tens of thousands, and
// lets them share what they repeat: namespaces, protocols, the gateway's host,
// labels and selectors. What it remembers is bounded, and what it has forgotten
// is held twice. The zero value is ready; it is not safe for concurrent use.
type Pool struct {
	strings    []string // poolSize of them, from the first one on; by hash
	lists      [256][]string
	labelSets  [8]labelSet
	nextSet    int // in labelSets
	maps       recent[map[string]string]
	ports      recent[[]ServicePort]
	matches    recent[[]HTTPMatch]
	predicates recent[map[string]StringMatch]
	headers    recent[*Headers]
	selectors  recent[*PortSelector]
	serverTLS  recent[*ServerTLS]
	clientTLS  recent[*ClientTLS]
	trafficTLS recent[[]PortPolicy]
}

// poolSize is how many strings a pool remembers.
const poolSize = 4096

// Decode is [Decode] for an object that a cluster holds, of which the caller
// knows what it is. It also fills [Meta.Fingerprint].
func (p *Pool) Decode(apiVersion, kind string, raw []byte) (Object, error) {
	e := envelope{APIVersion: apiVersion, Kind: kind}
	stored, err := e.read(raw, p.readLabels)
	if err != nil {
		return nil, err
	}
	o, err := e.decode(raw)
	if err != nil {
		return nil, err
	}
	m := o.Metadata()
	if Reserved(m.Name) && stored.by(ManagedBy) {
		m.Fingerprint = fingerprint(m, stored.owners, e.Spec)
		// Nobody asks for these again.
		delete(m.Annotations, HostAnnotation)
		m.UID = ""
	} else if _, ok := o.(*ServiceEntry); ok {
		m.Fingerprint = FingerprintStatus(m.Annotations[StatusAnnotation])
		delete(m.Annotations, StatusAnnotation) // no two are equal
	}
	m.Annotations = orNil(m.Annotations)
	p.share(o)
	return o, nil
}

// text returns the one copy of a string.
func (p *Pool) text(s string) string {
	if s == "" {
		return ""
	}
	if p.strings == nil {
		p.strings = make([]string, poolSize)
	}
	slot := &p.strings[maphash.String(seed, s)%poolSize]
	if *slot != s {
		*slot = s
	}
	return *slot
}

var seed = maphash.MakeSeed()

// list returns the one copy of a list that nobody changes, without spare room.
func (p *Pool) list(list []string) []string {
	if len(list) == 0 {
		return list // nil and empty may differ
	}
	var h maphash.Hash
	h.SetSeed(seed)
	for _, s := range list {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	slot := &p.lists[h.Sum64()%uint64(len(p.lists))]
	if slices.Equal(*slot, list) {
		return *slot
	}
	list = fit(list)
	for i, s := range list {
		list[i] = p.text(s)
	}
	*slot = list
	return list
}

// labelSet is labels as they are written and as they are read.
type labelSet struct {
	raw  string
	read map[string]string
}

// readLabels reads labels, which nobody changes, or finds that they were read
// not long ago: those of all companions are alike.
func (p *Pool) readLabels(raw []byte) (map[string]string, error) {
	for i := range p.labelSets {
		if s := &p.labelSets[i]; s.read != nil && s.raw == string(raw) {
			return s.read, nil
		}
	}
	m, err := readMap(raw)
	if err != nil || m == nil {
		return nil, err
	}
	m = p.labels(m)
	p.labelSets[p.nextSet] = labelSet{string(raw), m}
	p.nextSet = (p.nextSet + 1) % len(p.labelSets)
	return m, nil
}

func (p *Pool) labels(m map[string]string) map[string]string {
	if len(m) == 0 {
		return m
	}
	return p.maps.share(m, func() map[string]string {
		out := make(map[string]string, len(m))
		for k, v := range m {
			out[p.text(k)] = p.text(v)
		}
		return out
	})
}

// recent remembers the values that were seen last.
type recent[T any] struct {
	values [8]T
	n      int // how many were remembered ever
}

// share returns the value that is equal to v, or, where none is remembered,
// what own makes of v.
func (r *recent[T]) share(v T, own func() T) T {
	for _, known := range r.values[:min(r.n, len(r.values))] {
		if reflect.DeepEqual(known, v) {
			return known
		}
	}
	v = own()
	r.values[r.n%len(r.values)] = v
	r.n++
	return v
}

// fit returns the list without spare room. Decoding leaves room for more.
func fit[T any](list []T) []T {
	if len(list) == cap(list) {
		return list
	}
	return append(make([]T, 0, len(list)), list...)
}

// share makes an object that was just decoded share what it can.
func (p *Pool) share(o Object) {
	m := o.Metadata()
	m.Namespace, m.Name = p.text(m.Namespace), p.text(m.Name)
	m.Labels, m.Annotations = p.labels(m.Labels), p.labels(m.Annotations)
	switch o := o.(type) {
	case *ServiceEntry:
		p.shareEntry(o)
	case *VirtualService:
		p.shareVirtual(o)
	case *Gateway:
		p.shareGateway(o)
	case *DestinationRule:
		p.shareRule(o)
	case *Sidecar:
		o.Egress = fit(o.Egress)
		for i := range o.Egress {
			o.Egress[i].Hosts = p.list(o.Egress[i].Hosts)
		}
	case *Service:
		o.Type = p.text(o.Type)
		o.Selector = p.labels(o.Selector)
	case *K8sGateway:
		o.GatewayClassName = p.text(o.GatewayClassName)
	case *Workload:
		o.PodLabels, o.PodAnnotations = p.labels(o.PodLabels), p.labels(o.PodAnnotations)
	}
}

func (p *Pool) shareEntry(se *ServiceEntry) {
	se.Hosts, se.ExportTo, se.Addresses = p.list(se.Hosts), p.list(se.ExportTo), fit(se.Addresses)
	se.Location, se.Resolution = p.text(se.Location), p.text(se.Resolution)
	se.Endpoints = fit(se.Endpoints)
	se.Ports = p.ports.share(se.Ports, func() []ServicePort {
		ports := fit(se.Ports)
		for i := range ports {
			ports[i].Protocol, ports[i].Name = p.text(ports[i].Protocol), p.text(ports[i].Name)
		}
		return ports
	})
}

func (p *Pool) shareVirtual(vs *VirtualService) {
	vs.Hosts, vs.Gateways, vs.ExportTo = p.list(vs.Hosts), p.list(vs.Gateways), p.list(vs.ExportTo)
	vs.HTTP, vs.TLS, vs.TCP = fit(vs.HTTP), fit(vs.TLS), fit(vs.TCP)
	for i := range vs.HTTP {
		r := &vs.HTTP[i]
		r.Route, r.Headers = p.destinations(r.Route), sharePointer(&p.headers, r.Headers)
		r.Match = p.matches.share(r.Match, func() []HTTPMatch {
			matches := fit(r.Match)
			for j := range matches {
				match := &matches[j]
				match.Gateways = p.list(match.Gateways)
				if len(match.Headers) > 0 {
					match.Headers = p.predicates.share(match.Headers, func() map[string]StringMatch { return match.Headers })
				}
			}
			return matches
		})
	}
	for i := range vs.TLS {
		r := &vs.TLS[i]
		r.Match, r.Route = fit(r.Match), p.destinations(r.Route)
		for j := range r.Match {
			r.Match[j].Gateways, r.Match[j].SNIHosts = p.list(r.Match[j].Gateways), p.list(r.Match[j].SNIHosts)
		}
	}
	for i := range vs.TCP {
		r := &vs.TCP[i]
		r.Match, r.Route = fit(r.Match), p.destinations(r.Route)
		for j := range r.Match {
			r.Match[j].Gateways = p.list(r.Match[j].Gateways)
		}
	}
}

func (p *Pool) destinations(routes []RouteDestination) []RouteDestination {
	routes = fit(routes)
	for i := range routes {
		d := &routes[i].Destination
		d.Host, d.Subset, d.Port = p.text(d.Host), p.text(d.Subset), sharePointer(&p.selectors, d.Port)
		routes[i].Headers = sharePointer(&p.headers, routes[i].Headers)
	}
	return routes
}

func sharePointer[T any](r *recent[*T], v *T) *T {
	if v == nil {
		return nil
	}
	return r.share(v, func() *T { return v })
}

func (p *Pool) shareGateway(g *Gateway) {
	g.Selector = p.labels(g.Selector)
	g.Servers = fit(g.Servers)
	for i := range g.Servers {
		s := &g.Servers[i]
		s.Hosts = p.list(s.Hosts)
		s.Name, s.Port.Protocol, s.Port.Name = p.text(s.Name), p.text(s.Port.Protocol), p.text(s.Port.Name)
		s.TLS = sharePointer(&p.serverTLS, s.TLS)
	}
}

func (p *Pool) shareRule(dr *DestinationRule) {
	dr.Host, dr.ExportTo, dr.Subsets = p.text(dr.Host), p.list(dr.ExportTo), fit(dr.Subsets)
	p.sharePolicy(dr.TrafficPolicy)
	for i := range dr.Subsets {
		s := &dr.Subsets[i]
		s.Name, s.Labels = p.text(s.Name), p.labels(s.Labels)
		p.sharePolicy(s.TrafficPolicy)
	}
}

func (p *Pool) sharePolicy(policy *TrafficPolicy) {
	if policy == nil {
		return
	}
	policy.TLS = sharePointer(&p.clientTLS, policy.TLS)
	policy.PortLevelSettings = p.trafficTLS.share(policy.PortLevelSettings, func() []PortPolicy {
		settings := fit(policy.PortLevelSettings)
		for i := range settings {
			settings[i].TLS = sharePointer(&p.clientTLS, settings[i].TLS)
		}
		return settings
	})
}
