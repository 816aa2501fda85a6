package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Walls are how namespaces are confined and gateways surrounded by
// NetworkPolicies. internal/netpol/README.md says what these hold.
type Walls struct {
	// Form is how a namespace's policy is made. "derived" follows what the
	// cluster has, and selects namespaces by their names. "istio-task" is the
	// policy of Istio's egress gateway task, word for word: it needs the labels
	// istio=system and kube-system=true on namespaces, allows DNS over UDP only
	// and no namespace but those two, and none of the fields below.
	//
	// Default: derived.
	Form string `json:"form,omitempty"`
	// Neighbours is which namespaces the pods of a confined namespace may talk
	// to beside their own: "mesh" is all that are in the mesh, "own" none. The
	// annotation sallyport.io/network-peers on a Namespace chooses some of the
	// mesh instead.
	//
	// Default: mesh.
	Neighbours string `json:"neighbours,omitempty"`
	// DNS are the Services by which pods look up names. Their namespaces are
	// never confined.
	//
	// Default: those in kube-system and openshift-dns that are named kube-dns or
	// dns-default, have the label k8s-app=kube-dns, or the tenth address of a
	// ServiceCIDR, which kubelets hand out.
	DNS []DNSService `json:"dns,omitempty"`
	// NodeLocalDNS are the addresses on which DNS caches listen on the nodes,
	// IPv4 or IPv6.
	//
	// Default: 169.254.20.10, that of NodeLocal DNSCache.
	NodeLocalDNS []string `json:"nodeLocalDNS,omitempty"`
	// ClusterRanges are the ranges of addresses of pods, Services and nodes
	// beyond the private ones. Gateways do not connect to them. Those that the
	// cluster's Nodes and ServiceCIDRs tell need not be repeated.
	//
	// Default: none.
	ClusterRanges []string `json:"clusterRanges,omitempty"`
	// Destinations are what confined namespaces may reach as well: telemetry, a
	// database outside the cluster, the API server.
	//
	// Default: none.
	Destinations []Destination `json:"destinations,omitempty"`
	// GatewayDestinations are what surrounded gateways may reach as well: a
	// partner behind a private line.
	//
	// Default: none.
	GatewayDestinations []Destination `json:"gatewayDestinations,omitempty"`
}

// DNSService names a Service that serves DNS on port 53.
type DNSService struct {
	// Namespace is the Service's.
	Namespace string `json:"namespace"`
	// Service is its name.
	Service string `json:"service"`
}

// Destination is what a NetworkPolicy lets through on top: addresses, pods, or
// both.
type Destination struct {
	// Name is how messages call the destination. A DNS label, unique in its list.
	Name string `json:"name"`
	// From are the namespaces from which it may be reached; of a gateway's
	// destination, the names of the gateways.
	//
	// Default: all of them.
	From []string `json:"from,omitempty"`
	// CIDRs are ranges of addresses, IPv4 or IPv6: 192.0.2.0/24, 2001:db8::7/128.
	//
	// Default: none.
	CIDRs []string `json:"cidrs,omitempty"`
	// Pods are pods of the cluster.
	//
	// Default: none.
	Pods *Pods `json:"pods,omitempty"`
	// Ports are written PROTOCOL/PORT: TCP/5432, UDP/8125, TCP/8000-8100, or
	// TCP/metrics by the name of the pods' port. They are the pods' ports, not
	// those of a Service.
	//
	// Default: every port.
	Ports []string `json:"ports,omitempty"`
}

// Pods selects pods by namespace and by label.
type Pods struct {
	// Namespaces are names of namespaces.
	//
	// Default: those that namespaceSelector selects.
	Namespaces []string `json:"namespaces,omitempty"`
	// NamespaceSelector is a label set of namespaces. Who may label a namespace
	// can add to what it selects.
	//
	// Default: those that namespaces lists.
	NamespaceSelector map[string]string `json:"namespaceSelector,omitempty"`
	// Selector is a label set of the pods.
	//
	// Default: every pod of the namespaces.
	Selector map[string]string `json:"selector,omitempty"`
}

// Confinement is enabled, staged or disabled.
type Confinement string

// The positions of [Config.NetworkPolicy].
const (
	Confined   Confinement = "enabled"
	Staged     Confinement = "staged"
	Unconfined Confinement = "disabled"
)

// The forms and the neighbours of [Walls].
const (
	formDerived   = "derived"
	formIstioTask = "istio-task"

	neighboursMesh = "mesh"
	neighboursOwn  = "own"
)

func (w *Walls) setDefaults(def mesh.Walls) {
	setDefault(&w.Form, formDerived)
	setDefault(&w.Neighbours, neighboursMesh)
	if w.NodeLocalDNS == nil {
		w.NodeLocalDNS = slices.Clone(def.NodeLocalDNS)
	}
}

func (w *Walls) settings(staged bool) mesh.Walls {
	out := mesh.Walls{
		Staged:              staged,
		IstioTask:           w.Form == formIstioTask,
		OwnOnly:             w.Neighbours == neighboursOwn,
		NodeLocalDNS:        w.NodeLocalDNS,
		ClusterRanges:       w.ClusterRanges,
		Destinations:        destinations(w.Destinations),
		GatewayDestinations: destinations(w.GatewayDestinations),
	}
	for _, d := range w.DNS {
		out.DNS = append(out.DNS, mesh.DNSService(d))
	}
	return out
}

func destinations(list []Destination) []mesh.WallDestination {
	var out []mesh.WallDestination
	for _, d := range list {
		o := mesh.WallDestination{Name: d.Name, From: d.From, CIDRs: d.CIDRs}
		if d.Pods != nil {
			o.Namespaces, o.NamespaceLabels, o.PodLabels = d.Pods.Namespaces, d.Pods.NamespaceSelector, d.Pods.Selector
		}
		for _, p := range d.Ports {
			port, _ := parsePort(p) // checked
			o.Ports = append(o.Ports, port)
		}
		out = append(out, o)
	}
	return out
}

// parsePort reads PROTOCOL/PORT, PROTOCOL/FIRST-LAST or PROTOCOL/NAME.
func parsePort(s string) (port mesh.WallPort, problem string) {
	protocol, rest, ok := strings.Cut(s, "/")
	if !ok || !slices.Contains([]string{"TCP", "UDP", "SCTP"}, protocol) {
		return port, fmt.Sprintf("%q is not PROTOCOL/PORT, for example TCP/5432 or UDP/8000-8100; protocols are TCP, UDP and SCTP", s)
	}
	port = mesh.WallPort{Protocol: protocol, Port: rest}
	if first, last, ok := strings.Cut(rest, "-"); ok && isNumber(first) {
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from == 0 || from > to {
			return port, fmt.Sprintf("%q is not a range of ports between 1 and 65535", rest)
		}
		port.Port, port.EndPort = first, int(to)
		return port, ""
	}
	if isNumber(rest) {
		if n, err := strconv.ParseUint(rest, 10, 16); err != nil || n == 0 {
			return port, fmt.Sprintf("%q is not a port between 1 and 65535", rest)
		}
		return port, ""
	}
	if msgs := validation.IsValidPortName(rest); len(msgs) > 0 {
		return port, fmt.Sprintf("%q is neither a port between 1 and 65535 nor the name of one: %s", rest, strings.Join(msgs, "; "))
	}
	return port, ""
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// check reports, by fail, what cannot be meant.
func (w *Walls) check(gateways []Gateway, fail func(path, format string, args ...any)) {
	if w.Form != "" && w.Form != formDerived && w.Form != formIstioTask {
		fail("walls.form", "must be %s or %s, is %q", formDerived, formIstioTask, w.Form)
	}
	if w.Neighbours != "" && w.Neighbours != neighboursMesh && w.Neighbours != neighboursOwn {
		fail("walls.neighbours", "must be %s or %s, is %q", neighboursMesh, neighboursOwn, w.Neighbours)
	}
	if w.Form == formIstioTask && (w.Neighbours != "" || w.DNS != nil || w.NodeLocalDNS != nil || w.Destinations != nil) {
		fail("walls.form", "%s is one policy and takes no neighbours, dns, nodeLocalDNS or destinations: leave them out, or use %s", formIstioTask, formDerived)
	}
	for i, d := range w.DNS {
		for _, msg := range content.IsDNS1123Label(d.Namespace) {
			fail(fmt.Sprintf("walls.dns[%d].namespace", i), "%s", msg)
		}
		for _, msg := range content.IsDNS1123Label(d.Service) {
			fail(fmt.Sprintf("walls.dns[%d].service", i), "%s", msg)
		}
	}
	for i, a := range w.NodeLocalDNS {
		if addr, err := netip.ParseAddr(a); err != nil || addr.Zone() != "" {
			fail(fmt.Sprintf("walls.nodeLocalDNS[%d]", i), "%q is not an IP address", a)
		}
	}
	for i, r := range w.ClusterRanges {
		checkCIDR(r, func(msg string) { fail(fmt.Sprintf("walls.clusterRanges[%d]", i), "%s", msg) })
	}
	checkDestinations("walls.destinations", w.Destinations, fail, content.IsDNS1123Label)
	checkDestinations("walls.gatewayDestinations", w.GatewayDestinations, fail, func(from string) []string {
		if slices.ContainsFunc(gateways, func(g Gateway) bool { return g.Name == from }) ||
			gateways == nil && slices.ContainsFunc(mesh.DefaultSettings().Gateways, func(g mesh.EgressGateway) bool { return g.Name == from }) {
			return nil
		}
		return []string{"no gateway of that name is configured"}
	})
}

func checkDestinations(path string, list []Destination, fail func(path, format string, args ...any), checkFrom func(string) []string) {
	names := map[string]int{}
	for i, d := range list {
		path := fmt.Sprintf("%s[%d]", path, i)
		if first, ok := names[d.Name]; ok {
			fail(path+".name", "%q is the name of entry %d already; give each destination its own", d.Name, first)
		}
		names[d.Name] = i
		for _, msg := range content.IsDNS1123Label(d.Name) {
			fail(path+".name", "%q: %s", d.Name, msg)
		}
		for j, from := range d.From {
			for _, msg := range checkFrom(from) {
				fail(fmt.Sprintf("%s.from[%d]", path, j), "%q: %s", from, msg)
			}
		}
		for j, cidr := range d.CIDRs {
			fail := func(msg string) { fail(fmt.Sprintf("%s.cidrs[%d]", path, j), "%s", msg) }
			checkCIDR(cidr, fail)
			for _, service := range metadataServices {
				if p, err := netip.ParsePrefix(cidr); err == nil && p.Bits() > 0 && p.Contains(service) {
					fail(fmt.Sprintf("%q holds %s, where clouds hand out the credentials of nodes: name smaller ranges beside it", cidr, service))
				}
			}
		}
		for j, p := range d.Ports {
			if _, problem := parsePort(p); problem != "" {
				fail(fmt.Sprintf("%s.ports[%d]", path, j), "%s", problem)
			}
		}
		if len(d.CIDRs) == 0 && d.Pods == nil {
			fail(path, "names no destination: give cidrs, pods, or both")
		}
		if d.Pods != nil {
			d.Pods.check(path+".pods", fail)
		}
	}
}

func (p *Pods) check(path string, fail func(path, format string, args ...any)) {
	switch n, s := len(p.Namespaces), len(p.NamespaceSelector); {
	case n == 0 && s == 0:
		fail(path, "would be the pods of every namespace: give namespaces or namespaceSelector")
	case n > 0 && s > 0:
		fail(path, "has both namespaces and namespaceSelector: give one of them, and another destination for the other")
	}
	for i, ns := range p.Namespaces {
		for _, msg := range content.IsDNS1123Label(ns) {
			fail(fmt.Sprintf("%s.namespaces[%d]", path, i), "%q is not the name of a namespace: %s", ns, msg)
		}
	}
	checkLabels(path+".namespaceSelector", p.NamespaceSelector, fail)
	checkLabels(path+".selector", p.Selector, fail)
}

func checkLabels(path string, labels map[string]string, fail func(path, format string, args ...any)) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		v := labels[k]
		for _, msg := range content.IsLabelKey(k) {
			fail(path, "%q is not the key of a label: %s", k, msg)
		}
		for _, msg := range content.IsLabelValue(v) {
			fail(path+"."+k, "%q is not the value of a label: %s", v, msg)
		}
	}
}

// metadataServices are the addresses of the metadata services of clouds.
var metadataServices = []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254")}

// checkCIDR reports what keeps the API server from taking a range.
func checkCIDR(s string, fail func(msg string)) {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		fail(fmt.Sprintf("%q is not a range of addresses like 192.0.2.0/24 or 2001:db8::/32", s))
	case prefix.Masked() != prefix:
		fail(fmt.Sprintf("%q has bits beyond its length: write %s", s, prefix.Masked()))
	case prefix.Bits() == 0:
		fail(fmt.Sprintf("%q is the whole world: what is to reach that, is not to be confined (label sallyport.io/network-policy=disabled)", s))
	case prefix.Addr().Is4In6():
		fail(fmt.Sprintf("%q is an IPv4 range written as IPv6: write it as IPv4", s))
	}
}
