package companion_test

import (
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestLasting: an entry rests on a companion beside it only where it owns it,
// and on no companion that is about to go.
func TestLasting(t *testing.T) {
	const host = "api.partner.com"
	entry := func(namespace, uid string) *mesh.ServiceEntry {
		return &mesh.ServiceEntry{
			Meta:  mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: namespace, Name: "e" + uid}, UID: uid},
			Hosts: []string{host},
		}
	}
	hop := func(owners ...string) *mesh.VirtualService {
		vs := &mesh.VirtualService{Hosts: []string{host}}
		vs.Ref = mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: companion.Key(host) + "-mesh"}
		vs.Owners = owners
		return vs
	}
	deleting := hop("1")
	deleting.Deleting = true
	for name, tt := range map[string]struct {
		hop   *mesh.VirtualService
		entry *mesh.ServiceEntry
		want  bool
	}{
		"owned by its entry alone":                  {hop("1"), entry("shop", "1"), true},
		"its own and another's":                     {hop("1", "2"), entry("shop", "1"), true},
		"another's beside it":                       {hop("2"), entry("shop", "1"), false},
		"of an entry that is gone":                  {hop("9"), entry("shop", "1"), false},
		"one that is being deleted":                 {deleting, entry("shop", "1"), false},
		"without an owner at all":                   {hop(), entry("shop", "1"), true},
		"of another namespace's entry":              {hop("2"), entry("billing", "1"), true},
		"of another namespace's entry that is gone": {hop("9"), entry("billing", "1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			m := mesh.New(mesh.DefaultSettings(), tt.hop, entry("shop", "2"), tt.entry)
			if got := companion.Lasting(m, tt.entry).Get(tt.hop.Ref) != nil; got != tt.want {
				t.Errorf("counts: %t, want %t", got, tt.want)
			}
		})
	}
}
