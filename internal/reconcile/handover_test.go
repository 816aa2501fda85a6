package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLeaderChange: a leader that is stopped in mid-work, and another that
// starts beside it before it has noticed, leave what one alone would have.
func TestLeaderChange(t *testing.T) {
	c := newCluster(t, "leaders")
	h := record(t, c.watcher)
	c.run()
	stopFirst := c.stop
	const n = 20
	for i := range n {
		name := fmt.Sprintf("host-%d", i)
		c.create(held("leaders", name, name+".leaders.com", http+","+tls))
		switch i {
		case n / 2:
			c.run() // a second one, while the first still works
		case n * 3 / 4:
			stopFirst()
		}
	}
	for i := range n {
		name := fmt.Sprintf("host-%d", i)
		c.opens("leaders", name)
		if found := c.companions(name + ".leaders.com"); len(found) != 5 {
			t.Errorf("%s has %d companions, want 5: %v", name, len(found), found)
		}
	}
	h.neverDirect(t, "leaders")
}

// byHand is a complete hand-written set for one host: its own Gateway, subset
// and VirtualService.
func byHand(namespace, name, host string) []string {
	return []string{fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %[2]s, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: 80, name: tls-%[2]s, protocol: TLS}, hosts: [%[1]s/%[3]s], tls: {mode: ISTIO_MUTUAL}}]
`, namespace, name, host), fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: istio-system}
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets: [{name: %[1]s, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: ISTIO_MUTUAL, sni: %[2]s}}]}}]
`, name, host), fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %[1]s, namespace: istio-system}
spec: {hosts: [%[2]s], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, exportTo: [.]}
`, name, host), fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  hosts: [%[3]s]
  gateways: [mesh, istio-system/%[2]s]
  tls:
  - {match: [{gateways: [mesh], port: 443, sniHosts: [%[3]s]}], route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: %[2]s, port: {number: 80}}}]}
  tcp:
  - {match: [{gateways: [istio-system/%[2]s], port: 80}], route: [{destination: {host: %[3]s, port: {number: 443}}}]}
`, namespace, name, host)}
}

// TestStepsAside: when a user's own set comes to cover the host, ours goes, at
// no version leaving a direct path; an entry that is covered from the start
// gets none.
func TestStepsAside(t *testing.T) {
	c := newCluster(t, "adopted")
	h := record(t, c.watcher)
	c.run()
	c.create(held("adopted", "api", "adopted.partner.com", tls))
	c.opens("adopted", "api")
	c.create(byHand("adopted", "by-hand", "adopted.partner.com")...)
	c.gone("adopted.partner.com")
	h.neverDirect(t, "adopted")
	if entry := c.entry("adopted", "api"); !cmp.Equal(entry.Spec.ExportTo, []string{"."}) {
		t.Errorf("exportTo is %v: a host that is covered was closed", entry.Spec.ExportTo)
	}

	c.create(byHand("adopted", "from-the-start", "adopted-2.partner.com")...)
	c.create(held("adopted", "covered", "adopted-2.partner.com", tls))
	c.opens("adopted", "covered")
	if found := c.companions("adopted-2.partner.com"); len(found) > 0 {
		t.Errorf("a host that is covered by hand got companions: %v", found)
	}
}
