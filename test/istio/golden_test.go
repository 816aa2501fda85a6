package istio_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// beyond are the golden cases of internal/companion that this package's mesh
// does not hold, each with what it lacks.
var beyond = map[string]string{
	"gateways":      "the gateways other than Istio's own",
	"occupied":      "a Service of the gateway with another port",
	"injection-off": "anything to prove: there are no companions",
}

// TestGoldenCompanions puts the golden cases of internal/companion to Istio:
// with the companions in place, and without the entries that are refused, no
// client reaches a host directly and each entry's owner goes via.
func TestGoldenCompanions(t *testing.T) {
	files, err := filepath.Glob("../../internal/companion/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if beyond[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "mesh.yaml" })
			manifests, owned := admitted(t, string(archive.Files[i].Data))
			clients, err := oracle.Clients(manifests)
			if err != nil {
				t.Fatal(err)
			}
			world, err := oracle.Ask(manifests, clients...)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range world.Clients {
				if leaks := c.Leaks(); len(leaks) > 0 {
					t.Errorf("%s leaks: %v", c, leaks)
				}
				for _, p := range world.Points() {
					verdict, why := world.Verdict(c, p)
					if verdict == oracle.Direct || owned[fmt.Sprintf("%s %s:%d", c.Namespace, p.Host, p.Port)] && verdict != oracle.Via {
						t.Errorf("%s %s:%d is %s: %s", c, p.Host, p.Port, verdict, why)
					}
				}
			}
		})
	}
}

// admitted returns the manifests of a golden case as a cluster would hold
// them: without the entries that are refused, the others open, and with their
// companions. owned are the namespace, host and port of every entry's points.
func admitted(t *testing.T, manifests string) (out string, owned map[string]bool) {
	t.Helper()
	settings := mesh.DefaultSettings()
	settings.PlatformNamespaces = append(settings.PlatformNamespaces, "egress-cfg")
	settings.Credentials = []mesh.Credential{{
		Name: "partner", Hosts: []string{"api.partner.com", "b2b.partner.com"}, Namespaces: []string{"billing"}, Secret: "partner-client",
	}}
	settings.Grants = []mesh.Grant{{
		Issuer: mesh.Issuer{Kind: "ClusterIssuer", Name: "partner-ca", CommonName: "shop.example"},
		Hosts:  []string{"api.partner.com", "b2b.partner.com"}, Namespaces: []string{"shop"},
	}}
	settings.Gateways[0].Wildcards = []mesh.Wildcard{
		{Host: "*.wikipedia.org", Server: "www.wikipedia.org"}, {Host: "*.cdn.partner.com", Server: "cdn.partner.com"},
	}
	m, err := load(settings, manifests)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[mesh.Ref]bool{}
	docs := map[mesh.Ref]string{}
	owned = map[string]bool{}
	for o := range m.All("ServiceEntry") {
		for _, host := range o.(*mesh.ServiceEntry).Hosts {
			set := companion.For(m, mesh.CanonicalHost(host))
			for _, r := range set.Refused {
				refused[r.Entry] = true
			}
			for _, c := range set.Objects {
				doc, err := companion.Manifest(c)
				if err != nil {
					t.Fatal(err)
				}
				docs[c.Metadata().Ref] = string(doc)
			}
		}
	}
	raws, err := documents(manifests)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range raws {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if refused[o.Metadata().Ref] || o.Metadata().Kind == "Service" || o.Metadata().Kind == "Namespace" {
			continue // the oracle's own mesh has the gateway's Service
		}
		text := string(raw)
		if entry, ok := o.(*mesh.ServiceEntry); ok {
			text = strings.Replace(text, `["~"]`, fmt.Sprintf("[%q]", entry.Annotations[mesh.ExportAnnotation]), 1)
			for _, h := range entry.Hosts {
				for _, p := range entry.Ports {
					owned[fmt.Sprintf("%s %s:%d", entry.Namespace, h, p.Number)] = true
				}
			}
		}
		doc, err := yaml.JSONToYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		docs[o.Metadata().Ref] = string(doc)
	}
	var all []string
	for _, doc := range docs {
		all = append(all, doc)
	}
	slices.Sort(all)
	return strings.Join(all, "---\n"), owned
}
