package netpol_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// dnsService is a Service of DNS as a distribution writes it.
func dnsService(namespace, name, ip string, labels, selector map[string]string, udp, tcp string) *mesh.Service {
	return &mesh.Service{
		Meta:       mesh.Meta{Ref: mesh.Ref{Kind: "Service", Namespace: namespace, Name: name}, Labels: labels},
		ClusterIPs: []string{ip}, Selector: selector,
		Ports: []mesh.K8sServicePort{
			{Name: "dns", Port: 53, Protocol: "UDP", TargetPort: udp},
			{Name: "dns-tcp", Port: 53, Protocol: "TCP", TargetPort: tcp},
			{Name: "metrics", Port: 9153, Protocol: "TCP", TargetPort: "9153"},
		},
	}
}

// TestDNS finds the DNS of the distributions, and nobody else's.
func TestDNS(t *testing.T) {
	kubeDNS := map[string]string{"k8s-app": "kube-dns"}
	cidr := func(cidr string) mesh.Object {
		return &mesh.ServiceCIDR{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "ServiceCIDR", Name: "kubernetes"}}, CIDRs: []string{cidr}}
	}
	for name, test := range map[string]struct {
		objects    []mesh.Object
		configured []mesh.DNSService
		want       []string // PEER PORTS of the rules for DNS
	}{
		"kubeadm, AKS, k3s": {
			objects: []mesh.Object{dnsService("kube-system", "kube-dns", "10.96.0.10", kubeDNS, kubeDNS, "", "")},
			want:    []string{"kube-system k8s-app=kube-dns 53/TCP 53/UDP", "169.254.20.10/32 10.96.0.10/32 53/TCP 53/UDP"},
		},
		"EKS, with ports by name": {
			objects: []mesh.Object{dnsService("kube-system", "kube-dns", "172.20.0.10", map[string]string{"k8s-app": "kube-dns", "eks.amazonaws.com/component": "kube-dns"}, kubeDNS, "dns", "dns-tcp")},
			want:    []string{"kube-system k8s-app=kube-dns 53/TCP 53/UDP dns/UDP dns-tcp/TCP", "169.254.20.10/32 172.20.0.10/32 53/TCP 53/UDP"},
		},
		"GKE, with NodeLocal DNSCache": {
			objects: []mesh.Object{
				dnsService("kube-system", "kube-dns", "34.118.224.10", kubeDNS, kubeDNS, "53", "53"),
				dnsService("kube-system", "kube-dns-upstream", "34.118.230.1", kubeDNS, kubeDNS, "53", "53"),
			},
			want: []string{
				"kube-system k8s-app=kube-dns 53/TCP 53/UDP", "kube-system k8s-app=kube-dns 53/TCP 53/UDP",
				"169.254.20.10/32 34.118.224.10/32 34.118.230.1/32 53/TCP 53/UDP",
			},
		},
		"RKE2": {
			objects: []mesh.Object{dnsService("kube-system", "rke2-coredns-rke2-coredns", "10.43.0.10", kubeDNS, map[string]string{"app.kubernetes.io/name": "rke2-coredns"}, "udp-53", "tcp-53")},
			want:    []string{"kube-system app.kubernetes.io/name=rke2-coredns 53/TCP 53/UDP tcp-53/TCP udp-53/UDP", "169.254.20.10/32 10.43.0.10/32 53/TCP 53/UDP"},
		},
		"OpenShift": {
			objects: []mesh.Object{dnsService("openshift-dns", "dns-default", "172.30.0.10", nil, map[string]string{"dns.operator.openshift.io/daemonset-dns": "default"}, "dns", "dns-tcp")},
			want:    []string{"openshift-dns dns.operator.openshift.io/daemonset-dns=default 53/TCP 53/UDP dns/UDP dns-tcp/TCP", "169.254.20.10/32 172.30.0.10/32 53/TCP 53/UDP"},
		},
		"CoreDNS under a name of its own, at the kubelet's address": {
			objects: []mesh.Object{cidr("10.96.0.0/12"), dnsService("kube-system", "resolver", "10.96.0.10", nil, map[string]string{"app": "coredns"}, "1053", "1053")},
			want:    []string{"kube-system app=coredns 53/TCP 53/UDP 1053/TCP 1053/UDP", "169.254.20.10/32 10.96.0.10/32 53/TCP 53/UDP"},
		},
		"configured": {
			objects:    []mesh.Object{dnsService("kube-system", "kube-dns", "10.96.0.10", kubeDNS, kubeDNS, "", ""), dnsService("dns", "resolver", "10.96.3.3", nil, map[string]string{"app": "r"}, "5353", "5353")},
			configured: []mesh.DNSService{{Namespace: "dns", Service: "resolver"}},
			want:       []string{"dns app=r 53/TCP 53/UDP 5353/TCP 5353/UDP", "169.254.20.10/32 10.96.3.3/32 53/TCP 53/UDP"},
		},
		"without selector": {
			objects: []mesh.Object{dnsService("kube-system", "kube-dns", "10.96.0.10", kubeDNS, nil, "", "")},
			want:    []string{"169.254.20.10/32 10.96.0.10/32 53/TCP 53/UDP"},
		},
		"a tenant's": {
			objects: []mesh.Object{
				cidr("10.96.0.0/12"), dnsService("shop", "kube-dns", "10.96.0.10", kubeDNS, kubeDNS, "", ""),
				dnsService("shop", "dns-default", "10.96.0.11", nil, kubeDNS, "", ""),
			},
			want: []string{"kube-system k8s-app=kube-dns 53/TCP 53/UDP", "169.254.20.10/32 53/TCP 53/UDP"},
		},
		"configured and absent": {
			objects:    []mesh.Object{dnsService("kube-system", "kube-dns", "10.96.0.10", kubeDNS, kubeDNS, "", "")},
			configured: []mesh.DNSService{{Namespace: "dns", Service: "resolver"}},
			want:       []string{"kube-system k8s-app=kube-dns 53/TCP 53/UDP", "169.254.20.10/32 53/TCP 53/UDP"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mesh.DefaultSettings()
			s.Walls.NodeLocalDNS, s.Walls.DNS = []string{"169.254.20.10"}, test.configured
			shop := &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}, Labels: map[string]string{"istio-injection": "enabled", mesh.NetworkPolicyLabel: "enabled"}}}
			m := mesh.New(s, append(test.objects, shop)...)
			known := len(netpol.DNS(m)) > 0
			if want := name != "a tenant's" && name != "configured and absent"; known != want {
				t.Errorf("DNS is known: %t, want %t", known, want)
			}
			var got []string
			for _, rule := range netpol.For(m, "shop")[0].Spec.Egress {
				if slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port != nil && p.Port.IntVal == 53 }) {
					got = append(got, inShort(rule))
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("rules for DNS:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			for _, d := range test.configured {
				if netpol.Walled(m.With(&mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: d.Namespace}, Labels: shop.Labels}}), d.Namespace) {
					t.Errorf("the namespace of DNS, %s, is walled itself", d.Namespace)
				}
			}
		})
	}
}

// inShort is a rule on one line.
func inShort(rule networkingv1.NetworkPolicyEgressRule) string {
	var parts []string
	for _, to := range rule.To {
		if to.IPBlock != nil {
			parts = append(parts, to.IPBlock.CIDR)
			continue
		}
		parts = append(parts, to.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
		for k, v := range to.PodSelector.MatchLabels {
			parts = append(parts, k+"="+v)
		}
	}
	for _, p := range rule.Ports {
		parts = append(parts, fmt.Sprintf("%s/%s", p.Port, *p.Protocol))
	}
	return strings.Join(parts, " ")
}
