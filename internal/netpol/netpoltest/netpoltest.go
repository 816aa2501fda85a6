// Package netpoltest reads the meshes on which NetworkPolicies are tested.
package netpoltest

import (
	"bytes"
	_ "embed" // of the cluster
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// cluster is what a cluster holds that uses all that policies are made from.
// The namespace shop is walled, the gateway in istio-system surrounded.
//
//go:embed cluster.yaml
var cluster []byte

// Section returns a file of the archive, nil where it has none of that name.
func Section(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// Documents splits a stream of YAML.
func Documents(data []byte) [][]byte {
	var docs [][]byte
	for doc := range bytes.SplitSeq(data, []byte("---\n")) {
		if len(bytes.TrimSpace(doc)) > 0 {
			docs = append(docs, doc)
		}
	}
	return docs
}

// Mesh builds the mesh of an archive: the objects of mesh.yaml, and of the
// cluster that all archives share where a line of the comment ends with
// "that of the cluster",
// under the configuration config.yaml. An object of mesh.yaml replaces that of
// the same name.
func Mesh(t testing.TB, a *txtar.Archive) *mesh.Mesh {
	t.Helper()
	settings := mesh.DefaultSettings()
	if data := Section(a, "config.yaml"); data != nil {
		c, err := config.Parse("config.yaml", append([]byte("apiVersion: sallyport.io/v1alpha1\nkind: Config\n"), data...))
		if err != nil {
			t.Fatal(err)
		}
		settings = c.Settings()
	}
	var objects []mesh.Object
	if strings.Contains(string(a.Comment), "that of the cluster\n") {
		objects = Objects(t, cluster)
	}
	return mesh.New(settings, append(objects, Objects(t, Section(a, "mesh.yaml"))...)...)
}

// Objects decodes a stream of YAML.
func Objects(t testing.TB, manifests []byte) []mesh.Object {
	t.Helper()
	var objects []mesh.Object
	for _, doc := range Documents(manifests) {
		raw, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			t.Fatal(err)
		}
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		objects = append(objects, o)
	}
	return objects
}
