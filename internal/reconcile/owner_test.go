package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

const httpOn443 = `{number: 443, name: http, protocol: HTTP}`

// TestOwnerTakesItsHost: when the owner of a host registers it, an older entry
// of a stranger that contradicts it is held and told why, by its status and by
// an Event, without a word about who the owner is; at no version of the cluster
// does either reach the host directly. When the owner goes, the stranger has it
// again.
func TestOwnerTakesItsHost(t *testing.T) {
	const host = "taken.partner.com"
	c := newCluster(t, "squatter", "rightful")
	c.settings.Ownership = mesh.NewOwnership([]mesh.Owner{{Hosts: []string{host}, Namespaces: []string{"rightful"}, Contact: "#rightful-team"}}, "", mesh.Subjects{})
	h := record(t, c.watcher)
	c.run()
	c.create(held("squatter", "api", host, httpOn443))
	c.opens("squatter", "api")
	c.create(held("rightful", "own", host, tls))
	c.opens("rightful", "own")
	c.says("Warning Refused spec.ports[0]: port 443 is HTTP to port 443 with TLS originated at the gateway here and TLS to port 443 in an entry of the host's owner")
	c.eventually("the stranger's entry to be held, and told why", func() error {
		se := c.entry("squatter", "api")
		status := se.Annotations[mesh.StatusAnnotation]
		if !cmp.Equal(se.Spec.ExportTo, []string{"~"}) || !strings.HasPrefix(status, "refused: ") {
			return fmt.Errorf("exportTo %v, %s=%q", se.Spec.ExportTo, mesh.StatusAnnotation, status)
		}
		if strings.Contains(status, "rightful/") || !strings.Contains(status, "#rightful-team") {
			return fmt.Errorf("the status names the other team, or not whom to ask: %q", status)
		}
		return nil
	})
	var gateway networking.Gateway
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "istio-system", Name: companion.Key(host)}, &gateway); err != nil {
		t.Fatal(err)
	}
	if got := gateway.Spec.Servers[0].Port.Protocol; len(gateway.Spec.Servers) != 1 || got != "TLS" {
		t.Errorf("the gateway does not follow the owner's form: %v", gateway.Spec.Servers)
	}
	c.eventually("the route of the gateway to have the owner's form alone", func() error {
		var vs networking.VirtualService
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "istio-system", Name: companion.Key(host)}, &vs); err != nil {
			return err
		}
		if len(vs.Spec.Http) > 0 {
			return fmt.Errorf("it has %d HTTP rules", len(vs.Spec.Http))
		}
		return nil
	})
	if err := c.Delete(t.Context(), c.entry("rightful", "own")); err != nil {
		t.Fatal(err)
	}
	c.opens("squatter", "api")
	h.neverDirect(t, "squatter")
	h.neverDirect(t, "rightful")
}

// TestOwnExportIsDisplaced: the entry of a stranger that chose its exportTo is
// not Sallyport's to close. It keeps its route, which leads to the gateway and no
// further.
func TestOwnExportIsDisplaced(t *testing.T) {
	const host = "kept.partner.com"
	c := newCluster(t, "chooser", "entitled")
	c.settings.Ownership = mesh.NewOwnership([]mesh.Owner{{Hosts: []string{host}, Namespaces: []string{"entitled"}}}, "", mesh.Subjects{})
	c.run()
	c.create(held("chooser", "api", host, httpOn443))
	entry := c.opens("chooser", "api")
	delete(entry.Annotations, mesh.ExportAnnotation) // from now on its owner's
	if err := c.Update(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	h := record(t, c.watcher)
	c.create(held("entitled", "own", host, tls))
	c.opens("entitled", "own")
	time.Sleep(time.Second) // several times of grace
	if hops := c.meshHops("chooser", host); len(hops) != 1 {
		t.Errorf("the stranger's route is gone: %v", hops)
	}
	h.neverDirect(t, "chooser")
	h.neverDirect(t, "entitled")
}

// TestOwnerByLabel: a namespace that is labelled as an owner has its host from
// then on, and no longer when the label goes.
func TestOwnerByLabel(t *testing.T) {
	const host = "labelled.partner.com"
	c := newCluster(t, "was-first", "by-label")
	c.settings.Ownership = mesh.NewOwnership([]mesh.Owner{{Hosts: []string{host}, Labels: map[string]string{"team": "labelled"}}}, "", mesh.Subjects{})
	h := record(t, c.watcher)
	c.run()
	c.create(held("was-first", "api", host, httpOn443))
	c.opens("was-first", "api")
	time.Sleep(time.Second) // creationTimestamps have whole seconds
	c.create(held("by-label", "own", host, tls))
	c.says("Warning Refused ")
	c.label("by-label", "team", "labelled")
	c.opens("by-label", "own")
	c.eventually("the first to be held", func() error {
		if se := c.entry("was-first", "api"); se.Spec.ExportTo[0] != "~" {
			return fmt.Errorf("exportTo %v", se.Spec.ExportTo)
		}
		return nil
	})
	c.label("by-label", "team", "another")
	c.opens("was-first", "api")
	h.neverDirect(t, "was-first")
	h.neverDirect(t, "by-label")
}

// TestContradictionsInARace: of entries that contradict each other and came in
// at the same time the owner's is served, whichever was written first, and of
// others the oldest, and of those of one second the first by name; a restart
// changes nothing about it.
func TestContradictionsInARace(t *testing.T) {
	namespaces := []string{"race-a", "race-b", "race-c"}
	for _, owner := range []string{"", "race-b", "race-c"} {
		t.Run("owner="+owner, func(t *testing.T) {
			host := "race" + owner + ".partner.com"
			c := newCluster(t, namespaces...)
			if owner != "" {
				c.settings.Ownership = mesh.NewOwnership([]mesh.Owner{{Hosts: []string{host}, Namespaces: []string{owner}}}, "", mesh.Subjects{})
			}
			forms := []string{tls, httpOn443, `{number: 443, name: tcp, protocol: TCP}`}
			for i, ns := range namespaces { // before anybody looks
				c.create(held(ns, "api", host, forms[i]))
			}
			want := owner
			if owner == "" {
				want = namespaces[0]
			}
			for range 2 {
				c.run()
				c.opens(want, "api")
				for _, ns := range namespaces {
					if ns == want {
						continue
					}
					c.eventually(ns+" to be refused", func() error {
						se := c.entry(ns, "api")
						if status := se.Annotations[mesh.StatusAnnotation]; !strings.HasPrefix(status, "refused: ") || se.Spec.ExportTo[0] != "~" {
							return fmt.Errorf("exportTo %v, %s=%q", se.Spec.ExportTo, mesh.StatusAnnotation, status)
						}
						return nil
					})
				}
				c.stop()
			}
		})
	}
}
