package reconcile_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// The egress gateway's Service, and an endpoint of it that is ready.
const (
	gatewayService = `
apiVersion: v1
kind: Service
metadata: {name: istio-egressgateway, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
`
	gatewaySlice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: istio-egressgateway-1, namespace: istio-system, labels: {kubernetes.io/service-name: istio-egressgateway}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.9], conditions: {ready: true}}]
ports: [{name: http2, port: 8080, protocol: TCP}, {name: https, port: 8443, protocol: TCP}]
`
)

// TestReadyNeedsAGateway: an entry whose routes lead to a gateway that nothing
// arrives at is not called ready, and the status says what is missing, each time
// that it changes.
func TestReadyNeedsAGateway(t *testing.T) {
	c := newCluster(t, "unreached")
	c.run()
	c.create(held("unreached", "api", "unreached.partner.com", tls))
	c.opens("unreached", "api") // nothing leads around the gateway, so the entry is seen
	status := func(prefix, part string) {
		t.Helper()
		c.eventually("the status "+prefix+part, func() error {
			if got := c.entry("unreached", "api").Annotations[mesh.StatusAnnotation]; !strings.HasPrefix(got, prefix) || !strings.Contains(got, part) {
				return fmt.Errorf("it is %q", got)
			}
			return nil
		})
	}
	status("not ready: ", "has no Service/istio-system/istio-egressgateway")
	c.create(gatewayService)
	status("not ready: ", "no endpoint of the egress gateway istio-egressgateway is ready")
	c.create(gatewaySlice)
	status("ready: ", companion.Key("unreached.partner.com"))
	c.create(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nothing-out, namespace: unreached}
spec: {podSelector: {}, policyTypes: [Egress]}
`)
	status("not ready: ", "NetworkPolicies of namespace unreached")
	c.create(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway, namespace: unreached}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-system}}, podSelector: {matchLabels: {istio: egressgateway}}}]}]
`)
	status("ready: ", companion.Key("unreached.partner.com"))
	if err := c.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istio-egressgateway"}}); err != nil {
		t.Fatal(err)
	}
	status("not ready: ", "has no Service")
}

// TestOpenEntryIsNotCalledHeld: where something comes in the way of an entry that
// is open, its status does not say that it is held.
func TestOpenEntryIsNotCalledHeld(t *testing.T) {
	c := newCluster(t, "opened")
	c.create(gatewayService, gatewaySlice)
	c.run()
	c.create(held("opened", "api", "opened.partner.com", tls))
	c.opens("opened", "api")
	c.create(`
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: anything, namespace: opened}
spec: {configPatches: [{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND}, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]}
`)
	c.eventually("the status of an open entry", func() error {
		got := c.entry("opened", "api").Annotations[mesh.StatusAnnotation]
		if !strings.HasPrefix(got, "not ready: ") {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	c.says("Warning NotReady ")
}
