package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// testNetworkPolicy labels a namespace, and takes the wall down again.
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
	out = c.denied(t, `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: everything, namespace: walled}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
`, "apply", "-f", "-")
	if !strings.Contains(out, "wide-network-policy") {
		t.Errorf("the denial does not name the rule:\n%s", out)
	}

	out = c.kubectl(t, "", "label", "--overwrite", "namespace", "walled", mesh.NetworkPolicyLabel+"=staged")
	if !strings.Contains(out, "no longer keeps the namespace's NetworkPolicies") {
		t.Errorf("nobody warns of leaving the wall:\n%s", out)
	}
	eventually(t, "the policy is gone", func() error {
		if out, err := c.try(t, "", "get", "networkpolicy", netpol.EgressName, "-n", "walled"); err == nil {
			return fmt.Errorf("it is there:\n%s", out)
		}
		return nil
	})
	if metrics := c.metrics(t); !strings.Contains(metrics, `sallyport_network_policies{namespace="walled",stage="staged"} 1`) {
		t.Error("no metric tells of the policy that would be")
	}
}

// testPodLabels puts the gateway's labels on a tenant's pod by every way in
// which the API server lets labels in.
func testPodLabels(t *testing.T, c *cluster) {
	c.kubectl(t, "", "create", "namespace", "pretender")
	eventually(t, "the namespace has a service account", func() error {
		_, err := c.try(t, "", "get", "serviceaccount", "default", "-n", "pretender")
		return err
	})
	c.kubectl(t, `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: pretender}
spec: {containers: [{name: web, image: web}]}
`, "apply", "-f", "-")
	const labels = `{"metadata": {"labels": {"istio": "egressgateway"}}}`
	for _, args := range [][]string{
		{"label", "pod", "web", "istio=egressgateway"},
		{"patch", "pod", "web", "-p", labels},
		{"patch", "pod", "web", "--subresource=status", "-p", labels},
	} {
		if out := c.denied(t, "", append(args, "-n", "pretender")...); !strings.Contains(out, "gateway-labels") {
			t.Errorf("%v: the denial does not name the rule:\n%s", args, out)
		}
	}
	before := c.answers(t)
	c.kubectl(t, "", "patch", "pod", "web", "-n", "pretender", "--subresource=status", "-p", `{"status": {"message": "well"}}`)
	if c.answers(t) > before {
		t.Error("the server was asked about a pod's status")
	}
}
