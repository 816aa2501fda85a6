package mesh_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestPaths runs testdata/paths: each file is a mesh ("mesh.yaml"), perhaps
// other approved gateways ("gateways.yaml"), what is said of ambient mode
// ("ambient.yaml"), the mesh configuration's defaults for exportTo ("exports.yaml")
// and namespaces to ask for
// ("clients"), and all paths with their first reason ("paths").
func TestPaths(t *testing.T) {
	files, err := filepath.Glob("testdata/paths/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string][]byte{}
			for _, f := range archive.Files {
				sections[f.Name] = f.Data
			}
			settings := mesh.DefaultSettings()
			if raw := sections["gateways.yaml"]; raw != nil {
				if err := yaml.UnmarshalStrict(raw, &settings.Gateways); err != nil {
					t.Fatal(err)
				}
			}
			if raw := sections["ambient.yaml"]; raw != nil {
				if err := yaml.UnmarshalStrict(raw, &settings.Ambient); err != nil {
					t.Fatal(err)
				}
			}
			if raw := sections["exports.yaml"]; raw != nil {
				if err := yaml.UnmarshalStrict(raw, &settings.DefaultExports); err != nil {
					t.Fatal(err)
				}
			}
			m := mesh.New(settings, decodeYAML(t, file, sections["mesh.yaml"])...)
			if _, held := sections["open"]; held {
				m = m.Open()
			}
			asked := strings.Fields(string(sections["clients"]))
			var got bytes.Buffer
			for p := range m.AllPoints() {
				clients := append(slices.Clone(m.Clients(p.Host)), asked...)
				slices.Sort(clients)
				for _, c := range append(slices.Compact(clients), mesh.AnyClient) {
					path := m.Paths(c, p.Host, p.Port)
					fmt.Fprintf(&got, "%s:%d %s from %s: %s", p.Host, p.Port, path.Protocol, c, strings.TrimSpace(string(path.Verdict)+" "+path.Gateway))
					for _, b := range path.Because[:min(1, len(path.Because))] {
						fmt.Fprintf(&got, "\n    %s %s: %s", b.Ref, b.Path, b.Message)
					}
					got.WriteByte('\n')
				}
			}
			if *update {
				set(archive, "paths", got.Bytes())
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(sections["paths"]), got.String()); diff != "" {
				t.Errorf("paths changed; run with -update if that is right (-want +got):\n%s", diff)
			}
		})
	}
}

func set(a *txtar.Archive, name string, data []byte) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = data
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: data})
}

// decodeYAML decodes the objects of a file. Those without a creation time exist
// since ever, as they do for Istio's own test server.
func decodeYAML(t testing.TB, file string, raw []byte) []mesh.Object {
	t.Helper()
	var objects []mesh.Object
	for doc := range bytes.SplitSeq(raw, []byte("\n---")) {
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		raw, err := yaml.YAMLToJSON(doc)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if o.Metadata().Created.IsZero() {
			o.Metadata().Created = time.Unix(0, 0)
		}
		objects = append(objects, o)
	}
	return objects
}

// TestTooManyWays has a host with more ways than are followed: that they are all
// via would take minutes to find out, and is not taken for granted.
func TestTooManyWays(t *testing.T) {
	gateway := mesh.RouteDestination{Destination: mesh.Destination{Host: "istio-egressgateway.istio-system.svc.cluster.local", Port: &mesh.PortSelector{Number: 80}}, Weight: 1}
	for ways, want := range map[int]mesh.Verdict{1_000: mesh.Broken, 100_000: mesh.Direct} {
		vs := &mesh.VirtualService{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "v"}}, Hosts: []string{"api.example.com"}, Gateways: []string{"mesh"}}
		vs.HTTP = []mesh.HTTPRoute{{Route: slices.Repeat([]mesh.RouteDestination{gateway}, ways)}}
		m := mesh.New(mesh.DefaultSettings(), vs, &mesh.ServiceEntry{
			Meta:  mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "e"}},
			Hosts: []string{"api.example.com"}, Resolution: "DNS", Ports: []mesh.ServicePort{{Number: 80, Protocol: "HTTP", Name: "http"}},
		})
		path := m.Paths("shop", "api.example.com", 80)
		if path.Verdict != want {
			t.Errorf("%d ways: %s, want %s (%v)", ways, path.Verdict, want, path.Because)
		}
	}
}

// TestBounded asks questions that have a budget of a mesh, and of ones made from
// it: beyond the budget there is no answer.
func TestBounded(t *testing.T) {
	steps := budget.New(t.Context(), 1_000)
	m := mesh.New(mesh.DefaultSettings()).Draft().Bounded(steps)
	if got, _ := m.Verdict("shop", "api.example.com", 443); got != mesh.Blocked {
		t.Errorf("within the budget: %s", got)
	}
	made := []*mesh.Mesh{m, m.With(&mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}}}), m.Open()}
	m.Spend(1_000 - int(steps.Spent()))
	for _, m := range made {
		err := func() (err error) {
			defer budget.Catch(&err)
			t.Errorf("beyond the budget: %+v", m.Paths("shop", "api.example.com", 443))
			return nil
		}()
		if _, ok := errors.AsType[*budget.TooLarge](err); !ok {
			t.Errorf("beyond the budget: error %v", err)
		}
	}
}
