package netpol

import (
	"net/netip"
	"slices"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

const dnsPort = 53

// dnsNamespaces are where distributions keep the cluster's DNS: upstream, GKE,
// EKS, AKS, RKE2 and k3s in the first, OpenShift in the second. No tenant can
// write there: by a Service of its own it would open the walls.
var dnsNamespaces = []string{"kube-system", "openshift-dns"}

// dnsFallback is where DNS is taken to be in a mesh that does not show it: the
// label that the Service kube-dns has always selected, whatever serves behind it.
var dnsFallback = map[string]string{"k8s-app": "kube-dns"}

// kubeletOffset is which address of the Services' range distributions give to
// the DNS Service, and the kubelet to pods (kubeadm's GetDNSIP).
const kubeletOffset = 10

// DNS returns the Services by which pods look up names: those of the
// configuration, else those that distributions are known to have in namespaces
// of their own, by name, by label, or by the address that kubelets hand out. It
// returns none where the mesh does not hold one; the walls then take it to be
// where it most often is, which may close it.
func DNS(m *mesh.Mesh) []*mesh.Service {
	var found []*mesh.Service
	if configured := m.Settings().Walls.DNS; len(configured) > 0 {
		for _, ref := range configured {
			if s, ok := m.Get(mesh.Ref{Kind: "Service", Namespace: ref.Namespace, Name: ref.Service}).(*mesh.Service); ok {
				found = append(found, s)
			}
		}
		return found
	}
	handed := handedOut(m)
	for _, namespace := range dnsNamespaces {
		for o := range m.In("Service", namespace) {
			s := o.(*mesh.Service)
			known := s.Name == "kube-dns" || s.Name == "dns-default" || s.Labels["k8s-app"] == "kube-dns" ||
				slices.ContainsFunc(s.ClusterIPs, func(ip string) bool { return slices.Contains(handed, ip) })
			if known && servesDNS(s) {
				found = append(found, s)
			}
		}
	}
	return found
}

// ServesDNS reports whether a namespace is one of those in which the cluster's
// DNS may be: it is never confined.
func ServesDNS(s mesh.Settings, namespace string) bool {
	return slices.Contains(dnsNamespaces, namespace) ||
		slices.ContainsFunc(s.Walls.DNS, func(d mesh.DNSService) bool { return d.Namespace == namespace })
}

// handedOut are the addresses of DNS that kubelets hand out by convention.
func handedOut(m *mesh.Mesh) []string {
	var out []string
	for o := range m.All("ServiceCIDR") {
		for _, cidr := range o.(*mesh.ServiceCIDR).CIDRs {
			p, err := netip.ParsePrefix(cidr)
			if err != nil {
				continue
			}
			ip := p.Masked().Addr()
			for range kubeletOffset {
				ip = ip.Next()
			}
			if p.Contains(ip) {
				out = append(out, ip.String())
			}
		}
	}
	return out
}

func servesDNS(s *mesh.Service) bool {
	return slices.ContainsFunc(s.Ports, func(p mesh.K8sServicePort) bool { return p.Port == dnsPort })
}

// dnsRules allow queries to the cluster's DNS pods, on the port of the Service
// and on the pods' own where it is another, and to caches on the nodes. Those
// are in the host's network, where no pod selector finds them: at an address of
// their own, or at the Service's, which NodeLocal DNSCache takes over on its
// node. TCP is as much DNS as UDP is: truncated answers are asked for again over
// it.
//
// https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
func dnsRules(m *mesh.Mesh) []networkingv1.NetworkPolicyEgressRule {
	both := portSet{}
	both.add("UDP", strconv.Itoa(dnsPort))
	both.add("TCP", strconv.Itoa(dnsPort))
	services := DNS(m)
	var rules []networkingv1.NetworkPolicyEgressRule
	var caches []networkingv1.NetworkPolicyPeer
	for _, address := range m.Settings().Walls.NodeLocalDNS {
		if cidr, ok := single(address); ok {
			caches = append(caches, block(cidr))
		}
	}
	local := len(caches) > 0
	for _, s := range services {
		ports := portSet{}
		for k := range both {
			ports[k] = true
		}
		for _, p := range s.Ports {
			if p.Port == dnsPort {
				ports.add(p.Protocol, target(p))
			}
		}
		if len(s.Selector) > 0 {
			rules = append(rules, networkingv1.NetworkPolicyEgressRule{
				To: []networkingv1.NetworkPolicyPeer{pods(s.Selector, s.Namespace)}, Ports: ports.list(),
			})
		}
		for _, ip := range s.ClusterIPs {
			if cidr, ok := single(ip); ok && (local || len(s.Selector) == 0) {
				caches = append(caches, block(cidr))
			}
		}
	}
	if len(services) == 0 {
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{
			To: []networkingv1.NetworkPolicyPeer{pods(dnsFallback, dnsNamespaces[0])}, Ports: both.list(),
		})
	}
	if len(caches) > 0 {
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{To: caches, Ports: both.list()})
	}
	return rules
}
