package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestDeletions takes away what keeps a path closed in every way that Kubernetes
// knows, as a tenant who may do what he likes in his own namespaces: none leaves a
// direct path, and none leaves behind what cannot be deleted.
func TestDeletions(t *testing.T) {
	c := start(t)
	c.kubectl(t, deletionPlatform, "apply", "-f", "-")

	t.Run("an owner that does not exist", func(t *testing.T) { testOwners(t, c) })
	t.Run("a finalizer", func(t *testing.T) { testFinalizers(t, c) })
	t.Run("what went before the server looked", func(t *testing.T) { testRelease(t, c) })
	t.Run("in the foreground", func(t *testing.T) { testForeground(t, c) })
	t.Run("a collection", func(t *testing.T) { testCollection(t, c) })
	t.Run("a definition", func(t *testing.T) { testDefinition(t, c) })
	t.Run("a namespace that others need", func(t *testing.T) { testNeededNamespace(t, c) })
	t.Run("a namespace with a finalizer in it", func(t *testing.T) { testHeldNamespace(t, c) })
	t.Run("a namespace with companions", func(t *testing.T) { testServedNamespace(t, c) })
}

// deletionPlatform has a Gateway for everybody's plain HTTP, and tenants that write
// their routes themselves.
const deletionPlatform = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {namespace: istio-system, name: everybody}
spec:
  selector: {istio: plain-egressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
` + tenantNamespaces

const tenantNamespaces = `---
apiVersion: v1
kind: Namespace
metadata: {name: owners, labels: {sallyport.io/injection: disabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: keepers, labels: {sallyport.io/injection: disabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: sinners, labels: {sallyport.io/injection: disabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: router, labels: {sallyport.io/injection: disabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: routed, labels: {sallyport.io/injection: disabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: leaving, labels: {sallyport.io/injection: disabled}}
`

const http80 = "{number: 80, name: http, protocol: HTTP}"

// hop is a VirtualService that leads a host through the plain gateway.
func hop(namespace, name, host, finalizer string) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {namespace: %s, name: %s, finalizers: [%s]}
spec:
  hosts: [%s]
  gateways: [mesh, istio-system/everybody]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: plain-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - match: [{gateways: [istio-system/everybody]}]
    route: [{destination: {host: %s, port: {number: 80}}}]
`, namespace, name, finalizer, host, host)
}

const keep = "tenant.example/keep"

// open is an entry that Sallyport does not hold back: what its namespace sees is
// in its writer's hand.
func open(namespace, name string) string {
	return entry(namespace, name, name+".example.com", http80) + "  exportTo: [\".\", istio-system]\n"
}

// exists reports whether kubectl finds an object.
func (c *cluster) exists(t *testing.T, namespace, kind, name string) bool {
	t.Helper()
	return strings.TrimSpace(c.kubectl(t, "", "get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name")) != ""
}

// gone waits until an object is gone.
func (c *cluster) gone(t *testing.T, namespace, kind, name string) {
	t.Helper()
	eventually(t, kind+" "+name+" goes", func() error {
		if out := c.kubectl(t, "", "get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "yaml"); strings.TrimSpace(out) != "" {
			return fmt.Errorf("it is still there:\n%s", out)
		}
		return nil
	})
}

// stays fails where an object goes within the time in which controllers try.
func (c *cluster) stays(t *testing.T, namespace, kind, name string) {
	t.Helper()
	for until := time.Now().Add(6 * time.Second); time.Now().Before(until); time.Sleep(300 * time.Millisecond) {
		if !c.exists(t, namespace, kind, name) {
			t.Fatalf("%s %s/%s is gone", kind, namespace, name)
		}
	}
}

// admitted applies a manifest as soon as the server has seen what it rests on.
func (c *cluster) admitted(t *testing.T, manifest string) {
	t.Helper()
	eventually(t, "the object is admitted", func() error {
		if out, err := c.try(t, manifest, "apply", "-f", "-"); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}

// served writes an entry and the route that it needs.
func (c *cluster) served(t *testing.T, namespace, name string) {
	t.Helper()
	host := name + ".example.com"
	c.admitted(t, hop(namespace, name, host, ""))
	c.admitted(t, open(namespace, name))
	// The server judges by what it has seen.
	eventually(t, "the server has seen the entry", func() error {
		if out, err := c.try(t, "", "delete", "virtualservice", name, "-n", namespace, "--dry-run=server"); err == nil {
			return fmt.Errorf("the route could go:\n%s", out)
		}
		return nil
	})
}

func owned(kind, name, uid string) []string {
	version := "v1"
	if kind != "ConfigMap" {
		version = "networking.istio.io/v1"
	}
	return []string{"--type=merge", "-p", fmt.Sprintf(
		`{"metadata":{"ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q}]}}`, version, kind, name, uid)}
}

// testOwners is the first attack: the garbage collector is to delete the
// route, which the tenant could not.
func testOwners(t *testing.T, c *cluster) {
	const nobody = "6b1fbd6c-8ae6-4f0a-9b4f-3a3f6b1fbd6c"
	c.served(t, "owners", "collected")
	patch := []string{"patch", "virtualservice", "collected", "-n", "owners"}
	out := c.denied(t, "", append(patch, owned("ServiceEntry", "nobody", nobody)...)...)
	if !strings.Contains(out, "its owner ServiceEntry/owners/nobody does not exist") {
		t.Errorf("the denial does not say what is wrong with the owner:\n%s", out)
	}
	c.denied(t, "", append(patch, owned("ServiceEntry", "collected", nobody)...)...)

	// Of an owner that the server cannot know it takes the word, and judges when
	// the collector comes.
	c.kubectl(t, "", append(patch, owned("ConfigMap", "nobody", nobody)...)...)
	c.stays(t, "owners", "virtualservice", "collected")
	c.kubectl(t, "", "delete", "serviceentry", "collected", "-n", "owners")
	c.gone(t, "owners", "virtualservice", "collected")
}

// testFinalizers is the second attack, and the same with the entry first.
func testFinalizers(t *testing.T, c *cluster) {
	c.admitted(t, hop("keepers", "ghost", "ghost.example.com", keep))
	c.kubectl(t, "", "delete", "virtualservice", "ghost", "-n", "keepers", "--wait=false")
	eventually(t, "the route counts as gone", func() error {
		out, err := c.try(t, open("keepers", "ghost"), "create", "--dry-run=server", "-f", "-")
		if err == nil && !strings.Contains(out, "denied while") {
			return fmt.Errorf("%w, want that it is denied while no other route is there\n%s", err, out)
		}
		return nil
	})
	c.denied(t, open("keepers", "ghost"), "apply", "-f", "-")
	// One that Sallyport holds back is not opened for a route that is about to go.
	c.kubectl(t, entry("keepers", "held", "ghost.example.com", http80), "apply", "-f", "-")
	eventually(t, "its owner is told", func() error {
		out := c.kubectl(t, "", "get", "serviceentry", "held", "-n", "keepers", "-o", "yaml")
		if !strings.Contains(out, mesh.StatusAnnotation) {
			return fmt.Errorf("no status:\n%s", out)
		}
		return nil
	})
	if out := c.kubectl(t, "", "get", "serviceentry", "held", "-n", "keepers", "-o", "jsonpath={.spec.exportTo}"); out != `["~"]` {
		t.Errorf("the entry is exported to %s", out)
	}
	c.kubectl(t, "", "delete", "serviceentry", "held", "-n", "keepers")
	eventually(t, "the route may go", func() error {
		out, err := c.try(t, "", "patch", "virtualservice", "ghost", "-n", "keepers", "--type=json", "-p", `[{"op":"remove","path":"/metadata/finalizers"}]`)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	c.gone(t, "keepers", "virtualservice", "ghost")

	// Istio serves the entry until its finalizer is gone, so the route has to stay.
	c.served(t, "keepers", "undead")
	c.kubectl(t, "", "patch", "serviceentry", "undead", "-n", "keepers", "--type=merge", "-p", `{"metadata":{"finalizers":["`+keep+`"]}}`)
	c.kubectl(t, "", "delete", "serviceentry", "undead", "-n", "keepers", "--wait=false")
	time.Sleep(time.Second) // the server sees it
	c.denied(t, "", "delete", "virtualservice", "undead", "-n", "keepers")
	c.denied(t, "", "delete", "virtualservice", "undead", "-n", "keepers", "--cascade=orphan")
	c.denied(t, "", "patch", "serviceentry", "undead", "-n", "keepers", "--type=json", "-p", `[{"op":"replace","path":"/spec/hosts/0","value":"straight.example.com"}]`)
	c.kubectl(t, "", "patch", "serviceentry", "undead", "-n", "keepers", "--type=json", "-p", `[{"op":"remove","path":"/metadata/finalizers"}]`)
	c.gone(t, "keepers", "serviceentry", "undead")
	eventually(t, "the route may go", func() error {
		_, err := c.try(t, "", "delete", "virtualservice", "undead", "-n", "keepers")
		return err
	})
}

// testRelease has a route that was deleted, and an entry that was written, while
// nobody enforced anything. The removal of the finalizer is what opens the path.
func testRelease(t *testing.T, c *cluster) {
	const ns = "sinners"
	c.admitted(t, hop(ns, "late", "late.example.com", keep))
	c.kubectl(t, "", "delete", "virtualservice", "late", "-n", ns, "--wait=false")
	c.kubectl(t, "", "label", "namespace", ns, mesh.ModeLabel+"=off")
	c.admitted(t, open(ns, "late"))
	c.kubectl(t, "", "label", "namespace", ns, mesh.ModeLabel+"-")
	release := []string{"patch", "virtualservice", "late", "-n", ns, "--type=json", "-p", `[{"op":"remove","path":"/metadata/finalizers"}]`}
	eventually(t, "the release is judged as the deletion", func() error {
		out, err := c.try(t, "", append(release, "--dry-run=server")...)
		if err == nil || !strings.Contains(out, "late.example.com:80") {
			return fmt.Errorf("%w, want a denial\n%s", err, out)
		}
		return nil
	})
	c.denied(t, "", release...)
	// Another write to it is an update like any other.
	c.kubectl(t, "", "annotate", "virtualservice", "late", "-n", ns, "touched=yes")
	c.kubectl(t, "", "delete", "serviceentry", "late", "-n", ns)
	eventually(t, "the route may go", func() error {
		out, err := c.try(t, "", release...)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	c.gone(t, ns, "virtualservice", "late")
}

// testForeground deletes an entry so that what it owns goes first.
func testForeground(t *testing.T, c *cluster) {
	// Sallyport's own are collected when the entry is gone, not before.
	c.kubectl(t, entry("shop", "foreground", "foreground.example.com", tls443), "apply", "-f", "-")
	eventually(t, "the companions appear", func() error {
		if got := c.companions(t, "foreground.example.com"); len(got) < 4 {
			return fmt.Errorf("only %q", got)
		}
		return nil
	})
	c.kubectl(t, "", "delete", "serviceentry", "foreground", "-n", "shop", "--cascade=foreground", "--timeout="+patience.String())
	eventually(t, "the companions are gone", func() error {
		if left := c.companions(t, "foreground.example.com"); len(left) > 0 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	})

	// A route that blocks its entry would have to go before it.
	c.served(t, "owners", "blocked")
	uid := strings.TrimSpace(c.kubectl(t, "", "get", "serviceentry", "blocked", "-n", "owners", "-o", "jsonpath={.metadata.uid}"))
	c.kubectl(t, "", "patch", "virtualservice", "blocked", "-n", "owners", "--type=merge", "-p", fmt.Sprintf(
		`{"metadata":{"ownerReferences":[{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","name":"blocked","uid":%q,"blockOwnerDeletion":true}]}}`, uid))
	eventually(t, "the server has seen the owner", func() error {
		out, err := c.try(t, "", "delete", "serviceentry", "blocked", "-n", "owners", "--cascade=foreground", "--dry-run=server")
		if err == nil || !strings.Contains(out, "--cascade=background") {
			return fmt.Errorf("%w, want a denial with the way out\n%s", err, out)
		}
		return nil
	})
	c.denied(t, "", "delete", "serviceentry", "blocked", "-n", "owners", "--cascade=foreground", "--wait=false")
	c.kubectl(t, "", "delete", "serviceentry", "blocked", "-n", "owners")
	c.gone(t, "owners", "virtualservice", "blocked")
}

// testCollection deletes whole collections, of which the API server asks about each
// object without its name.
func testCollection(t *testing.T, c *cluster) {
	c.served(t, "keepers", "many")
	c.denied(t, "", "delete", "--raw", "/apis/networking.istio.io/v1/namespaces/keepers/virtualservices")
	c.denied(t, "", "delete", "virtualservices", "--all", "-n", "keepers")

	c.kubectl(t, entry("shop", "collection", "collection.example.com", tls443), "apply", "-f", "-")
	c.kubectl(t, "", "label", "namespace", "shop", mesh.NetworkPolicyLabel+"=enabled", "--overwrite")
	eventually(t, "companions and walls appear", func() error {
		if got := c.companions(t, "collection.example.com"); len(got) < 4 {
			return fmt.Errorf("only %q", got)
		}
		if walls := c.kubectl(t, "", "get", "networkpolicies", "-n", "shop", "-o", "name"); walls == "" {
			return fmt.Errorf("no wall")
		}
		return nil
	})
	c.denied(t, "", "delete", "--raw", "/apis/networking.istio.io/v1/namespaces/shop/virtualservices")
	c.denied(t, "", "delete", "--raw", "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies")
	c.kubectl(t, "", "label", "namespace", "shop", mesh.NetworkPolicyLabel+"-")
	c.kubectl(t, "", "delete", "serviceentry", "collection", "-n", "shop")
}

// testDefinition deletes a definition, whose objects the API server then deletes
// without asking anybody.
func testDefinition(t *testing.T, c *cluster) {
	out := c.denied(t, "", "delete", "crd", "virtualservices.networking.istio.io", "--wait=false")
	if !strings.Contains(out, "definition-in-use") {
		t.Errorf("the denial does not say why:\n%s", out)
	}
}

// testNeededNamespace deletes a namespace whose route leads another one's host.
func testNeededNamespace(t *testing.T, c *cluster) {
	c.admitted(t, hop("router", "shared", "shared.example.com", ""))
	c.admitted(t, open("routed", "shared"))
	eventually(t, "the namespace is needed", func() error {
		out, err := c.try(t, "", "delete", "namespace", "router", "--dry-run=server")
		if err == nil || !strings.Contains(out, "shared.example.com:80") {
			return fmt.Errorf("%w, want a denial\n%s", err, out)
		}
		return nil
	})
	c.denied(t, "", "delete", "namespace", "router", "--wait=false")
	c.kubectl(t, "", "delete", "serviceentry", "shared", "-n", "routed")
	eventually(t, "the namespace may go", func() error {
		out, err := c.try(t, "", "delete", "namespace", "router", "--timeout="+patience.String())
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}

// testHeldNamespace deletes a namespace in which a finalizer holds the entry: its
// route stays for as long, and then everything goes.
func testHeldNamespace(t *testing.T, c *cluster) {
	const ns = "leaving"
	c.served(t, ns, "leaving")
	c.kubectl(t, "", "patch", "serviceentry", "leaving", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":["`+keep+`"]}}`)
	c.kubectl(t, "", "delete", "namespace", ns, "--wait=false")
	c.stays(t, ns, "virtualservice", "leaving")
	c.kubectl(t, "", "patch", "serviceentry", "leaving", "-n", ns, "--type=json", "-p", `[{"op":"remove","path":"/metadata/finalizers"}]`)
	eventually(t, "the namespace goes", func() error {
		if out := c.kubectl(t, "", "get", "namespace", ns, "--ignore-not-found", "-o", "yaml"); strings.TrimSpace(out) != "" {
			return fmt.Errorf("it is still there:\n%s", out)
		}
		return nil
	})
}

// testServedNamespace deletes a namespace with many entries, and what Sallyport
// keeps for them.
func testServedNamespace(t *testing.T, c *cluster) {
	var manifests []string
	for i := range 12 {
		manifests = append(manifests, entry("doomed", fmt.Sprintf("e%d", i), fmt.Sprintf("e%d.doomed.example.com", i), tls443))
	}
	c.kubectl(t, strings.Join(manifests, "---\n"), "apply", "-f", "-")
	eventually(t, "the companions appear", func() error {
		for i := range 12 {
			if got := c.companions(t, fmt.Sprintf("e%d.doomed.example.com", i)); len(got) < 4 {
				return fmt.Errorf("only %q", got)
			}
		}
		return nil
	})
	began := time.Now()
	c.kubectl(t, "", "delete", "namespace", "doomed", "--timeout="+patience.String())
	t.Logf("the namespace went in %v", time.Since(began))
}
