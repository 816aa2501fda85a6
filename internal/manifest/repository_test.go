package manifest_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/manifest"
)

// TestRepository reads a repository as people have them: bases and overlays of
// kustomize whose patches are no objects, the same object in two bases, and folders
// that are none of a cluster's. Each is left out with a note, none is an error.
func TestRepository(t *testing.T) {
	const (
		entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: shop}\nspec: {hosts: [pay.example.com]}\n"
		patch = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: shop}\nspec: {resolution: null, hosts: [{$patch: replace}]}\n"
		list  = "- op: remove\n  path: /spec/hosts\n"
	)
	root := t.TempDir()
	for name, content := range map[string]string{
		"base/entry.yaml":         entry,
		"base/kustomization.yaml": "resources: [entry.yaml]\n",
		"overlays/prod/kustomization.yaml": "resources: [../../base, own.yaml]\npatches:\n- path: pay-patch.yaml\n- path: list.yaml\n  target: {kind: ServiceEntry}\n" +
			"patchesStrategicMerge:\n- old.yaml\n- |\n  apiVersion: v1\npatchesJson6902:\n- {path: ../list.json}\n",
		"overlays/prod/own.yaml":        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
		"overlays/prod/pay-patch.yaml":  patch,
		"overlays/prod/old.yaml":        patch,
		"overlays/prod/list.yaml":       list,
		"overlays/list.json":            `[{"op": "remove", "path": "/spec/hosts"}]`,
		"overlays/test/Kustomization":   "resources: [entry.yaml]\n",
		"overlays/test/entry.yaml":      entry,
		"overlays/broken/Kustomization": "{{ no yaml",
		"fixtures/deep/bad.yaml":        "apiVersion: v1\nkind: [\n",
		"fixtures/other.yaml":           "apiVersion: v1\nkind: [\n",
		"base/generated.skip.yaml":      "apiVersion: v1\nkind: [\n",
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var notes []string
	rel := func(file string) string {
		r, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.ToSlash(r)
	}
	r := manifest.Reader{
		Exclude: []string{"fixtures", "base/*.skip.yaml"},
		Skipped: func(file string, why manifest.Skip) {
			if why == manifest.Patch {
				notes = append(notes, "patch "+rel(file))
			}
		},
		Twice: func(o, first *manifest.Object) {
			notes = append(notes, rel(o.File)+" has what "+rel(first.File)+" has")
		},
	}
	objects, err := r.Read(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, rel(o.File))
	}
	if d := cmp.Diff([]string{"base/entry.yaml", "overlays/prod/own.yaml"}, got); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
	slices.Sort(notes)
	if d := cmp.Diff([]string{"overlays/test/entry.yaml has what base/entry.yaml has", "patch overlays/list.json", "patch overlays/prod/list.yaml", "patch overlays/prod/old.yaml", "patch overlays/prod/pay-patch.yaml"}, notes); d != "" {
		t.Errorf("notes (-want +got):\n%s", d)
	}

	// In one directory nobody can tell which is meant.
	twin := filepath.Join(root, "base", "twin.yaml")
	if err := os.WriteFile(twin, []byte(entry), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context(), filepath.Join(root, "base")); err == nil {
		t.Error("an object that is given twice in one directory is no error")
	}
	// Nor where both files are named.
	if _, err := r.Read(t.Context(), filepath.Join(root, "base", "entry.yaml"), filepath.Join(root, "overlays", "test", "entry.yaml")); err == nil {
		t.Error("an object that is named twice is no error")
	}
	r.Exclude = []string{"[a-"}
	if _, err := r.Read(t.Context(), root); err == nil {
		t.Error("a malformed glob is no error")
	}
}
