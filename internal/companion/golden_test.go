package companion_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// modes are the two ways to the gateway that every case is computed for.
var modes = map[string]bool{"mutual-tls.yaml": true, "plain.yaml": false}

// TestGolden computes, for every testdata/*.txtar, the companions of all hosts
// that the objects of its file mesh.yaml register. The other files are the
// companions, as YAML, with mutual TLS to the gateway and without.
func TestGolden(t *testing.T) {
	for _, file := range cases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			objects := decode(t, section(t, archive, "mesh.yaml"))
			got := make(map[string]string)
			for name, mutualTLS := range modes {
				got[name] = describe(t, mesh.New(settings(mutualTLS), objects...))
			}
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name != "mesh.yaml" })
				for _, name := range slices.Sorted(maps.Keys(got)) {
					archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for name := range modes {
				if diff := cmp.Diff(string(section(t, archive, name)), got[name]); diff != "" {
					t.Errorf("%s (-want +got; rerun with -update to accept):\n%s", name, diff)
				}
			}
		})
	}
}

func cases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	return files
}

func section(t *testing.T, archive *txtar.Archive, name string) []byte {
	t.Helper()
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	t.Fatalf("the archive has no file %s", name)
	return nil
}

func settings(mutualTLS bool) mesh.Settings {
	s := mesh.DefaultSettings()
	for _, name := range []string{"istio-egressgateway", "partners", "second"} {
		g := s.Gateways[0]
		g.Name, g.Service, g.MutualTLS = name, name, mutualTLS
		switch name {
		case "istio-egressgateway":
			s.Gateways = nil
			g.Wildcards = []mesh.Wildcard{
				{Host: "*.wikipedia.org", Server: "www.wikipedia.org"},
				{Host: "*.cdn.partner.com", Server: "cdn.partner.com"},
				{Host: "*.db.partner.com", Server: "db.partner.com"},
			}
		case "partners":
			g.Wildcards = nil
			g.Namespace = "egress-partners"
			g.Selector = map[string]string{"istio": "egress-partners"}
		case "second":
			g.Selector = map[string]string{"istio": "second"}
		}
		s.Gateways = append(s.Gateways, g)
	}
	s.Credentials = []mesh.Credential{{
		Name: "partner", Hosts: []string{"api.partner.com", "b2b.partner.com"}, Namespaces: []string{"billing"}, Secret: "partner-client",
	}}
	s.Grants = []mesh.Grant{{
		Issuer: mesh.Issuer{Kind: "ClusterIssuer", Name: "partner-ca", CommonName: "shop.example"},
		Hosts:  []string{"api.partner.com", "b2b.partner.com"}, Namespaces: []string{"shop"},
	}}
	s.PlatformNamespaces = append(s.PlatformNamespaces, "egress-partners", "egress-cfg")
	return s
}

func decode(t testing.TB, data []byte) []mesh.Object {
	t.Helper()
	var objects []mesh.Object
	for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
		raw, err := yaml.YAMLToJSON(doc)
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

// hosts are the canonical hosts that the mesh's users register.
func hosts(m *mesh.Mesh) []string {
	set := make(map[string]bool)
	for o := range m.All("ServiceEntry") {
		if companion.Is(o.Metadata().Ref) {
			continue
		}
		for _, h := range o.(*mesh.ServiceEntry).Hosts {
			set[mesh.CanonicalHost(h)] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func describe(t testing.TB, m *mesh.Mesh) string {
	t.Helper()
	var b strings.Builder
	for _, host := range hosts(m) {
		b.WriteString(describeSet(t, companion.For(m, host)))
	}
	return b.String()
}

func describeSet(t testing.TB, set companion.Set) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %d companions\n", set.Host, len(set.Objects))
	for _, r := range set.Refused {
		fmt.Fprintf(&b, "# refused %s %s: %s\n#   fix: %s\n", r.Entry, r.Path, r.Message, r.Fix)
	}
	for _, o := range set.Objects {
		manifest, err := companion.Manifest(o)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
		b.Write(manifest)
	}
	return b.String()
}
