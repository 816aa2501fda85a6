package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/reconcile"
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

// TestStepsAside: when a user's own set comes to cover the host, ours steps
// back behind it, and when the user's route is deleted ours is in force again,
// at no version of the cluster leaving a direct path in between. An entry that
// is covered from the start gets no companions.
func TestStepsAside(t *testing.T) {
	const host = "adopted.partner.com"
	c := newCluster(t, "adopted")
	h := record(t, c.watcher)
	c.run()
	c.create(held("adopted", "api", host, tls))
	c.opens("adopted", "api")
	c.create(byHand("adopted", "by-hand", host)...)
	c.hops("adopted", host, "spare")
	c.decides(h, "adopted", host, "by-hand")
	if entry := c.entry("adopted", "api"); !cmp.Equal(entry.Spec.ExportTo, []string{"."}) {
		t.Errorf("exportTo is %v: a host that is covered was closed", entry.Spec.ExportTo)
	}

	c.deleteRoute("adopted", "by-hand")
	c.hops("adopted", host, "mesh")
	c.decides(h, "adopted", host, companion.Key(host))
	h.neverDirect(t, "adopted")

	c.create(byHand("adopted", "from-the-start", "adopted-2.partner.com")...)
	c.create(held("adopted", "covered", "adopted-2.partner.com", tls))
	c.opens("adopted", "covered")
	if found := c.companions("adopted-2.partner.com"); len(found) > 0 {
		t.Errorf("a host that is covered by hand got companions: %v", found)
	}
}

// ownRoute is a user's VirtualService that leads to the companions' gateway
// side, and says more than ours does.
func ownRoute(namespace, name, host, exportTo string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  hosts: [%[3]s]
  exportTo: [%[5]q]
  http:
  - match: [{port: 80}]
    timeout: 60s
    headers: {request: {set: {x-sallyport-port: "80"}}}
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: %[4]s, port: {number: 80}}}]
  tls:
  - match: [{port: 443, sniHosts: [%[3]s]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: %[4]s, port: {number: 443}}}]
`, namespace, name, host, companion.Key(host), exportTo)
}

// TestRouteComesAndGoes: a user's route to our gateway side, public or private,
// is in force as long as it is there; it may be replaced, leave out a port, or
// go, and at no version of the cluster is there a direct path.
func TestRouteComesAndGoes(t *testing.T) {
	for _, exportTo := range []string{"*", "."} {
		t.Run(exportTo, func(t *testing.T) {
			name := map[string]string{"*": "route-public", ".": "route-private"}[exportTo]
			host := name + ".partner.com"
			c := newCluster(t, name)
			h := record(t, c.watcher)
			c.run()
			c.create(held(name, "api", host, http+","+tls))
			c.opens(name, "api")
			c.create(ownRoute(name, "zz-own", host, exportTo)) // of equal age, it would come after ours
			c.hops(name, host, "spare")
			c.decides(h, name, host, "zz-own")

			// Another takes its place; until there is a spare that is younger,
			// the old one may be in force.
			c.deleteRoute(name, "zz-own")
			c.create(ownRoute(name, "zz-other", host, exportTo))
			c.decides(h, name, host, "zz-other")

			// It leaves a port out: ours again, for both, with nothing in between.
			var vs networking.VirtualService
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: name, Name: "zz-other"}, &vs); err != nil {
				t.Fatal(err)
			}
			whole := vs.Spec.Http
			vs.Spec.Http = nil
			if err := c.Update(t.Context(), &vs); err != nil {
				t.Fatal(err)
			}
			c.hops(name, host, "mesh")

			vs.Spec.Http = whole
			if err := c.Update(t.Context(), &vs); err != nil {
				t.Fatal(err)
			}
			c.hops(name, host, "spare")
			c.decides(h, name, host, "zz-other")
			c.deleteRoute(name, "zz-other")
			c.hops(name, host, "mesh")
			c.decides(h, name, host, companion.Key(host))
			h.neverDirect(t, name)

			// And all goes with the entry.
			c.create(ownRoute(name, "zz-last", host, exportTo))
			c.hops(name, host, "spare")
			if err := c.Delete(t.Context(), c.entry(name, "api")); err != nil {
				t.Fatal(err)
			}
			c.gone(host)
		})
	}
}

func (c *cluster) deleteRoute(namespace, name string) {
	c.t.Helper()
	var vs networking.VirtualService
	vs.Namespace, vs.Name = namespace, name
	if err := c.Delete(c.t.Context(), &vs); err != nil {
		c.t.Fatal(err)
	}
}

// hops waits until the only mesh hops for a host in a namespace are of a kind:
// "mesh" or "spare".
func (c *cluster) hops(namespace, host, want string) {
	c.t.Helper()
	c.eventually("the mesh hop of "+host+" to be the "+want, func() error {
		if found := c.meshHops(namespace, host); !cmp.Equal([]string{want}, found) {
			return fmt.Errorf("found %v", found)
		}
		return nil
	})
}

// meshHops are the kinds of the mesh hops for a host in a namespace.
func (c *cluster) meshHops(namespace, host string) []string {
	c.t.Helper()
	var found []string
	for ref := range c.companions(host) {
		if ref.Namespace == namespace && companion.MeshHop(ref) {
			found = append(found, strings.Split(ref.Name, "-")[2])
		}
	}
	return found
}

// decides waits until the history has come to where a host's paths are decided
// by the route whose name begins so.
func (c *cluster) decides(h *history, namespace, host, route string) {
	c.t.Helper()
	c.eventually(route+" to be in force", func() error { return h.decidedBy(namespace, host, route) })
}

// decidedBy says what, at the last version that was seen, decides a host's
// paths in place of the route whose name begins so.
func (h *history) decidedBy(namespace, host, route string) error {
	var last *mesh.Mesh
	for m := range h.replay {
		last = m
	}
	for _, entry := range last.EntriesFor(host) {
		if entry.Namespace != namespace {
			continue
		}
		for _, port := range entry.Ports {
			path := last.Paths(namespace, host, port.Number)
			if path.Verdict != mesh.Via || len(path.Hops) == 0 || !strings.HasPrefix(path.Hops[0].Decided.Ref.Name, route) {
				return fmt.Errorf("port %d is %s by %+v, want via by %s", port.Number, path.Verdict, path.Hops, route)
			}
		}
	}
	return nil
}

// TestLastRouteIsKept: a mesh hop and a spare that go together do not each rest
// on the other: where the entry is its owner's to close, one of them stays.
func TestLastRouteIsKept(t *testing.T) {
	const namespace, host = "two-routes", "two-routes.partner.com"
	c := newCluster(t, namespace)
	c.run(func(o *reconcile.Options) { o.Grace = time.Hour })
	c.create(held(namespace, "api", host, http+","+tls))
	entry := c.opens(namespace, "api")
	delete(entry.Annotations, mesh.ExportAnnotation) // from now on its owner's
	if err := c.Update(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	c.create(ownRoute(namespace, "zz-own", host, "."))
	c.eventually("the spare beside the mesh hop", func() error {
		if n := len(c.meshHops(namespace, host)); n != 2 {
			return fmt.Errorf("%d mesh hops", n)
		}
		return nil
	})
	c.stop()
	c.deleteRoute(namespace, "zz-own")
	c.label(namespace, mesh.InjectionLabel, "disabled")

	h := record(t, c.watcher)
	c.run()
	c.eventually("one of the two to go", func() error {
		if n := len(c.meshHops(namespace, host)); n == 2 {
			return fmt.Errorf("%d mesh hops", n)
		}
		return nil
	})
	time.Sleep(time.Second) // several times of grace
	if left := c.meshHops(namespace, host); len(left) != 1 {
		t.Errorf("%v are left of the mesh hop and the spare, want one", left)
	}
	h.neverDirect(t, namespace)
}
