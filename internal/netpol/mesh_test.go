package netpol_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

func section(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func documents(data []byte) [][]byte {
	var docs [][]byte
	for doc := range bytes.SplitSeq(data, []byte("---\n")) {
		if len(bytes.TrimSpace(doc)) > 0 {
			docs = append(docs, doc)
		}
	}
	return docs
}

// settingsOf reads the comment of an archive: "networkPolicy" switches the
// default on, "two gateways" adds a second one.
func settingsOf(t *testing.T, a *txtar.Archive) mesh.Settings {
	t.Helper()
	s := mesh.DefaultSettings()
	for line := range strings.SplitSeq(string(a.Comment), "\n") {
		switch setting, ok := strings.CutPrefix(line, "setting: "); {
		case !ok:
		case setting == "networkPolicy":
			s.NetworkPolicy = true
		case setting == "two gateways":
			s.Gateways = append(s.Gateways, mesh.EgressGateway{
				Name: "partners", Namespace: "partner-gateway", Service: "partners", Selector: map[string]string{"app": "partners"},
			})
			s.PlatformNamespaces = append(s.PlatformNamespaces, "partner-gateway")
		default:
			t.Fatalf("no setting: %s", setting)
		}
	}
	return s
}

func meshOf(t *testing.T, manifests []byte, s mesh.Settings) *mesh.Mesh {
	t.Helper()
	var objects []mesh.Object
	for _, doc := range documents(manifests) {
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
	return mesh.New(s, objects...)
}

func writeFile(name string, a *txtar.Archive) error {
	return os.WriteFile(name, txtar.Format(a), 0o644)
}

// render is the policies as YAML.
func render(policies []*networkingv1.NetworkPolicy) ([]byte, error) {
	var b bytes.Buffer
	for i, p := range policies {
		text, err := yaml.Marshal(p)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			fmt.Fprintln(&b, "---")
		}
		b.Write(text)
	}
	return b.Bytes(), nil
}
