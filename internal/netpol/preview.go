package netpol

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Outlook is what would become of a namespace's traffic behind the wall.
// Every list is sorted.
type Outlook struct {
	Namespace string `json:"namespace"`
	// Cut is what would no longer be reached.
	Cut []Prospect `json:"cut"`
	// Unclear is what the model cannot tell.
	Unclear []Prospect `json:"unclear"`
	// Kept is what would go on.
	Kept []Prospect `json:"kept"`
	// Holes are policies of the namespace that would leave the wall open, and
	// pods that no policy holds.
	Holes []mesh.Reason `json:"holes"`
}

// Prospect is one destination and what would become of traffic for it.
type Prospect struct {
	// What is the kind of evidence: host (a ServiceEntry), service, flow (seen
	// in a log), or dns, where the cluster's is not known.
	What        string `json:"what"`
	Destination string `json:"destination"` // HOST, NAMESPACE/SERVICE, or what the log calls it
	Protocol    string `json:"protocol"`
	Port        string `json:"port"` // number or name
	Why         string `json:"why"`
	// Seen is how many flows of the log this is; zero for other evidence.
	Seen int `json:"seen,omitempty"`
}

// Preview says what a wall around the namespace would cut off, whether or not
// the namespace has one: of the hosts that ServiceEntries register, of the
// Services that its pods could call, and of what its pods were seen to do.
func Preview(m *mesh.Mesh, namespace string, flows []Flow) (Outlook, error) {
	m = walledMesh(m, namespace)
	if controlPlane(m.Settings(), namespace) {
		return Outlook{}, fmt.Errorf("namespace %s is one of the control plane, which is never walled: name a namespace with workloads", namespace)
	}
	v := newView(m, namespace)
	o := Outlook{Namespace: namespace}
	if !m.Settings().Walls.IstioTask && len(DNS(m)) == 0 {
		o.Unclear = append(o.Unclear, Prospect{
			What: "dns", Destination: "every name", Protocol: "UDP", Port: strconv.Itoa(dnsPort),
			Why: "no Service of the cluster's DNS is known, and the wall may close it: give the Services too, or name it in walls.dns",
		})
	}
	v.hosts(&o)
	v.services(&o)
	v.flows(&o, flows)
	if err := v.holes(&o); err != nil {
		return Outlook{}, err
	}
	for _, list := range []*[]Prospect{&o.Cut, &o.Unclear, &o.Kept} {
		slices.SortFunc(*list, func(a, b Prospect) int {
			return strings.Compare(a.key(), b.key())
		})
		if *list == nil {
			*list = []Prospect{} // [] in JSON, not null
		}
	}
	if o.Holes == nil {
		o.Holes = []mesh.Reason{}
	}
	return o, nil
}

func (p Prospect) key() string { return p.What + " " + p.Destination + " " + p.Protocol + " " + p.Port }

type view struct {
	m     *mesh.Mesh
	own   string
	wall  permits
	ports []networkingv1.NetworkPolicyPort // that the wall opens by a name of which nobody knows the number
	opens map[string]bool                  // by egress gateway: whether the wall does
	// slices are the EndpointSlices by namespace and Service.
	slices map[[2]string][]*mesh.EndpointSlice
}

func newView(m *mesh.Mesh, own string) *view {
	policy := resolved(m, wall(m, own))
	v := &view{
		m: m, own: own, wall: newPermits(m, []*networkingv1.NetworkPolicy{policy}),
		opens: map[string]bool{}, slices: map[[2]string][]*mesh.EndpointSlice{},
	}
	for _, rule := range policy.Spec.Egress {
		for _, port := range rule.Ports {
			if port.Port == nil || port.Port.Type != intstr.String {
				continue
			}
			if !slices.ContainsFunc(rule.To, func(p networkingv1.NetworkPolicyPeer) bool { return len(numbersOf(m, p, port)) > 0 }) {
				v.ports = append(v.ports, port)
			}
		}
	}
	for o := range m.All("EndpointSlice") {
		s := o.(*mesh.EndpointSlice)
		v.slices[[2]string{s.Namespace, s.Service}] = append(v.slices[[2]string{s.Namespace, s.Service}], s)
	}
	for _, g := range m.Settings().Gateways {
		v.opens[g.Name] = v.opensTo(g)
	}
	return v
}

// hosts asks where traffic for registered hosts goes now. What does not arrive
// today is nobody's loss.
func (v *view) hosts(o *Outlook) {
	for point := range v.m.AllPoints() {
		path := v.m.Paths(v.own, point.Host, point.Port)
		p := Prospect{What: "host", Destination: point.Host, Protocol: point.Protocol, Port: strconv.Itoa(point.Port)}
		if len(path.Because) > 0 {
			p.Why = path.Because[0].Message
		}
		list := &o.Kept
		switch path.Verdict {
		case mesh.Via:
			p.Why = "through the egress gateway " + path.Gateway
			if !v.opens[path.Gateway] {
				p.Why = "goes " + p.Why + ", which the wall closes: label the gateway's namespace istio=system"
				list = &o.Cut
			}
		case mesh.Direct:
			list = &o.Cut
		case mesh.Undetermined:
			list = &o.Unclear
		default:
			continue
		}
		*list = append(*list, p) // each host and port comes once
	}
}

// opensTo reports whether the wall lets pods reach a gateway. Only a wall that
// goes by labels of namespaces may not.
func (v *view) opensTo(g mesh.EgressGateway) bool {
	return slices.ContainsFunc(gatewayPorts(v.m, g, false), func(port networkingv1.NetworkPolicyPort) bool {
		return v.wall.permits(nil, Destination{
			Namespace: g.Namespace, Labels: g.Selector, Protocol: "TCP", Port: port.Port.IntValue(), PortName: port.Port.StrVal,
		})
	})
}

// services asks of every Service whether its pods could still be called.
func (v *view) services(o *Outlook) {
	for object := range v.m.All("Service") {
		s := object.(*mesh.Service)
		for _, port := range s.Ports {
			p := Prospect{
				What: "service", Destination: s.Namespace + "/" + s.Name,
				Protocol: port.Protocol, Port: strconv.Itoa(port.Port),
			}
			if p.Protocol == "" {
				p.Protocol = "TCP"
			}
			switch {
			case s.Type == "ExternalName":
				p.Why = "is another name of " + s.ExternalName + ", which a pod would call without the gateway"
				o.Cut = append(o.Cut, p)
				continue
			case len(s.Selector) == 0:
				list := &o.Cut
				p.Why = "has no pods, but addresses that somebody wrote: they lie outside the mesh"
				switch {
				case v.opensAddresses(s, port):
					list, p.Why = &o.Kept, "a destination of the configuration"
				case s.Namespace == "default" && s.Name == "kubernetes":
					p.Why = "is the API server: for pods that call it, list its addresses in the configuration (walls.destinations)"
				}
				*list = append(*list, p)
				continue
			}
			to := Destination{Namespace: s.Namespace, Labels: s.Selector, Protocol: p.Protocol}
			to.PortName = target(port)
			to.Port, _ = strconv.Atoi(to.PortName)
			if v.wall.permits(nil, to) {
				p.Why = "remains open"
				o.Kept = append(o.Kept, p)
				continue
			}
			p.Why = v.outside(s.Namespace)
			o.Cut = append(o.Cut, p)
		}
	}
}

// opensAddresses reports whether the wall lets pods reach every address of a
// Service without selector.
func (v *view) opensAddresses(s *mesh.Service, port mesh.K8sServicePort) bool {
	to := Destination{Protocol: cmp.Or(port.Protocol, "TCP"), PortName: target(port)}
	to.Port, _ = strconv.Atoi(to.PortName)
	known := false
	for _, slice := range v.slices[[2]string{s.Namespace, s.Name}] {
		for _, address := range slice.Addresses {
			var err error
			if to.Address, err = netip.ParseAddr(address); err != nil || !v.wall.permits(nil, to) {
				return false
			}
			known = true
		}
	}
	return known
}

func (v *view) outside(namespace string) string {
	ns := v.m.Namespace(namespace)
	switch {
	case v.m.Settings().Walls.IstioTask:
		return "namespace " + namespace + " has neither the label istio=system nor, for DNS, kube-system=true"
	case v.m.Settings().Platform(namespace):
		return "namespace " + namespace + " is the platform's, of which only DNS, istiod and the egress gateways remain open"
	case ns != nil && ns.InMesh():
		return "namespace " + namespace + " is in the mesh, but not among the neighbours of " + v.own
	}
	return "namespace " + namespace + " is not in the mesh"
}

// flows asks of what was seen whether it would be seen again. A log that has
// left out what that depends on leaves it unclear.
func (v *view) flows(o *Outlook, flows []Flow) {
	type fate struct {
		Prospect
		list *[]Prospect
	}
	var keys []string
	seen := map[string]*fate{}
	for _, f := range flows {
		if f.Namespace != v.own {
			continue
		}
		p := fate{Prospect{What: "flow", Destination: f.name(), Protocol: f.To.Protocol, Port: strconv.Itoa(f.To.Port)}, &o.Cut}
		switch {
		case f.To.Port == 0:
			p.Port, p.Why, p.list = "?", "seen, but the log does not tell its port", &o.Unclear
		case v.wall.permits(f.Labels, f.To):
			p.Why, p.list = "seen, and open behind the wall", &o.Kept
		case v.byName(f):
			p.Why, p.list = "seen, but the log does not tell whether the port is the named one that the wall opens", &o.Unclear
		case v.registered(f):
			p.Why, p.list = "seen going straight; pods with a sidecar reach it through the egress gateway, others would be cut off", &o.Unclear
		default:
			p.Why = "seen, and closed by the wall"
		}
		key := p.key() + p.Why
		if seen[key] == nil {
			seen[key] = &p
			keys = append(keys, key)
		}
		seen[key].Seen++
	}
	for _, key := range keys {
		*seen[key].list = append(*seen[key].list, seen[key].Prospect)
	}
}

// registered reports whether the flow went to a host that is led through the
// gateway: since the log was written, perhaps.
func (v *view) registered(f Flow) bool {
	return f.To.Namespace == "" && slices.ContainsFunc(f.Names, func(name string) bool {
		return v.m.Paths(v.own, mesh.CanonicalHost(name), f.To.Port).Verdict == mesh.Via
	})
}

// byName reports whether the wall opens some port of the destination by its
// name, which no log tells.
func (v *view) byName(f Flow) bool {
	return slices.ContainsFunc(v.ports, func(port networkingv1.NetworkPolicyPort) bool {
		to := f.To
		to.Port, to.PortName = 0, port.Port.StrVal
		return v.wall.permits(f.Labels, to)
	})
}

// holes are what would leave the wall without effect.
func (v *view) holes(o *Outlook) error {
	for object := range v.m.In("NetworkPolicy", v.own) {
		openings, err := Wider(v.m, object.(*mesh.NetworkPolicy))
		if err != nil {
			return err
		}
		for _, opening := range openings {
			o.Holes = append(o.Holes, opening.Reason)
		}
	}
	for _, kind := range workloadKinds {
		for object := range v.m.In(kind, v.own) {
			if w, ok := object.(*mesh.Workload); ok && w.HostNetwork {
				o.Holes = append(o.Holes, mesh.Reason{
					Ref: w.Ref, Path: "spec.template.spec.hostNetwork",
					Message: "its pods are in the node's network, where NetworkPolicies do not hold",
				})
			}
		}
	}
	return nil
}

// workloadKinds are the kinds of pods and of what has a pod template.
var workloadKinds = []string{
	"Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob",
}

// compact is for errors: one line of a log, not too long.
func compact(line []byte) string {
	if json.Valid(line) && len(line) > 80 {
		return string(line[:80]) + "..."
	}
	return string(line)
}
