package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
	"github.com/sallyport-io/sallyport/internal/reconcile"
)

const waypoint = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: istio-egress}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Same}}}]
`

var gatewayGVK = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"}

func ambientNamespace(name string) string {
	return "{apiVersion: v1, kind: Namespace, metadata: {name: " + name + ", labels: {istio.io/dataplane-mode: ambient}}}"
}

// programmed has the waypoint's status say whether it is, as Istio does.
func (c *cluster) programmed(status string) {
	c.t.Helper()
	gateway := &unstructured.Unstructured{}
	gateway.SetGroupVersionKind(gatewayGVK)
	gateway.SetNamespace("istio-egress")
	gateway.SetName("waypoint")
	patch := fmt.Appendf(nil, `{"status":{"addresses":[{"type":"IPAddress","value":"10.96.0.9"}],"conditions":[
		{"type":"Programmed","status":%q,"reason":"Programmed","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, status)
	if err := c.Status().Patch(c.t.Context(), gateway, client.RawPatch(types.MergePatchType, patch)); err != nil {
		c.t.Fatal(err)
	}
}

// isHeld waits until an entry is held, for a reason with these words in it, and
// nothing leads out to its host.
func (c *cluster) isHeld(namespace, name, host, why string) {
	c.t.Helper()
	c.eventually(namespace+"/"+name+" to be held", func() error {
		se := c.entry(namespace, name)
		if status := se.Annotations[mesh.StatusAnnotation]; !slices.Equal(se.Spec.ExportTo, []string{"~"}) || !strings.Contains(status, why) {
			return fmt.Errorf("exportTo %v, %s=%q", se.Spec.ExportTo, mesh.StatusAnnotation, status)
		}
		return nil
	})
	c.gone(host)
}

// TestAmbientNeverLate: entries of namespaces in ambient mode have one way out beside
// the waypoint. It comes when the waypoint is ready, refuses strangers before ztunnel
// sees it, at every version of the cluster, and goes when the waypoint goes.
func TestAmbientNeverLate(t *testing.T) {
	c := newClusterOn(t, controlplanetest.Start(t, controlplane.Options{CRDs: []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs}}))
	config, err := meshconfig.Parse("serviceEntryVisibility: {defaultVisibility: NONE, policies: [{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-egress}}}]}]}")
	if err != nil {
		t.Fatal(err)
	}
	c.settings.Visibility = config.Visibility
	c.settings.PlatformNamespaces = append(c.settings.PlatformNamespaces, "istio-egress")
	c.settings.Ambient.Waypoints = []mesh.WaypointName{{Namespace: "istio-egress", Name: "waypoint"}}
	c.create(ambientNamespace("istio-egress"), ambientNamespace("shop"), ambientNamespace("billing"))
	h := record(t, c.watcher)
	h.follow(t, c.watcher, gatewayGVK, "K8sGateway")
	h.start = mesh.New(c.settings)
	for _, name := range []string{"istio-egress", "shop", "billing"} {
		h.start = h.start.With(&mesh.Namespace{Meta: mesh.Meta{
			Ref:    mesh.Ref{Kind: "Namespace", Name: name},
			Labels: map[string]string{"istio.io/dataplane-mode": "ambient", "kubernetes.io/metadata.name": name},
		}})
	}
	metrics := prometheus.NewRegistry()
	c.run(func(o *reconcile.Options) { o.Metrics = metrics })

	hosts := []string{"one.partner.com", "two.partner.com", "three.partner.com"}
	for _, host := range hosts {
		c.create(held("shop", strings.TrimSuffix(host, ".partner.com"), host, http+", "+tls))
	}
	all := func(check func(name, host string)) {
		for _, host := range hosts {
			check(strings.TrimSuffix(host, ".partner.com"), host)
		}
	}
	all(func(name, host string) { c.isHeld("shop", name, host, "there is no waypoint istio-egress/waypoint") })
	missing(t, metrics, 1)

	c.create(waypoint)
	all(func(name, host string) { c.isHeld("shop", name, host, "the waypoint is not ready") })
	c.programmed("True")
	all(func(name, _ string) { c.opens("shop", name) })
	missing(t, metrics, 0)

	// Another tenant of a host shares what is there.
	c.create(held("billing", "one", "one.partner.com", tls+", {number: 5432, name: tcp, protocol: TCP}"))
	c.opens("billing", "one")
	key := mesh.Ref{Kind: "ServiceEntry", Namespace: "istio-egress", Name: companion.Key("one.partner.com")}
	if all := c.companions("one.partner.com"); len(all) != 1 || all[key] == nil {
		t.Errorf("two tenants of one host share %v", all)
	}

	// A waypoint that goes away closes the hosts behind it, and says so.
	c.programmed("False")
	all(func(name, host string) { c.isHeld("shop", name, host, "the waypoint is not ready") })
	c.isHeld("billing", "one", "one.partner.com", "the waypoint is not ready")
	missing(t, metrics, 1)
	if !c.told("Warning Held") {
		t.Error("no Event tells that entries are held again")
	}
	c.programmed("True")
	all(func(name, _ string) { c.opens("shop", name) })
	gateway := &unstructured.Unstructured{}
	gateway.SetGroupVersionKind(gatewayGVK)
	gateway.SetNamespace("istio-egress")
	gateway.SetName("waypoint")
	if err := c.Delete(t.Context(), gateway); err != nil {
		t.Fatal(err)
	}
	all(func(name, host string) { c.isHeld("shop", name, host, "there is no waypoint istio-egress/waypoint") })
	c.create(waypoint)
	c.programmed("True")
	all(func(name, _ string) { c.opens("shop", name) })

	// With the last entry goes what it needed.
	for _, o := range []struct{ namespace, name string }{{"shop", "one"}, {"shop", "two"}, {"shop", "three"}, {"billing", "one"}} {
		if err := c.Delete(t.Context(), c.entry(o.namespace, o.name)); err != nil {
			t.Fatal(err)
		}
	}
	all(func(_, host string) { c.gone(host) })
	c.stop()
	h.neverLate(t)
}

// told reports whether an Event that begins like this has come.
func (c *cluster) told(begins string) bool {
	for {
		select {
		case event := <-c.events.Events:
			if strings.HasPrefix(event, begins) {
				return true
			}
		default:
			return false
		}
	}
}

// missing checks the metric of the waypoint.
func missing(t *testing.T, from prometheus.Gatherer, want float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sallyport_waypoint_missing" {
			if got := f.GetMetric()[0].GetGauge().GetValue(); got != want {
				t.Errorf("sallyport_waypoint_missing is %v, want %v", got, want)
			}
			return
		}
	}
	t.Error("there is no metric sallyport_waypoint_missing")
}

// neverLate fails the test where at any version of the cluster ztunnel knew a host
// that did not leave by the waypoint, or that the waypoint refused to nobody, while
// there was a waypoint; and where a host became known without one.
func (h *history) neverLate(t *testing.T) {
	t.Helper()
	known := map[mesh.Ref]bool{}
	versions := 0
	for m, ch := range h.replay {
		for o := range m.In("ServiceEntry", "istio-egress") {
			versions++
			entry := o.(*mesh.ServiceEntry)
			isNew := !known[entry.Ref]
			known[entry.Ref] = true
			policy, _ := m.Get(mesh.Ref{Kind: "AuthorizationPolicy", Namespace: entry.Namespace, Name: entry.Name}).(*mesh.AuthorizationPolicy)
			if policy == nil || policy.Action != "DENY" || len(policy.TargetRefs) != 1 || policy.TargetRefs[0].Name != entry.Name {
				t.Errorf("at version %d, after a write of %s, no policy guards %s", ch.version, ch.ref, entry.Ref)
			}
			if !isNew && m.WaypointProblem(mesh.WaypointName{Namespace: "istio-egress", Name: "waypoint"}) != "" {
				continue // it is about to be withdrawn
			}
			for _, port := range entry.Ports {
				for _, client := range []string{"shop", "billing", mesh.AnyClient} {
					if path := m.Paths(client, entry.Hosts[0], port.Number); path.Verdict != mesh.Via {
						t.Errorf("at version %d, after a write of %s, %s:%d from %s was %s: %v", ch.version, ch.ref, entry.Hosts[0], port.Number, client, path.Verdict, path.Because)
					}
				}
			}
		}
		for ref := range known {
			if m.Get(ref) == nil {
				delete(known, ref)
			}
		}
		if request, ok := ch.object.(*mesh.ServiceEntry); ok && !companion.Is(ch.ref) && !request.Held() {
			if m.Get(mesh.Ref{Kind: "ServiceEntry", Namespace: "istio-egress", Name: companion.Key(request.Hosts[0])}) == nil {
				t.Errorf("at version %d %s was open, and nothing leads there", ch.version, ch.ref)
			}
		}
	}
	if versions < 20 {
		t.Errorf("%d versions were looked at: the test proves little", versions)
	}
}
