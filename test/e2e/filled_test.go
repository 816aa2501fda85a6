package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/server"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestFilledCluster takes Sallyport through its life in a cluster that was there
// before it: installed with the configuration as it is shipped, met by more
// than a hundred ordinary edits, replaced by another replica as an upgrade does,
// asked for by one entry and by one namespace, and uninstalled. After each phase no object of
// others has changed but by the edit that was asked for, and no path has opened or
// closed.
func TestFilledCluster(t *testing.T) {
	c := startControlPlane(t, controlplane.Options{
		ControllerManager: true,
		CRDs:              []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs},
	})
	c.kubectl(t, "", "apply", "-f", "testdata/platform.yaml")
	c.fill(t)
	shipped, err := filepath.Abs("../../manifests/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	settings := cfg.Settings()
	before := c.survey(t, settings)
	if len(before.objects) < 100 || before.ways[mesh.Via] < 4 || before.ways[mesh.Direct] < 20 || before.ways[mesh.Blocked] < 20 {
		t.Fatalf("the cluster holds %d objects, and paths %v", len(before.objects), before.ways)
	}

	c.replace(t, shipped)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", c.server.Process().LogTail(40))
		}
	})
	before.compare(t, "installing", c.settled(t, settings))

	edited := survey{objects: c.edit(t, before.objects), paths: before.paths}
	edited.compare(t, "editing", c.settled(t, settings))

	c.replace(t, shipped)
	edited.compare(t, "upgrading", c.settled(t, settings))

	one := teams[1]
	c.kubectl(t, "", "-n", one, "annotate", "serviceentry", "public", mesh.InjectionAnnotation+"=enabled")
	unasked := edited.objects["ServiceEntry/"+one+"/public"]
	edited.objects["ServiceEntry/"+one+"/public"] = patched(t, edited.objects["ServiceEntry/"+one+"/public"], "/metadata/annotations/sallyport.io~1injection", "enabled")
	eventually(t, "the entry that asks is served", func() error {
		if p := c.mesh(t, settings).Paths(one, "public."+one+".example.com", 443); p.Verdict != mesh.Via {
			return fmt.Errorf("%s: %+v", p.Verdict, p.Because)
		}
		return nil
	})
	now := c.settled(t, settings)
	edited.served(t, now, one, "public."+one).compare(t, "serving an entry that asks", now)

	asks := teams[0]
	c.kubectl(t, "", "label", "namespace", asks, mesh.InjectionLabel+"=enabled")
	edited.objects["Namespace/"+asks] = patched(t, edited.objects["Namespace/"+asks], "/metadata/labels/sallyport.io~1injection", "enabled")
	eventually(t, "the namespace that asks is served", func() error {
		if p := c.mesh(t, settings).Paths(asks, "public."+asks+".example.com", 443); p.Verdict != mesh.Via {
			return fmt.Errorf("%s: %+v", p.Verdict, p.Because)
		}
		return nil
	})
	now = c.settled(t, settings)
	edited.served(t, now, asks, "."+asks).served(t, now, one, "public."+one).compare(t, "serving a namespace that asks", now)

	if err := c.server.Stop(); err != nil {
		t.Error(err)
	}
	out := c.sallyport(t, "uninstall", "--yes", "--grace", "0s", "--config", shipped)
	if kept := "kept ServiceEntry/" + asks + "/upgraded"; strings.Count(out, "kept ") != 1 || !strings.Contains(out, kept) {
		t.Errorf("what is kept is not the entry whose TLS the gateway has taken over:\n%s", out)
	}
	edited.objects["ServiceEntry/"+one+"/public"] = unasked
	now = c.survey(t, settings)
	edited.served(t, now, asks, "upgraded."+asks).compare(t, "uninstalling", now)
}

// teams are the namespaces of the cluster's tenants.
var teams = []string{"bank", "cart", "mail", "news"}

// fill writes what the teams had before Sallyport came.
func (c *cluster) fill(t *testing.T) {
	t.Helper()
	template, err := os.ReadFile("testdata/filled.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var set strings.Builder
	for i, team := range teams {
		set.WriteString(strings.NewReplacer("TEAM", team, "NUMBER", strconv.Itoa(i+1)).Replace(string(template)))
	}
	c.kubectl(t, set.String(), "apply", "-f", "-")
}

// replace installs a server, and lets go of the one before it once it answers,
// as a Deployment does.
func (c *cluster) replace(t *testing.T, config string) {
	t.Helper()
	old := c.server
	next, err := server.Start(t.Context(), c.cp, server.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	c.server = next
	t.Cleanup(func() {
		if err := next.Stop(); err != nil {
			t.Error(err)
		}
	})
	if old != nil {
		if err := old.Stop(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the server leads", c.leads(t, true))
}

// survey is what a cluster holds of others, and where their traffic goes.
type survey struct {
	objects map[string]string       // JSON, without what every write changes
	paths   map[string]mesh.Verdict // but those that are blocked
	ways    map[mesh.Verdict]int
}

func (c *cluster) survey(t *testing.T, settings mesh.Settings) survey {
	t.Helper()
	out := survey{make(map[string]string), make(map[string]mesh.Verdict), make(map[mesh.Verdict]int)}
	var objects []mesh.Object
	for _, raw := range c.list(t, meshKinds) {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
		if ref := o.Metadata().Ref; !companion.Is(ref) && ref.Namespace != "sallyport-system" && ref.Name != "sallyport-system" {
			out.objects[ref.String()] = lasting(t, raw)
		}
	}
	m := mesh.New(settings, objects...)
	for point := range m.AllPoints() {
		for _, client := range append(slices.Clone(teams), "shop", mesh.AnyClient) {
			verdict := m.Paths(client, point.Host, point.Port).Verdict
			if verdict != mesh.Blocked {
				out.paths[fmt.Sprintf("%s to %s:%d", client, point.Host, point.Port)] = verdict
			}
			out.ways[verdict]++
		}
	}
	return out
}

// served returns what the survey is to be where Sallyport serves a namespace: what
// went directly to hosts of the domain may go through the gateway, and its
// entries have a status. Whether it is so the comparison with now says.
func (s survey) served(t *testing.T, now survey, namespace, domain string) survey {
	t.Helper()
	out := survey{objects: maps.Clone(s.objects), paths: maps.Clone(s.paths)}
	for path, verdict := range now.paths {
		if strings.Contains(path, domain+".example.com:") && verdict == mesh.Via && s.paths[path] == mesh.Direct {
			out.paths[path] = verdict
		}
	}
	for ref, raw := range now.objects {
		o, err := mesh.Decode([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		entry, ok := o.(*mesh.ServiceEntry)
		if !ok || entry.Namespace != namespace || !strings.Contains("."+strings.Join(entry.Hosts, " "), domain+".example.com") {
			continue
		}
		var have object
		if err := json.Unmarshal([]byte(raw), &have); err != nil {
			t.Fatal(err)
		}
		if status, ok := have.Metadata.Annotations[mesh.StatusAnnotation]; ok {
			out.objects[ref] = patched(t, s.objects[ref], "/metadata/annotations/sallyport.io~1status", status)
		}
	}
	return out
}

// settled surveys a cluster in which nobody writes any more.
func (c *cluster) settled(t *testing.T, settings mesh.Settings) survey {
	t.Helper()
	last := c.versions(t, meshKinds)
	since := time.Now()
	eventually(t, "the cluster comes to rest", func() error {
		now := c.versions(t, meshKinds)
		if !maps.Equal(last, now) {
			last, since = now, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return fmt.Errorf("still changing")
		}
		return nil
	})
	return c.survey(t, settings)
}

// compare reports what a phase has changed.
func (s survey) compare(t *testing.T, phase string, now survey) {
	t.Helper()
	if d := cmp.Diff(s.objects, now.objects); d != "" {
		t.Errorf("%s changes objects of others (-before +after):\n%s", phase, d)
	}
	if d := cmp.Diff(s.paths, now.paths); d != "" {
		t.Errorf("%s opens or closes paths (-before +after):\n%s", phase, d)
	}
}

// lasting is an object without what every write changes.
func lasting(t *testing.T, raw []byte) string {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	metadata := o["metadata"].(map[string]any)
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		delete(metadata, field)
	}
	out, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
