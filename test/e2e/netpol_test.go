package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// testNetworkPolicy labels a namespace, and takes the label away again.
func testNetworkPolicy(t *testing.T, c *cluster) {
	c.kubectl(t, "", "create", "namespace", "walled")
	c.kubectl(t, "", "label", "namespace", "walled", "istio-injection=enabled", mesh.NetworkPolicyLabel+"=enabled")
	var out string
	eventually(t, "the policy appears", func() (err error) {
		out, err = c.try(t, "", "get", "networkpolicy", netpol.EgressName, "-n", "walled", "-o", "json")
		return err
	})
	var policy networkingv1.NetworkPolicy
	if err := json.Unmarshal([]byte(out), &policy); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, policy.Spec.PolicyTypes); d != "" {
		t.Errorf("policy types (-want +got):\n%s", d)
	}
	ports := make(map[string]bool)
	for _, rule := range policy.Spec.Egress {
		if len(rule.To) == 0 {
			t.Errorf("a rule without peers opens the namespace to everywhere: %+v", rule)
		}
		for _, p := range rule.Ports {
			ports[fmt.Sprintf("%s/%s", p.Port, *p.Protocol)] = true
		}
	}
	// DNS, istiod, and the ports that the gateway's pods listen on.
	for _, want := range []string{"53/UDP", "53/TCP", "15012/TCP", "8443/TCP"} {
		if !ports[want] {
			t.Errorf("the policy does not open %s: %v", want, ports)
		}
	}

	c.denied(t, "", "delete", "networkpolicy", netpol.EgressName, "-n", "walled")
	c.kubectl(t, "", "label", "namespace", "walled", mesh.NetworkPolicyLabel+"-")
	eventually(t, "the policy is gone", func() error {
		if out, err := c.try(t, "", "get", "networkpolicy", netpol.EgressName, "-n", "walled"); err == nil {
			return fmt.Errorf("it is there:\n%s", out)
		}
		return nil
	})
}
