package manifest_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/manifest/crdtest"
)

// TestAcceptedByCRDs: what the reader accepts, and the form it puts it in, an
// API server accepts too.
func TestAcceptedByCRDs(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	server := crdtest.New(t)
	judged := 0
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			// Of a file with errors the objects without any are returned.
			objects, _ := manifest.Reader{Stdin: bytes.NewReader(f.Data)}.Read(t.Context(), "-")
			for _, o := range objects {
				if !server.Knows(o.APIVersion, o.Kind) {
					continue
				}
				judged++
				if err := server.Refuses(o.APIVersion, o.Kind, o.Raw); err != nil {
					t.Errorf("%s, %s: %s %s is read, and an API server refuses it: %v", filepath.Base(name), f.Name, o.Kind, o.Name, err)
				}
			}
		}
	}
	if judged == 0 {
		t.Error("no object judged")
	}
}

// TestLegacyRefusedByCRDs: what is noted as out of date really is refused by
// an API server as it was written.
func TestLegacyRefusedByCRDs(t *testing.T) {
	server := crdtest.New(t)
	for name, raw := range map[string]string{
		"snake_case": `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a"},"spec":{"hosts":["a.example"],"export_to":["."]}}`,
		"enum":       `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a"},"spec":{"hosts":["a.example"],"resolution":2}}`,
	} {
		if err := server.Refuses("networking.istio.io/v1", "ServiceEntry", []byte(raw)); err == nil {
			t.Errorf("%s: an API server accepts %s; why note it?", name, raw)
		}
		objects, err := manifest.Reader{Stdin: bytes.NewReader([]byte(raw))}.Read(t.Context(), "-")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(objects[0].Notes) != 1 {
			t.Errorf("%s: notes %v, want one", name, objects[0].Notes)
		}
		if err := server.Refuses("networking.istio.io/v1", "ServiceEntry", objects[0].Raw); err != nil {
			t.Errorf("%s: the modern form is refused: %v", name, err)
		}
	}
}
