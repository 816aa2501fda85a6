package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestBadEditsCloseNothing makes edits that cannot be served and that came past
// admission, as in a namespace that asks for warnings only: at no version of the
// cluster is the entry hidden, and what went through the gateway goes on to.
func TestBadEditsCloseNothing(t *testing.T) {
	c := newCluster(t, "edited")
	h := record(t, c.watcher)
	c.run()
	edits := map[string]func(*networking.ServiceEntry){
		"address": func(e *networking.ServiceEntry) { e.Spec.Hosts = append(e.Spec.Hosts, "192.0.2.7") },
		"protocol": func(e *networking.ServiceEntry) {
			e.Spec.Ports = append(e.Spec.Ports, &networkingapi.ServicePort{Number: 9443, Name: "more"})
		},
		"certificate": func(e *networking.ServiceEntry) { e.Annotations[mesh.ClientCertificateAnnotation] = "nobody" },
		"endpoints": func(e *networking.ServiceEntry) {
			e.Spec.Endpoints = []*networkingapi.WorkloadEntry{{Address: "other.example.com"}}
		},
	}
	for name := range edits {
		c.create(held("edited", name, name+".partner.com", tls))
	}
	for name, edit := range edits {
		c.opens("edited", name)
		c.eventually("the edit of "+name, func() error {
			entry := c.entry("edited", name)
			edit(entry)
			return c.Update(t.Context(), entry)
		})
	}
	for name := range edits {
		c.eventually("the word about "+name, func() error {
			if got := c.entry("edited", name).Annotations[mesh.StatusAnnotation]; !strings.HasPrefix(got, "refused: ") && name != "address" {
				return fmt.Errorf("the status is %q", got)
			}
			return nil
		})
	}
	time.Sleep(2 * time.Second) // in which what is not wanted would have gone
	opened, looked := make(map[mesh.Ref]bool), 0
	for m, ch := range h.replay {
		for o := range m.In("ServiceEntry", "edited") {
			entry := o.(*mesh.ServiceEntry)
			if entry.Held() {
				if opened[entry.Ref] {
					t.Errorf("at version %d %s is hidden", ch.version, entry.Ref)
				}
				continue
			}
			opened[entry.Ref] = true
			looked++
			host := entry.Hosts[0]
			if p := m.Paths("edited", host, 443); p.Verdict != mesh.Via {
				t.Errorf("at version %d %s is %s: %+v", ch.version, host, p.Verdict, p.Because)
			}
		}
	}
	if len(opened) != len(edits) || looked < 3*len(edits) {
		t.Errorf("%d entries were open, at %d versions together", len(opened), looked)
	}
	for name := range edits {
		if got := c.entry("edited", name).Spec.ExportTo; !slices.Equal(got, []string{"."}) {
			t.Errorf("%s is exported to %v", name, got)
		}
	}
}
