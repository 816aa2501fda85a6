package netpol_test

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// TestNamedPorts compares ports by number with those that the wall opens by name:
// by what the pods behind the Service have under the name, of its protocol.
func TestNamedPorts(t *testing.T) {
	selector := map[string]string{"dns.operator.openshift.io/daemonset-dns": "default"}
	slice := func(service string, ports ...mesh.EndpointPort) mesh.Object {
		return &mesh.EndpointSlice{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "EndpointSlice", Namespace: "openshift-dns", Name: service}}, Service: service, Ports: ports}
	}
	pods := slice("dns-default", mesh.EndpointPort{Name: "dns", Protocol: "UDP", Port: 5353}, mesh.EndpointPort{Name: "dns-tcp", Protocol: "TCP", Port: 5354},
		mesh.EndpointPort{Name: "metrics", Protocol: "TCP", Port: 9153})
	for name, test := range map[string]struct {
		slice    mesh.Object
		protocol string
		port     int
		inside   bool // the wall opens it, too
	}{
		"the number behind the name":         {pods, "UDP", 5353, true},
		"that of the other protocol":         {pods, "TCP", 5354, true},
		"the number, of the other protocol":  {pods, "TCP", 5353, false},
		"the port of the Service":            {pods, "UDP", 53, true},
		"a port that the wall does not open": {pods, "TCP", 9153, false},
		"of other pods":                      {slice("other", mesh.EndpointPort{Name: "dns", Protocol: "UDP", Port: 5353}), "UDP", 5353, false},
		"of no pods":                         {slice("dns-default"), "UDP", 5353, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := bigMesh(1).With(namespaceWith("openshift-dns", nil), test.slice,
				dnsService("openshift-dns", "dns-default", "172.30.0.10", nil, selector, "dns", "dns-tcp"))
			protocol, port := networkingv1.NetworkPolicyPort{}.Protocol, intstr.FromInt(test.port)
			for _, known := range netpol.For(m, "shop")[0].Spec.Egress[0].Ports {
				if string(*known.Protocol) == test.protocol {
					protocol = known.Protocol
				}
				if known.Port.Type == intstr.Int && known.Port.IntVal == 5353 {
					t.Error("the wall itself has the number: it would not go with the pods")
				}
			}
			policy := policyOf(t, false, []networkingv1.NetworkPolicyPort{{Protocol: protocol, Port: &port}}, networkingv1.NetworkPolicyPeer{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{nameLabel: "openshift-dns"}},
				PodSelector:       &metav1.LabelSelector{MatchLabels: selector},
			})
			openings, err := netpol.Wider(m, policy)
			if err != nil {
				t.Fatal(err)
			}
			if inside := len(openings) == 0; inside != test.inside {
				t.Errorf("wider than the wall: %v, want %v: %v", !inside, !test.inside, openings)
			}
			flow := netpol.Flow{Namespace: "shop", To: netpol.Destination{Namespace: "openshift-dns", Labels: selector, Protocol: test.protocol, Port: test.port}}
			outlook, err := netpol.Preview(m, "shop", []netpol.Flow{flow})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range outlook.Kept {
				if p.What == "flow" && !test.inside {
					t.Errorf("the preview has a flow go on that the wall cuts: %+v", p)
				}
			}
			for _, p := range append(outlook.Cut, outlook.Unclear...) {
				if p.What == "flow" && (test.inside || test.slice == pods && strings.Contains(p.Why, "does not tell")) {
					t.Errorf("the preview is wrong about a flow: %+v", p)
				}
			}
		})
	}
}
