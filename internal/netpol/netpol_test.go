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
	"github.com/sallyport-io/sallyport/internal/netpol/netpoltest"
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
			m := netpoltest.Mesh(t, a)
			var policies []*networkingv1.NetworkPolicy
			for _, ns := range netpol.Namespaces(m, netpol.Enforced) {
				policies = append(policies, netpol.For(m, ns)...)
			}
			got, err := render(policies)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				a.Files[len(a.Files)-1].Data = got
				if err := writeFile(file, a); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(netpoltest.Section(a, "want.yaml")), string(got)); d != "" {
				t.Errorf("policies (-want +got):\n%s", d)
			}
		})
	}
}

// TestStageOf checks who is confined, and whose confinement is only shown.
func TestStageOf(t *testing.T) {
	const enabled, staged = "enabled", "staged"
	tests := []struct {
		labels, name string
		byDefault    string
		want         netpol.Stage
	}{
		{"sallyport.io/network-policy: enabled", "shop", "", netpol.Enforced},
		{"sallyport.io/network-policy: enabled", "shop", enabled, netpol.Enforced},
		{"sallyport.io/network-policy: enabled", "shop", staged, netpol.Enforced},
		{"sallyport.io/network-policy: staged", "shop", "", netpol.Staged},
		{"sallyport.io/network-policy: staged, istio-injection: enabled", "shop", enabled, netpol.Staged},
		{"sallyport.io/network-policy: disabled, istio-injection: enabled", "shop", enabled, netpol.Off},
		{"sallyport.io/network-policy: disabled, istio-injection: enabled", "shop", staged, netpol.Off},
		{"istio-injection: enabled", "shop", "", netpol.Off},
		{"istio-injection: enabled", "shop", enabled, netpol.Enforced},
		{"istio-injection: enabled", "shop", staged, netpol.Staged},
		{"sallyport.io/network-policy: perhaps, istio-injection: enabled", "shop", enabled, netpol.Enforced},
		{"istio.io/rev: canary", "shop", enabled, netpol.Enforced},
		{"istio.io/rev: canary, istio-injection: disabled", "shop", enabled, netpol.Off},
		{"istio.io/dataplane-mode: ambient", "shop", enabled, netpol.Enforced},
		{"team: shop", "shop", enabled, netpol.Off},
		{"team: shop", "shop", staged, netpol.Off},
		{"istio-injection: enabled", "cert-manager", enabled, netpol.Off},
		{"istio-injection: enabled", "cert-manager", staged, netpol.Off},
		{"sallyport.io/network-policy: enabled", "cert-manager", enabled, netpol.Enforced},
		{"sallyport.io/network-policy: enabled", "kube-system", enabled, netpol.Off},
		{"sallyport.io/network-policy: staged", "kube-system", enabled, netpol.Off},
		{"sallyport.io/network-policy: enabled", "istio-system", "", netpol.Enforced}, // around the gateway
		{"sallyport.io/network-policy: staged", "istio-system", "", netpol.Staged},
		{"istio-injection: enabled", "istio-system", enabled, netpol.Off},
	}
	for _, tt := range tests {
		s := mesh.DefaultSettings()
		s.NetworkPolicy, s.Walls.Staged = tt.byDefault == enabled, tt.byDefault == staged
		m := mesh.New(s, netpoltest.Objects(t, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+tt.name+", labels: {\""+
			strings.ReplaceAll(strings.ReplaceAll(tt.labels, ": ", "\": "), ", ", ", \"")+"}}"))...)
		if got := netpol.StageOf(m, tt.name); got != tt.want {
			t.Errorf("namespace %s with {%s}, default %q: %s, want %s", tt.name, tt.labels, tt.byDefault, got, tt.want)
		}
		if got, want := netpol.Walled(m, tt.name), tt.want == netpol.Enforced && tt.name != "istio-system"; got != want {
			t.Errorf("namespace %s with {%s}, default %q: walled %t", tt.name, tt.labels, tt.byDefault, got)
		}
		if got := len(netpol.For(m, tt.name)); got != map[netpol.Stage]int{netpol.Enforced: 1}[tt.want] {
			t.Errorf("namespace %s with {%s}, default %q: %d policies", tt.name, tt.labels, tt.byDefault, got)
		}
	}
	if netpol.StageOf(mesh.New(mesh.DefaultSettings()), "unknown") != netpol.Off {
		t.Error("a namespace that the mesh lacks is walled")
	}
}

// TestNeighbours checks whom a namespace may choose to talk to.
func TestNeighbours(t *testing.T) {
	const others = `
apiVersion: v1
kind: Namespace
metadata: {name: blog, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: pay, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
apiVersion: v1
kind: Namespace
metadata: {name: cert-manager, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}, annotations: {`
	tests := []struct {
		annotation    string
		ownOnly       bool
		want, unknown string
	}{
		{"", false, "blog pay shop", ""},
		{"", true, "shop", ""},
		{`sallyport.io/network-peers: ""`, false, "shop", ""},
		{`sallyport.io/network-peers: "pay"`, false, "pay shop", ""},
		{`sallyport.io/network-peers: " pay ,, blog,pay"`, true, "blog pay shop", ""},
		{`sallyport.io/network-peers: "*"`, true, "blog pay shop", ""},
		{`sallyport.io/network-peers: "shop"`, false, "shop", ""},
		{`sallyport.io/network-peers: "pay, plain, gone, cert-manager, kube-system"`, false, "pay shop", "cert-manager gone kube-system plain"},
	}
	for _, tt := range tests {
		s := mesh.DefaultSettings()
		s.Walls.OwnOnly = tt.ownOnly
		m := mesh.New(s, netpoltest.Objects(t, []byte(others+tt.annotation+"}}"))...)
		names, unknown := netpol.Neighbours(m, "shop")
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s, own only %t: neighbours %q, want %q", tt.annotation, tt.ownOnly, got, tt.want)
		}
		if got := strings.Join(unknown, " "); got != tt.unknown {
			t.Errorf("%s: unknown %q, want %q", tt.annotation, got, tt.unknown)
		}
	}
}

// TestWider reads testdata/wider.txtar: each NetworkPolicy of bad.yaml opens the wall somewhere, none of good.yaml does.
func TestWider(t *testing.T) {
	const file = "testdata/wider.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := netpoltest.Mesh(t, a)
	var got strings.Builder
	for _, name := range []string{"bad.yaml", "good.yaml"} {
		for _, doc := range netpoltest.Documents(netpoltest.Section(a, name)) {
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
	if d := cmp.Diff(string(netpoltest.Section(a, "want")), got.String()); d != "" {
		t.Errorf("reasons (-want +got):\n%s", d)
	}
}

// TestOursIsNotWider checks that what the wall allows is not wider than the wall.
func TestOursIsNotWider(t *testing.T) {
	a, err := txtar.ParseFile("testdata/for-cluster.txtar")
	if err != nil {
		t.Fatal(err)
	}
	m := netpoltest.Mesh(t, a)
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
