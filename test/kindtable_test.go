package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/schema"
	"github.com/sallyport-io/sallyport/internal/surface"
)

// TestTableOfKinds: names, resources and versions are there, and no two rows are about
// one kind or one resource; only those kinds have another name than the API's of which
// two APIs have one.
func TestTableOfKinds(t *testing.T) {
	kinds, resources, of := map[[2]string]bool{}, map[[2]string]bool{}, map[string][]string{}
	for _, k := range apikind.All {
		of[k.API] = append(of[k.API], k.Name)
	}
	for _, k := range apikind.All {
		if k.Name == "" || k.API == "" || k.Resource == "" || len(k.Versions) == 0 {
			t.Errorf("row %+v has an empty field", k)
		}
		if kinds[[2]string{k.Group, k.API}] || resources[[2]string{k.Group, k.Resource}] {
			t.Errorf("%s of %q is there twice", k.API, k.Group)
		}
		kinds[[2]string{k.Group, k.API}], resources[[2]string{k.Group, k.Resource}] = true, true
		if k.Name != k.API && !slices.ContainsFunc(of[k.API], func(name string) bool { return name != k.Name }) {
			t.Errorf("%s of %q has another name, %s, and is the only one", k.API, k.Group, k.Name)
		}
		if got, ok := apikind.Of(k.Group, k.API); !ok || got.Name != k.Name {
			t.Errorf("Of(%q, %q) is %+v", k.Group, k.API, got)
		}
		if got := apikind.Named(k.Name); got.API != k.API || got.Cluster != k.Cluster || got.Resource != k.Resource {
			t.Errorf("%s stands for %+v and for %+v", k.Name, k, got)
		}
	}
	if got := apikind.Named("Nothing"); got.Name != "" {
		t.Errorf("Named(Nothing) is %+v", got)
	}
}

// TestModelIsOfTheTable: each kind of the model, and each of Istio's whose fields are
// known, has a row.
func TestModelIsOfTheTable(t *testing.T) {
	for group, kind := range mesh.APIKinds() {
		if k, ok := apikind.Of(group, kind); !ok || mesh.NameOf(group, kind) != k.Name {
			t.Errorf("the model's %s of %q is %q there, and %q in the table", kind, group, mesh.NameOf(group, kind), k.Name)
		}
	}
	for group := range schema.IstioGroups() {
		for kind := range schema.IstioKinds(group) {
			if len(schema.IstioVersions(group, kind)) == 0 {
				t.Errorf("the table has no %s of %s", kind, group)
			}
		}
	}
}

// TestResourcesAreOfTheTable compares what is accounted for, and what the webhooks ask
// about, with the table: the resources, their scope and their versions.
func TestResourcesAreOfTheTable(t *testing.T) {
	row := func(group, resource string) (apikind.Kind, bool) {
		name, _, _ := strings.Cut(resource, "/")
		i := slices.IndexFunc(apikind.All, func(k apikind.Kind) bool { return k.Group == group && k.Resource == name })
		if i < 0 {
			return apikind.Kind{}, false
		}
		return apikind.All[i], true
	}
	for _, r := range surface.Resources {
		k, ok := row(r.Group, r.Name)
		// A Binding is what a pod's subresource takes.
		if r.Kind != "" && (!ok || k.Name != r.Kind && r.Name != "pods/binding") {
			t.Errorf("surface: %s holds a %s, and the table has %q there", r, r.Kind, k.Name)
		}
	}
	m, v := entries(t)
	for _, r := range append(slices.Clone(m.Rules), v.Rules...) {
		for _, resource := range r.Resources {
			found := false
			for _, group := range r.APIGroups {
				k, ok := row(group, resource)
				if !ok {
					continue
				}
				found = true
				scope := admissionregistrationv1.NamespacedScope
				if k.Cluster {
					scope = admissionregistrationv1.ClusterScope
				}
				if r.Scope == nil || *r.Scope != scope {
					t.Errorf("webhooks.yaml: the rule for %s of %q is not for scope %s", resource, group, scope)
				}
				for _, version := range k.Versions {
					if !slices.Contains(r.APIVersions, version) && !slices.Contains(r.APIVersions, "*") {
						t.Errorf("webhooks.yaml: the rule for %s of %q lacks version %s", resource, group, version)
					}
				}
			}
			if !found {
				t.Errorf("webhooks.yaml: the table has no %s of %v", resource, r.APIGroups)
			}
		}
	}
}

// TestDefinitionsAreOfTheTable compares the table with the definitions that Istio and
// the Gateway API install: their scope, and that every version in the table is served.
func TestDefinitionsAreOfTheTable(t *testing.T) {
	checked := 0
	for _, doc := range definitions(t) {
		var d struct {
			Spec struct {
				Group, Scope string
				Names        struct{ Kind, Plural string }
				Versions     []struct {
					Name   string
					Served bool
				}
			}
		}
		if err := yaml.Unmarshal(doc, &d); err != nil {
			t.Fatal(err)
		}
		k, ok := apikind.Of(d.Spec.Group, d.Spec.Names.Kind)
		if !ok {
			continue
		}
		checked++
		if k.Resource != d.Spec.Names.Plural || k.Cluster != (d.Spec.Scope == "Cluster") {
			t.Errorf("%s of %s is %s, %s, and %+v in the table", k.API, k.Group, d.Spec.Names.Plural, d.Spec.Scope, k)
		}
		for _, served := range d.Spec.Versions {
			if served.Served && !slices.Contains(k.Versions, served.Name) {
				t.Errorf("%s of %s is served as %s, which the table does not have", k.API, k.Group, served.Name)
			}
		}
	}
	if checked < 10 {
		t.Errorf("%d definitions were compared", checked)
	}
}

// definitions are the documents of the definitions that the modules in go.mod ship:
// Istio's, and the Gateway API's of both channels.
func definitions(t *testing.T) [][]byte {
	t.Helper()
	var docs [][]byte
	for module, glob := range map[string]string{
		"istio.io/api":            "kubernetes/customresourcedefinitions.gen.yaml",
		"sigs.k8s.io/gateway-api": "config/crd/*/*.yaml",
	} {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatalf("find module %s: %v", module, err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), glob))
		if err != nil || len(files) == 0 {
			t.Fatalf("no definitions of %s: %v", module, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, bytes.Split(data, []byte("\n---\n"))...)
		}
	}
	return docs
}
