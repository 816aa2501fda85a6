package netpol_test

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

var update = flag.Bool("update", false, "rewrite the want sections of the goldens")

// TestFor compares every policy of a mesh with its golden.
func TestFor(t *testing.T) {
	files, err := filepath.Glob("testdata/for-*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d goldens, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := meshOf(t, section(a, "mesh.yaml"), settingsOf(t, a))
			var policies []*networkingv1.NetworkPolicy
			for _, ns := range netpol.Namespaces(m) {
				policies = append(policies, netpol.For(m, ns)...)
			}
			got, err := render(policies)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "want.yaml", Data: got})
				if err := writeFile(file, a); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(section(a, "want.yaml")), string(got)); d != "" {
				t.Errorf("policies (-want +got):\n%s", d)
			}
		})
	}
}

// TestWalled checks who is confined.
func TestWalled(t *testing.T) {
	tests := []struct {
		labels, name string
		byDefault    bool
		want         bool
	}{
		{"sallyport.io/network-policy: enabled", "shop", false, true},
		{"sallyport.io/network-policy: enabled", "shop", true, true},
		{"sallyport.io/network-policy: disabled, istio-injection: enabled", "shop", true, false},
		{"istio-injection: enabled", "shop", false, false},
		{"istio-injection: enabled", "shop", true, true},
		{"istio.io/rev: canary", "shop", true, true},
		{"istio.io/rev: canary, istio-injection: disabled", "shop", true, false},
		{"istio.io/dataplane-mode: ambient", "shop", true, true},
		{"team: shop", "shop", true, false},
		{"istio-injection: enabled", "cert-manager", true, false},
		{"sallyport.io/network-policy: enabled", "cert-manager", true, true},
		{"sallyport.io/network-policy: enabled", "kube-system", true, false},
		{"sallyport.io/network-policy: enabled", "istio-system", true, false},
	}
	for _, tt := range tests {
		s := mesh.DefaultSettings()
		s.NetworkPolicy = tt.byDefault
		m := meshOf(t, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+tt.name+", labels: {\""+
			strings.ReplaceAll(strings.ReplaceAll(tt.labels, ": ", "\": "), ", ", ", \"")+"}}"), s)
		if got := netpol.Walled(m, tt.name); got != tt.want {
			t.Errorf("namespace %s with {%s}, default %t: walled %t", tt.name, tt.labels, tt.byDefault, got)
		}
	}
	if netpol.Walled(meshOf(t, nil, mesh.DefaultSettings()), "unknown") {
		t.Error("a namespace that the mesh lacks is walled")
	}
}

// TestWider reads testdata/wider.txtar: each NetworkPolicy of bad.yaml opens the wall somewhere, none of good.yaml does.
func TestWider(t *testing.T) {
	const file = "testdata/wider.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := meshOf(t, section(a, "mesh.yaml"), settingsOf(t, a))
	var got strings.Builder
	for _, name := range []string{"bad.yaml", "good.yaml"} {
		for _, doc := range documents(section(a, name)) {
			raw, err := yaml.YAMLToJSON(doc)
			if err != nil {
				t.Fatal(err)
			}
			o, err := mesh.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			reasons, err := netpol.Wider(m, o.(*mesh.NetworkPolicy))
			if err != nil {
				t.Fatal(err)
			}
			if (len(reasons) > 0) != (name == "bad.yaml") {
				t.Errorf("%s: %s: %d reasons", name, o.Metadata().Ref, len(reasons))
			}
			for _, r := range reasons {
				got.WriteString(r.Ref.String() + ": " + r.Path + ": " + r.Message + "\n")
			}
		}
	}
	if *update {
		a.Files[len(a.Files)-1].Data = []byte(got.String())
		if err := writeFile(file, a); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(section(a, "want")), got.String()); d != "" {
		t.Errorf("reasons (-want +got):\n%s", d)
	}
}

// TestOursIsNotWider checks that what the wall allows is not wider than the wall.
func TestOursIsNotWider(t *testing.T) {
	a, err := txtar.ParseFile("testdata/for-cluster.txtar")
	if err != nil {
		t.Fatal(err)
	}
	m := meshOf(t, section(a, "mesh.yaml"), settingsOf(t, a))
	for _, p := range netpol.For(m, "shop") {
		if !netpol.Is(mesh.Ref{Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name}) {
			t.Errorf("%s is not known as ours", p.Name)
		}
		p.Name = "a-copy"
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		reasons, err := netpol.Wider(m, o.(*mesh.NetworkPolicy))
		if err != nil || len(reasons) > 0 {
			t.Errorf("reasons %v, error %v", reasons, err)
		}
	}
}
