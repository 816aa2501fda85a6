package reconcile_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

func TestOneEntryIsEnough(t *testing.T) {
	c := newCluster(t, "shop")
	c.create(gatewayService, gatewaySlice)
	c.run()
	c.create(held("shop", "api", "one.partner.com", http+","+tls))
	entry := c.opens("shop", "api")

	key := companion.Key("one.partner.com")
	found := c.companions("one.partner.com")
	for _, ref := range []mesh.Ref{
		{Kind: "ServiceEntry", Namespace: "istio-system", Name: key},
		{Kind: "Gateway", Namespace: "istio-system", Name: key},
		{Kind: "DestinationRule", Namespace: "istio-system", Name: key},
		{Kind: "VirtualService", Namespace: "istio-system", Name: key},
		{Kind: "VirtualService", Namespace: "shop", Name: key + "-mesh"},
	} {
		o, ok := found[ref]
		if !ok {
			t.Errorf("no %s", ref)
			continue
		}
		// Versions of one etcd are in the order of the writes.
		if version(t, o) > version(t, entry) {
			t.Errorf("%s was last written after the entry was opened", ref)
		}
		delete(found, ref)
	}
	for ref := range found {
		t.Errorf("nobody asked for %s", ref)
	}
	hop := c.companions("one.partner.com")[mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: key + "-mesh"}]
	if owners := hop.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != entry.UID {
		t.Errorf("the mesh hop is owned by %v, want the entry %s", owners, entry.UID)
	}
	if got := entry.Annotations[mesh.StatusAnnotation]; !strings.HasPrefix(got, "ready: ") {
		t.Errorf("%s is %q, want it to say ready", mesh.StatusAnnotation, got)
	}
	c.says("Normal Ready")

	if err := c.Delete(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	c.gone("one.partner.com")
}

// says waits for an Event.
func (c *cluster) says(prefix string) {
	c.t.Helper()
	timeout := time.After(patience)
	var seen []string
	for {
		select {
		case event := <-c.events.Events:
			if strings.HasPrefix(event, prefix) {
				return
			}
			seen = append(seen, event)
		case <-timeout:
			c.t.Fatalf("no Event %q; there were %q", prefix, seen)
		}
	}
}

func version(t *testing.T, o client.Object) int {
	t.Helper()
	v, err := strconv.Atoi(o.GetResourceVersion())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDriftIsRepaired(t *testing.T) {
	c := newCluster(t, "drift")
	c.run()
	c.create(held("drift", "api", "drift.partner.com", http+","+tls))
	c.opens("drift", "api")
	key := client.ObjectKey{Namespace: "istio-system", Name: companion.Key("drift.partner.com")}
	hop := client.ObjectKey{Namespace: "drift", Name: key.Name + "-mesh"}

	for name, tt := range map[string]struct {
		key    client.ObjectKey
		object client.Object
		change func(client.Object)
	}{
		"a field changed": {key, &networking.Gateway{}, func(o client.Object) {
			o.(*networking.Gateway).Spec.Servers[0].Hosts = []string{"*"}
		}},
		"a field added": {key, &networking.DestinationRule{}, func(o client.Object) {
			o.(*networking.DestinationRule).Spec.ExportTo = []string{"."}
		}},
		"a rule removed": {hop, &networking.VirtualService{}, func(o client.Object) {
			o.(*networking.VirtualService).Spec.Tls = nil
		}},
		"the label removed": {key, &networking.VirtualService{}, func(o client.Object) { o.SetLabels(nil) }},
		"the host changed": {key, &networking.ServiceEntry{}, func(o client.Object) {
			o.SetAnnotations(map[string]string{mesh.HostAnnotation: "elsewhere.com"})
		}},
		"hidden from Istio": {hop, &networking.VirtualService{}, func(o client.Object) {
			o.SetLabels(map[string]string{mesh.ManagedByLabel: mesh.ManagedBy, mesh.RevisionLabel: "none"})
		}},
		"the owner removed": {hop, &networking.VirtualService{}, func(o client.Object) { o.SetOwnerReferences(nil) }},
		"deleted":           {hop, &networking.VirtualService{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			want := tt.object.DeepCopyObject().(client.Object)
			if err := c.Get(t.Context(), tt.key, want); err != nil {
				t.Fatal(err)
			}
			changed := want.DeepCopyObject().(client.Object)
			if tt.change == nil {
				if err := c.Delete(t.Context(), changed); err != nil {
					t.Fatal(err)
				}
			} else {
				tt.change(changed)
				if err := c.Update(t.Context(), changed); err != nil {
					t.Fatal(err)
				}
			}
			c.eventually("the repair", func() error {
				got := tt.object.DeepCopyObject().(client.Object)
				if err := c.Get(t.Context(), tt.key, got); err != nil {
					return err
				}
				if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" {
					return fmt.Errorf("(-before +after)\n%s", diff)
				}
				return nil
			})
		})
	}
}

// TestShadowedSubsets: where a tenant's own DestinationRule for the gateway hides
// the subsets of the gateway's namespace, there is one with them beside it, which
// is kept, and goes with it.
func TestShadowedSubsets(t *testing.T) {
	c := newCluster(t, "shadowed")
	c.run()
	c.create(held("shadowed", "api", "shadowed.partner.com", tls))
	c.opens("shadowed", "api")
	c.create(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: own, namespace: shadowed}
spec: {host: istio-egressgateway.istio-system.svc.cluster.local, exportTo: [.]}
`)
	key := client.ObjectKey{Namespace: "shadowed", Name: companion.Key("shadowed.partner.com") + "-hop"}
	var hop networking.DestinationRule
	c.eventually("the subsets", func() error { return c.Get(t.Context(), key, &hop) })
	want := comparable(&hop)
	hop.Spec.Subsets = nil
	if err := c.Update(t.Context(), &hop); err != nil {
		t.Fatal(err)
	}
	c.eventually("the repair", func() error {
		if err := c.Get(t.Context(), key, &hop); err != nil {
			return err
		}
		if diff := cmp.Diff(want, comparable(&hop)); diff != "" {
			return fmt.Errorf("(-before +after)\n%s", diff)
		}
		return nil
	})
	if err := c.Delete(t.Context(), &networking.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "shadowed", Name: "own"}}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the end of the subsets", func() error {
		if err := c.Get(t.Context(), key, &hop); !apierrors.IsNotFound(err) {
			return fmt.Errorf("they are still there (error %v)", err)
		}
		return nil
	})
}

// comparable is what is to be the same in an object before and after a repair.
func comparable(o client.Object) string {
	o = o.DeepCopyObject().(client.Object)
	o.SetResourceVersion("")
	o.SetGeneration(0)
	o.SetManagedFields(nil)
	o.SetCreationTimestamp(zeroTime)
	o.SetUID("")
	return toYAML(o)
}

func TestForeignObjectIsLeftAlone(t *testing.T) {
	c := newCluster(t, "foreign")
	name := companion.Key("foreign.partner.com")
	c.create(fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %s, namespace: istio-system, labels: {app.kubernetes.io/managed-by: sallyport}}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 9999, name: http, protocol: HTTP}, hosts: [mine.com]}]}
`, name))
	var before networking.Gateway
	key := client.ObjectKey{Namespace: "istio-system", Name: name}
	if err := c.Get(t.Context(), key, &before); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.create(held("foreign", "api", "foreign.partner.com", tls))
	c.says("Warning Held not Sallyport's, but under its names: Gateway/istio-system/" + name)
	var after networking.Gateway
	if err := c.Get(t.Context(), key, &after); err != nil {
		t.Fatal(err)
	}
	if before.ResourceVersion != after.ResourceVersion {
		t.Errorf("the Gateway was written:\n%s", toYAML(&after))
	}
	entry := c.entry("foreign", "api")
	if diff := cmp.Diff([]string{"~"}, entry.Spec.ExportTo); diff != "" {
		t.Errorf("exportTo (-want +got):\n%s", diff)
	}
	if hop := (mesh.Ref{Kind: "VirtualService", Namespace: "foreign", Name: name + "-mesh"}); c.companions("foreign.partner.com")[hop] != nil {
		t.Errorf("%s leads to a gateway that is not there", hop)
	}

	// Once the name is free the entry gets its companions.
	if err := c.Delete(t.Context(), &after); err != nil {
		t.Fatal(err)
	}
	c.opens("foreign", "api")

	// When the entry goes, what is not Sallyport's stays.
	c.create(fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %s-p1, namespace: istio-system, labels: {app.kubernetes.io/managed-by: sallyport}}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 9999, name: http, protocol: HTTP}, hosts: [mine.com]}]}
`, name))
	if err := c.Delete(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	c.eventually("all but the foreign object to be gone", func() error {
		found := c.companions("foreign.partner.com")
		if len(found) != 1 || found[mesh.Ref{Kind: "Gateway", Namespace: "istio-system", Name: name + "-p1"}] == nil {
			return fmt.Errorf("found %v", found)
		}
		return nil
	})
}

func TestNothingChangesNothing(t *testing.T) {
	c := newCluster(t, "noop")
	c.run()
	c.create(held("noop", "api", "noop.partner.com", http+","+tls))
	entry := c.opens("noop", "api")
	before := c.versions("noop.partner.com")

	entry.Annotations["example.com/touched"] = "true"
	if err := c.Update(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	// Something else that is seen to happen after the touch.
	c.create(held("noop", "other", "noop-other.partner.com", tls))
	c.opens("noop", "other")
	if diff := cmp.Diff(before, c.versions("noop.partner.com")); diff != "" {
		t.Errorf("an entry was touched and its companions were written (-before +after):\n%s", diff)
	}
	if got := c.entry("noop", "api"); got.ResourceVersion != entry.ResourceVersion {
		t.Errorf("the touched entry was written again:\n%s", toYAML(got))
	}
}

func TestRestart(t *testing.T) {
	c := newCluster(t, "restart")
	c.run()
	c.create(
		held("restart", "stays", "restart-stays.partner.com", tls),
		held("restart", "goes", "restart-goes.partner.com", tls))
	c.opens("restart", "stays")
	goes := c.opens("restart", "goes")
	before := c.versions("restart-stays.partner.com")
	c.stop()

	// What happens while nobody looks.
	if err := c.Delete(t.Context(), goes); err != nil {
		t.Fatal(err)
	}
	c.create(held("restart", "new", "restart-new.partner.com", tls))

	c.run()
	c.opens("restart", "new")
	c.gone("restart-goes.partner.com")
	if diff := cmp.Diff(before, c.versions("restart-stays.partner.com")); diff != "" {
		t.Errorf("a restart wrote what was right already (-before +after):\n%s", diff)
	}
}

func TestTenantsShareTheGatewaySide(t *testing.T) {
	c := newCluster(t, "tenant-a", "tenant-b")
	c.run()
	c.create(held("tenant-a", "api", "shared.partner.com", tls))
	c.opens("tenant-a", "api")
	hop := client.ObjectKey{Namespace: "tenant-a", Name: companion.Key("shared.partner.com") + "-mesh"}
	var before, after networking.VirtualService
	if err := c.Get(t.Context(), hop, &before); err != nil {
		t.Fatal(err)
	}
	c.create(held("tenant-b", "api", "shared.partner.com", http+","+tls))
	b := c.opens("tenant-b", "api")
	if err := c.Get(t.Context(), hop, &after); err != nil {
		t.Fatal(err)
	}
	if before.ResourceVersion != after.ResourceVersion {
		t.Errorf("tenant b's entry had tenant a's mesh hop written:\n%s", toYAML(&after))
	}
	if err := c.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	c.eventually("tenant b's part to be gone", func() error {
		found := c.companions("shared.partner.com")
		se, ok := found[mesh.Ref{Kind: "ServiceEntry", Namespace: "istio-system", Name: companion.Key("shared.partner.com")}]
		if !ok || len(found) != 5 {
			return fmt.Errorf("found %v", found)
		}
		if ports := se.(*networking.ServiceEntry).Spec.Ports; len(ports) != 1 {
			return fmt.Errorf("ports %v", ports)
		}
		return nil
	})
	if got := c.entry("tenant-a", "api"); got.Spec.ExportTo[0] != "." {
		t.Errorf("tenant a was closed: %v", got.Spec.ExportTo)
	}
}

func TestContradictionIsTold(t *testing.T) {
	c := newCluster(t, "first", "second")
	c.run()
	c.create(held("first", "api", "torn.partner.com", tls))
	c.opens("first", "api")
	time.Sleep(time.Second) // creationTimestamps have whole seconds
	c.create(held("second", "api", "torn.partner.com", `{number: 443, name: tcp, protocol: TCP}`))
	c.says("Warning Refused spec.ports[0]: port 443 is TCP to port 443 here and TLS to port 443 in an entry of another namespace")
	if got := c.entry("second", "api"); got.Spec.ExportTo[0] != "~" {
		t.Errorf("a refused entry was opened: %v", got.Spec.ExportTo)
	}
}

// TestOwnExportIsKept: an exportTo that the client chose is not Sallyport's to
// change, in either direction.
func TestOwnExportIsKept(t *testing.T) {
	c := newCluster(t, "own")
	c.run()
	c.create(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hidden, namespace: own}
spec: {hosts: [hidden.partner.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, exportTo: ["~"]}
`, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: open, namespace: own}
spec: {hosts: [open.partner.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, exportTo: ["."]}
`)
	c.eventually("the open entry's companions", func() error {
		if found := c.companions("open.partner.com"); len(found) != 5 {
			return fmt.Errorf("found %v", found)
		}
		return nil
	})
	if got := c.entry("own", "hidden"); got.Spec.ExportTo[0] != "~" || len(c.companions("hidden.partner.com")) > 0 {
		t.Errorf("an entry that nobody is to see was touched: %v", got.Spec.ExportTo)
	}
}

// TestInjectionTurnedOff: the companions of an open entry go only once the
// entry is held, so that its host is at no time reached directly.
func TestInjectionTurnedOff(t *testing.T) {
	c := newCluster(t, "switched")
	c.run()
	c.create(held("switched", "api", "off.partner.com", tls))
	c.opens("switched", "api")
	c.label("switched", mesh.InjectionLabel, "disabled")
	c.gone("off.partner.com")
	if got := c.entry("switched", "api"); got.Spec.ExportTo[0] != "~" {
		t.Errorf("exportTo is %v: the host is reached directly", got.Spec.ExportTo)
	}
	c.label("switched", mesh.InjectionLabel, "enabled")
	c.opens("switched", "api")
}

func TestOutage(t *testing.T) {
	c := newCluster(t, "outage")
	c.run()
	c.create(held("outage", "api", "outage.partner.com", tls))
	c.opens("outage", "api")
	before := c.versions("outage.partner.com")
	if err := plane.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // long enough for every watch to fail
	if err := plane.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.create(held("outage", "later", "outage-later.partner.com", tls))
	c.opens("outage", "later")
	if diff := cmp.Diff(before, c.versions("outage.partner.com")); diff != "" {
		t.Errorf("an outage made companions change (-before +after):\n%s", diff)
	}
}

// TestCannotWrite: what stands in the way of companions for good is told
// beside the entry.
func TestCannotWrite(t *testing.T) {
	c := newCluster(t, "misconfigured")
	c.settings.Gateways[0].Namespace = "no-such-namespace"
	c.run()
	c.create(held("misconfigured", "api", "misconfigured.partner.com", tls))
	c.says("Warning Held ")
	c.eventually("the entry's status", func() error {
		text := c.entry("misconfigured", "api").Annotations[mesh.StatusAnnotation]
		if !strings.Contains(text, `namespaces "no-such-namespace" not found`) {
			return fmt.Errorf("%s is %q", mesh.StatusAnnotation, text)
		}
		return nil
	})
}

// TestIndistinctHostWaits: a TCP host that a sidecar cannot tell from an older
// one is refused, and gets its turn when that goes.
func TestIndistinctHostWaits(t *testing.T) {
	const tcp = `{number: 5432, name: tcp, protocol: TCP}`
	c := newCluster(t, "indistinct")
	c.run()
	c.create(held("indistinct", "a-first", "first.indistinct.com", tcp))
	first := c.opens("indistinct", "a-first")
	c.create(held("indistinct", "b-second", "second.indistinct.com", tcp))
	c.says("Warning Refused spec.addresses: port 5432 of second.indistinct.com is TCP")
	if err := c.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	c.opens("indistinct", "b-second")
}

// TestEnvoyFilterHolds: behind an EnvoyFilter nobody can tell where traffic goes,
// so that an entry is held, and opened as soon as the filter goes.
func TestEnvoyFilterHolds(t *testing.T) {
	c := newCluster(t, "filtered")
	filter, err := object(`
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {namespace: filtered, name: any}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), filter); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.create(held("filtered", "api", "api.filtered.com", tls))
	c.eventually("a word on what the entry waits for", func() error {
		if status := c.entry("filtered", "api").Annotations[mesh.StatusAnnotation]; !strings.Contains(status, "undetermined") {
			return fmt.Errorf("%s=%q", mesh.StatusAnnotation, status)
		}
		return nil
	})
	if err := c.Delete(t.Context(), filter); err != nil {
		t.Fatal(err)
	}
	c.opens("filtered", "api")
}
