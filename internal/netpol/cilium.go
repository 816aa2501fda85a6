package netpol

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// EachCiliumOpening calls yield for each place at which a CiliumNetworkPolicy lets
// pods go further than the wall. What its rules allow adds up with what
// NetworkPolicies allow (https://docs.cilium.io/en/stable/security/policy/). Its
// peers that are pods or addresses are compared with the wall like those of a
// NetworkPolicy; whatever else a rule names is an opening, as nobody can tell
// where it leads. Rules that deny, and those for what comes in, open nothing.
func EachCiliumOpening(m *mesh.Mesh, ref mesh.Ref, raw []byte, yield func(Opening)) error {
	c := &cilium{reader: reader{m: m, ref: ref, yield: yield}, walled: Walled(m, ref.Namespace)}
	c.wide = widener{m: m, ref: ref, foreign: true, answers: map[string]outside{}}
	return c.eachSpec(raw, c.spec)
}

// EachCiliumClusterOpening does so for a CiliumClusterwideNetworkPolicy, of which
// every rule that allows something is one: it bears on the pods of all walled
// namespaces, whose walls are different ones. A policy for namespaces that it
// names, none of them walled, and one for nodes, has none.
func EachCiliumClusterOpening(m *mesh.Mesh, ref mesh.Ref, raw []byte, yield func(Opening)) error {
	if !AnyWalled(m) {
		return nil
	}
	c := &cilium{reader: reader{m: m, ref: ref, yield: yield}}
	return c.eachSpec(raw, c.clusterSpec)
}

// podNamespace is the label by which Cilium knows the namespace of a pod.
const podNamespace = "io.kubernetes.pod.namespace"

type cilium struct {
	reader
	walled bool // the policy's own namespace
	wide   widener
	any    *bool // whether any namespace is walled; nil until it is asked for
}

func (c *cilium) anyWalled() bool {
	if c.any == nil {
		any := c.walled || AnyWalled(c.m)
		c.any = &any
	}
	return *c.any
}

// eachSpec calls f for each rule of the object, which Cilium calls a spec.
func (c *cilium) eachSpec(raw []byte, f func(at string, spec members) error) error {
	var object, spec members
	var specs []members
	if err := c.read("object", raw, &object); err != nil {
		return err
	}
	if err := c.read("spec", object["spec"], &spec); err != nil {
		return err
	}
	if err := c.read("specs", object["specs"], &specs); err != nil {
		return err
	}
	if err := f("spec", spec); err != nil {
		return err
	}
	for i, spec := range specs {
		c.m.Spend(1)
		if err := f(fmt.Sprintf("specs[%d]", i), spec); err != nil {
			return err
		}
	}
	return nil
}

// ciliumSpec are the members of a spec that are known, and by themselves allow
// nothing.
var ciliumSpec = map[string]bool{
	"endpointSelector": true, "nodeSelector": true, "ingress": true, "ingressDeny": true, "egress": true, "egressDeny": true,
	"labels": true, "description": true, "enableDefaultDeny": true, "log": true,
}

func (c *cilium) spec(at string, spec members) error {
	var rules []members
	if err := c.read(at+".egress", spec["egress"], &rules); err != nil {
		return err
	}
	if len(rules) > 0 {
		// A selector with a label of Cilium's own is not kept to the namespace:
		// pods that are starting belong to none yet.
		_, why, err := c.selector(at+".endpointSelector", spec["endpointSelector"])
		if err != nil {
			return err
		}
		if why != "" && c.anyWalled() {
			c.open(at+".endpointSelector", spec["endpointSelector"], "is for pods of other namespaces, too: %s", why)
		}
	}
	if !c.walled {
		return nil
	}
	for _, name := range spec.names() {
		if !ciliumSpec[name] {
			c.open(at+"."+mesh.Short(name), spec[name], "may allow anything: Sallyport does not know this field")
		}
	}
	for i, rule := range rules {
		if err := c.rule(fmt.Sprintf("%s.egress[%d]", at, i), rule); err != nil {
			return err
		}
	}
	return nil
}

// rule judges one rule for what goes out. One without any destination allows
// nothing, it only closes the rest; unless it has ports, and then it allows every
// destination.
func (c *cilium) rule(at string, rule members) error {
	c.m.Spend(1 + len(rule))
	ports, err := c.ports(at+".toPorts", rule["toPorts"])
	if err != nil {
		return err
	}
	if !void(rule["icmps"]) {
		ports = nil // beside the ports, whichever they are
	}
	var to []networkingv1.NetworkPolicyPeer
	var paths []string
	var about []json.RawMessage
	peers := 0
	for _, name := range rule.names() {
		path := at + "." + mesh.Short(name)
		switch name {
		case "toPorts", "icmps", "toRequires", "authentication":
			continue // they narrow what the others say
		case "toEndpoints", "toCIDR", "toCIDRSet", "toEntities":
		default:
			peers++
			c.open(path, rule[name], "allows what %s names, wherever that is", mesh.Short(name))
			continue
		}
		var items []json.RawMessage
		if err := c.read(path, rule[name], &items); err != nil {
			return err
		}
		peers += len(items)
		for i, item := range items {
			c.m.Spend(1)
			path := fmt.Sprintf("%s[%d]", path, i)
			peer, err := c.peer(name, path, item)
			if err != nil {
				return err
			}
			if peer != nil {
				to, paths, about = append(to, *peer), append(paths, path), append(about, item)
			}
		}
	}
	if peers == 0 {
		if !void(rule["toPorts"]) || !void(rule["icmps"]) {
			c.open(at, append(slices.Clone(rule["toPorts"]), rule["icmps"]...), "allows every destination%s", onPorts(c.ref, ports))
		}
		return nil
	}
	if len(to) == 0 {
		return nil
	}
	current := 0
	c.wide.yield = func(o Opening) {
		o.About = string(about[current])
		c.yield(o)
	}
	err = c.wide.rule(at, networkingv1.NetworkPolicyEgressRule{To: to, Ports: ports}, func(j int) string {
		current = j
		return paths[j]
	})
	if err != nil {
		return fmt.Errorf("the wall of namespace %s: %w", c.ref.Namespace, err)
	}
	return nil
}

// peer returns what one destination is to a NetworkPolicy, nil where it is none:
// it has been reported then, or allows nothing.
func (c *cilium) peer(name, path string, raw json.RawMessage) (*networkingv1.NetworkPolicyPeer, error) {
	switch name {
	case "toEndpoints":
		s, why, err := c.selector(path, raw)
		if err != nil {
			return nil, err
		}
		if why != "" {
			c.open(path, raw, "allows more than pods of namespaces that it names: %s", why)
			return nil, nil
		}
		return s.peer(c.ref.Namespace), nil
	case "toEntities":
		var entity string
		if err := c.read(path, raw, &entity); err != nil {
			return nil, err
		}
		if entity != "none" {
			c.open(path, raw, "allows the entity %q", mesh.Short(entity))
		}
		return nil, nil
	case "toCIDR":
		var cidr string
		if err := c.read(path, raw, &cidr); err != nil {
			return nil, err
		}
		return addresses(cidr), nil
	default: // toCIDRSet
		var set members
		if err := c.read(path, raw, &set); err != nil {
			return nil, err
		}
		var cidr string
		if err := c.read(path+".cidr", set["cidr"], &cidr); err != nil {
			return nil, err
		}
		for _, member := range set.names() {
			if member != "cidr" && member != "except" {
				c.open(path+"."+mesh.Short(member), raw, "allows the addresses that %s names, whichever these are", mesh.Short(member))
				return nil, nil
			}
		}
		return addresses(cidr), nil
	}
}

// addresses is a range of them; Cilium takes a single one for a range, too.
func addresses(cidr string) *networkingv1.NetworkPolicyPeer {
	if a, err := netip.ParseAddr(cidr); err == nil {
		cidr = netip.PrefixFrom(a, a.BitLen()).String()
	}
	peer := block(cidr)
	return &peer
}

// ciliumSelector is a selector of pods.
type ciliumSelector struct {
	namespaces []string // that it is for; nil for the policy's own
	pods       map[string]string
}

func (s *ciliumSelector) peer(own string) *networkingv1.NetworkPolicyPeer {
	peer := &networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: s.pods}}
	others := slices.DeleteFunc(slices.Clone(s.namespaces), func(ns string) bool { return ns == own })
	if len(others) > 0 {
		peer.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: nameLabel, Operator: metav1.LabelSelectorOpIn, Values: others},
		}}
	}
	return peer
}

// selector reads a selector. Cilium keeps it to the policy's own namespace unless
// it says something of namespaces, or has a label that is not Kubernetes'. It says
// why, where it may select anything but pods of namespaces that it names.
func (c *cilium) selector(at string, raw json.RawMessage) (s *ciliumSelector, why string, err error) {
	var (
		o           members
		labels      map[string]string
		expressions []metav1.LabelSelectorRequirement
	)
	if string(raw) == "null" {
		return nil, "null selects whatever the plugin takes it for", nil
	}
	if err := c.read(at, raw, &o); err != nil {
		return nil, "", err
	}
	if err := c.read(at+".matchLabels", o["matchLabels"], &labels); err != nil {
		return nil, "", err
	}
	if err := c.read(at+".matchExpressions", o["matchExpressions"], &expressions); err != nil {
		return nil, "", err
	}
	for _, name := range o.names() {
		if name != "matchLabels" && name != "matchExpressions" {
			return nil, fmt.Sprintf("%q is no part of a selector", mesh.Short(name)), nil
		}
	}
	for key, value := range labels {
		expressions = append(expressions, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}})
	}
	// What is wrong is told alike every time.
	slices.SortStableFunc(expressions, func(a, b metav1.LabelSelectorRequirement) int { return strings.Compare(a.Key, b.Key) })
	s = &ciliumSelector{pods: map[string]string{}}
	for _, e := range expressions {
		c.m.Spend(1 + len(e.Values))
		key, ok := kubernetesLabel(e.Key)
		switch {
		case !ok:
			return nil, fmt.Sprintf("%q is not a label of Kubernetes' pods", mesh.Short(e.Key)), nil
		case key != podNamespace:
			if e.Operator == metav1.LabelSelectorOpIn && len(e.Values) == 1 {
				s.pods[key] = e.Values[0]
			}
		case e.Operator != metav1.LabelSelectorOpIn || len(e.Values) == 0 || slices.Contains(e.Values, "") || s.namespaces != nil:
			return nil, fmt.Sprintf("%q has to be one namespace, or a list of them", mesh.Short(e.Key)), nil
		default:
			s.namespaces = e.Values
		}
	}
	return s, "", nil
}

// kubernetesLabel takes the source off a label of Cilium's, which has to be
// Kubernetes or any; it is false for another one, and for labels that Cilium makes
// itself, of namespaces, clusters and what is no pod.
func kubernetesLabel(label string) (string, bool) {
	key, found := strings.CutPrefix(label, "k8s:")
	if !found {
		key = strings.TrimPrefix(label, "any:")
	}
	switch {
	case key == podNamespace, key == "io.cilium.k8s.policy.serviceaccount":
		return key, true
	case key == "", strings.ContainsAny(key, ":$="):
		return "", false
	}
	return key, !slices.ContainsFunc([]string{"reserved.", "io.cilium.", "io.kubernetes."}, func(p string) bool { return strings.HasPrefix(key, p) })
}

// ciliumPort are the members of a port that only narrow what goes there, and
// ciliumL7 those of its rules.
var (
	ciliumPort = map[string]bool{"ports": true, "rules": true, "serverNames": true}
	ciliumL7   = map[string]bool{"http": true, "dns": true, "kafka": true}
)

// ports returns the ports of a rule, none for all of them, and reports what does
// something else to the traffic than to let it pass.
func (c *cilium) ports(at string, raw json.RawMessage) (all []networkingv1.NetworkPolicyPort, err error) {
	var items []members
	if err := c.read(at, raw, &items); err != nil {
		return nil, err
	}
	every := len(items) == 0
	for i, item := range items {
		c.m.Spend(1 + len(item))
		at := fmt.Sprintf("%s[%d]", at, i)
		for _, name := range item.names() {
			if !ciliumPort[name] {
				c.open(at+"."+mesh.Short(name), item[name], "hands the traffic over by %s: what becomes of it there is not seen", mesh.Short(name))
			}
		}
		if err := c.applicationRules(at+".rules", item["rules"]); err != nil {
			return nil, err
		}
		var ports []struct {
			Port     string `json:"port"`
			EndPort  int32  `json:"endPort"`
			Protocol string `json:"protocol"`
		}
		if err := c.read(at+".ports", item["ports"], &ports); err != nil {
			return nil, err
		}
		every = every || len(ports) == 0
		for _, p := range ports {
			c.m.Spend(3)
			all = append(all, ciliumPorts(p.Port, p.EndPort, p.Protocol)...)
		}
	}
	if every {
		return nil, nil
	}
	return all, nil
}

// applicationRules reports what, of the rules for an application's protocol, does
// more than to choose among requests.
func (c *cilium) applicationRules(at string, raw json.RawMessage) error {
	var rules members
	if err := c.read(at, raw, &rules); err != nil {
		return err
	}
	for _, name := range rules.names() {
		if !ciliumL7[name] {
			c.open(at+"."+mesh.Short(name), rules[name], "hands the traffic to a filter of the proxy's: what becomes of it there is not seen")
		}
	}
	var requests []members
	if err := c.read(at+".http", rules["http"], &requests); err != nil {
		return err
	}
	for i, r := range requests {
		c.m.Spend(1)
		if headers := r["headerMatches"]; !void(headers) {
			c.open(fmt.Sprintf("%s.http[%d].headerMatches", at, i), headers, "can write headers, the host among them")
		}
	}
	return nil
}

// ciliumPorts is one port of Cilium's, of each of its protocols.
func ciliumPorts(port string, end int32, protocol string) []networkingv1.NetworkPolicyPort {
	protocols := []corev1.Protocol{corev1.Protocol(strings.ToUpper(protocol))}
	if protocol == "" || strings.EqualFold(protocol, "ANY") {
		protocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	}
	var p networkingv1.NetworkPolicyPort
	switch number, err := strconv.ParseUint(port, 0, 16); {
	case err == nil && number > 0:
		p.Port = &intstr.IntOrString{Type: intstr.Int, IntVal: int32(number)}
		if end > int32(number) {
			p.EndPort = &end
		}
	case err != nil && end == 0:
		p.Port = &intstr.IntOrString{Type: intstr.String, StrVal: port}
	default: // 0 is every port
	}
	all := make([]networkingv1.NetworkPolicyPort, len(protocols))
	for i := range protocols {
		all[i] = p
		all[i].Protocol = &protocols[i]
	}
	return all
}

// clusterSpec judges a spec for the whole cluster.
func (c *cilium) clusterSpec(at string, spec members) error {
	if !void(spec["nodeSelector"]) {
		return nil
	}
	var rules []members
	if err := c.read(at+".egress", spec["egress"], &rules); err != nil {
		return err
	}
	s, why, err := c.selector(at+".endpointSelector", spec["endpointSelector"])
	if err != nil {
		return err
	}
	if why == "" && s.namespaces != nil && !slices.ContainsFunc(s.namespaces, func(ns string) bool { return Walled(c.m, ns) }) {
		return nil
	}
	for i, rule := range rules {
		c.m.Spend(1 + len(rule))
		narrows := func(name string) bool { return name == "toRequires" || name == "authentication" }
		if names := slices.DeleteFunc(rule.names(), narrows); len(names) > 0 {
			c.open(fmt.Sprintf("%s.egress[%d]", at, i), rule.text(), "allows pods what the wall of their namespace may close")
		}
	}
	return nil
}
