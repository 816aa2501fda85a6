package istio_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// TestObserved holds the oracle to the facts that were recorded when the
// cases were first observed.
func TestObserved(t *testing.T) {
	for _, dir := range fixtures(t, "observed") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			manifests := readFile(t, filepath.Join(dir, "all.yaml"))
			var want oracle.Facts
			if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dir, "istio.json"))), &want); err != nil {
				t.Fatal(err)
			}
			world, err := oracle.Ask(manifests, observedClients(t, manifests)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, world.Facts()); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// observedClients are the namespace default and all others that the manifests
// name, except the gateway's own.
func observedClients(t *testing.T, manifests string) []oracle.Client {
	t.Helper()
	namespaces, err := oracle.Namespaces(manifests)
	if err != nil {
		t.Fatal(err)
	}
	clients := []oracle.Client{{Namespace: "default"}}
	for _, ns := range namespaces {
		if ns != "default" && ns != oracle.RootNamespace {
			clients = append(clients, oracle.Client{Namespace: ns})
		}
	}
	return clients
}

func fixtures(t *testing.T, set string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join("testdata", set, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
