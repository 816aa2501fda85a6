package companion_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

// ambientMesh is the mesh of a case of testdata/ambient: the objects of its file
// mesh.yaml, under the mesh configuration of the other.
func ambientMesh(t *testing.T, file string) (*txtar.Archive, *mesh.Mesh) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config, err := meshconfig.Parse(string(section(t, archive, "meshconfig.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	s := settings(true)
	s.Visibility = config.Visibility
	s.Ambient.Waypoints = []mesh.WaypointName{{Namespace: "istio-egress", Name: "waypoint"}}
	s.Ambient.WildcardTLS = strings.HasSuffix(file, "wildcard-tls.txtar")
	s.PlatformNamespaces = append(s.PlatformNamespaces, "istio-egress")
	return archive, mesh.New(s, decode(t, section(t, archive, "mesh.yaml"))...)
}

// TestAmbientGolden computes, for every testdata/ambient/*.txtar, what leads the
// clients in ambient mode out to the hosts that its objects register.
func TestAmbientGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/ambient/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, m := ambientMesh(t, file)
			var b strings.Builder
			for _, host := range hosts(m) {
				set := companion.ForAmbient(m, host)
				b.WriteString(describeSet(t, set))
				again := companion.ForAmbient(m.With(set.Objects...), host)
				if diff := cmp.Diff(describeSet(t, set), describeSet(t, again)); diff != "" {
					t.Errorf("with its objects there, %s has others (-without +with):\n%s", host, diff)
				}
			}
			if *update {
				archive.Files[2].Data = []byte(b.String())
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(section(t, archive, "companions.yaml")), b.String()); diff != "" {
				t.Errorf("(-want +got; rerun with -update to accept):\n%s", diff)
			}
		})
	}
}

// TestAmbientLeadsOut: with the objects there every host of the mesh that is not
// refused goes through the waypoint, for every namespace that registers it, and
// all that is written is beside the waypoint, under names of Sallyport's own.
func TestAmbientLeadsOut(t *testing.T) {
	served := 0
	for _, name := range []string{"classes", "tenants", "wildcard-tls"} {
		_, m := ambientMesh(t, "testdata/ambient/"+name+".txtar")
		for _, host := range hosts(m) {
			set := companion.ForAmbient(m, host)
			after := m.With(set.Objects...)
			for _, o := range set.Objects {
				if ref := o.Metadata().Ref; ref.Namespace != "istio-egress" || !companion.Is(ref) || !strings.HasPrefix(ref.Name, companion.Key(host)) {
					t.Errorf("%s: %s is none of Sallyport's beside the waypoint", host, ref)
				}
			}
		entries:
			for _, entry := range m.EntriesFor(host) {
				if !m.Namespace(entry.Namespace).Ambient() {
					continue
				}
				for _, r := range set.Refused {
					if r.Entry == entry.Ref {
						continue entries
					}
				}
				for _, p := range entry.Ports {
					served++
					if path := after.Paths(entry.Namespace, host, p.Number); path.Verdict != mesh.Via {
						t.Errorf("%s port %d from %s is %s", host, p.Number, entry.Namespace, path.Verdict)
					}
				}
			}
		}
	}
	if served < 12 {
		t.Errorf("%d ports are served: the test proves little", served)
	}
}

// TestAmbientLeavesOthersIn: where one entry of a host asks for a way out, and ztunnel
// leads everybody there, those who registered the host before Sallyport are let in on
// their ports. They displace nobody, and by themselves they ask for nothing.
func TestAmbientLeavesOthersIn(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/ambient/tenants.txtar")
	if err != nil {
		t.Fatal(err)
	}
	config, err := meshconfig.Parse(string(section(t, archive, "meshconfig.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	s := settings(true)
	s.Visibility, s.Injection, s.InjectionOverride = config.Visibility, mesh.InjectNew, nil
	s.Ambient.Waypoints = []mesh.WaypointName{{Namespace: "istio-egress", Name: "waypoint"}}
	s.PlatformNamespaces = append(s.PlatformNamespaces, "istio-egress")
	m := mesh.New(s, decode(t, section(t, archive, "mesh.yaml"))...)
	if set := companion.ForAmbient(m, "api.partner.com"); len(set.Objects)+len(set.Refused) > 0 {
		t.Errorf("nobody asks, and there is %v", set)
	}
	// The youngest of them asks, and has 443 as TCP, where the others have TLS.
	asks := *m.Get(mesh.Ref{Kind: "ServiceEntry", Namespace: "audit", Name: "api"}).(*mesh.ServiceEntry)
	asks.Annotations = map[string]string{mesh.InjectionAnnotation: "enabled"}
	m = m.With(&asks)
	for _, o := range m.EntriesFor("api.partner.com") {
		if o.Namespace == "billing" { // 80 alone contradicts nobody
			entry := *o
			entry.Ports = entry.Ports[:1]
			m = m.With(&entry)
		}
	}
	set := companion.ForAmbient(m, "api.partner.com")
	if len(set.Refused) > 0 {
		t.Errorf("refused: %+v", set.Refused)
	}
	after := m.With(set.Objects...)
	for _, port := range []int{80, 443} {
		if path := after.Paths("billing", "api.partner.com", port); path.Verdict != mesh.Via {
			t.Errorf("port %d is %s", port, path.Verdict)
		}
	}
	for _, o := range set.Objects {
		if policy, ok := o.(*mesh.AuthorizationPolicy); ok {
			want := []string{"audit", "billing"}
			if diff := cmp.Diff(want, policy.Rules[0].From[0].Source.NotNamespaces); diff != "" {
				t.Errorf("who is let in (-want +got):\n%s", diff)
			}
		}
	}
}
