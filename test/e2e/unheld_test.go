package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// testUnheld has the mutating webhook fail, which fails open, and writes
// entries of every form all the while: what nobody holds back is refused, with
// words to try again, and at no version of the cluster is a host of theirs
// reached directly. What was admitted before goes on working.
func testUnheld(t *testing.T, c *cluster, settings mesh.Settings) {
	const namespace = "shop"
	versions := c.follow(t, settings)
	host := func(i int) string { return fmt.Sprintf("unheld-%d.example.com", i) }
	name := func(i int) string { return fmt.Sprintf("unheld-%d", i) }
	c.kubectl(t, entry(namespace, name(0), host(0), tls443), "apply", "-f", "-")
	c.opens(t, namespace, name(0))

	url := c.kubectl(t, "", "get", "mutatingwebhookconfiguration", "sallyport", "-o", "jsonpath={.webhooks[0].clientConfig.url}")
	callAt := func(url string) {
		t.Helper()
		c.kubectl(t, "", "patch", "mutatingwebhookconfiguration", "sallyport", "--type=json",
			"-p", fmt.Sprintf(`[{"op":"replace","path":"/webhooks/0/clientConfig/url","value":%q}]`, url))
	}
	callAt("https://127.0.0.1:1/mutate") // where nobody answers
	t.Cleanup(func() {
		if t.Failed() {
			callAt(url) // for the steps that follow
		}
	})
	eventually(t, "the API server asks the mutating webhook no more", func() error {
		out, err := c.try(t, entry(namespace, name(99), host(99), tls443), "create", "--dry-run=server", "-f", "-")
		if err == nil && !strings.Contains(out, "[open-gap]") {
			return fmt.Errorf("the entry is still held:\n%s", out)
		}
		return nil
	})
	forms := []string{"", "exportTo: []\n", "exportTo: [\".\"]\n", "exportTo: [\"*\"]\n"}
	for i := range 24 {
		out := c.denied(t, entry(namespace, name(i+1), host(i+1), tls443)+indent(forms[i%len(forms)]), "create", "-f", "-")
		// One with an exportTo of its own asks for no companions unless admission marks it.
		rule, want := "[direct-path]", "sallyport.io/injection=enabled"
		if i%len(forms) < 2 {
			rule, want = "[open-gap]", "Try again"
		}
		if !strings.Contains(out, rule) || !strings.Contains(out, want) {
			t.Errorf("form %q: the denial lacks %s or %q:\n%s", forms[i%len(forms)], rule, want, out)
		}
	}
	// What is open may be touched, and what holds itself back comes in.
	c.kubectl(t, "", "annotate", "serviceentry", name(0), "-n", namespace, "touched=yes")
	out := c.denied(t, entry(namespace, name(0), host(0)+", "+host(50), tls443)+indent(forms[2]), "apply", "-f", "-")
	if !strings.Contains(out, "an entry of its own") {
		t.Errorf("the denial of an added host does not say how to go about it:\n%s", out)
	}

	callAt(url)
	eventually(t, "the mutating webhook is asked again", func() error {
		out, err := c.try(t, entry(namespace, name(1), host(1), tls443), "create", "-f", "-")
		if err != nil {
			return fmt.Errorf("%v\n%s", err, out)
		}
		return nil
	})
	c.opens(t, namespace, name(1))
	looked := 0
	for v := range versions() {
		for i := range 51 {
			for _, client := range []string{namespace, "mutual", mesh.AnyClient} {
				if p := v.mesh.Paths(client, host(i), 443); p.Verdict == mesh.Direct {
					t.Errorf("at version %d %s reached %s directly: %+v", v.version, client, host(i), p.Because)
				}
			}
		}
		looked++
	}
	if looked < 10 {
		t.Errorf("%d versions of the cluster were looked at", looked)
	}
	c.kubectl(t, "", "delete", "serviceentry", "-n", namespace, name(0), name(1))
}

func indent(field string) string {
	if field == "" {
		return ""
	}
	return "  " + field
}

// opens waits until an entry is open to its own namespace.
func (c *cluster) opens(t *testing.T, namespace, name string) {
	t.Helper()
	eventually(t, namespace+"/"+name+" is opened", func() error {
		if got := c.kubectl(t, "", "get", "serviceentry", name, "-n", namespace, "-o", "jsonpath={.spec.exportTo}"); got != `["."]` {
			return fmt.Errorf("exportTo is %s", got)
		}
		return nil
	})
}

// state is the cluster at one version.
type state struct {
	version int
	mesh    *mesh.Mesh
}

// follow watches the kinds that make paths. What it returns stops watching, and
// yields the cluster after each change that there was.
func (c *cluster) follow(t *testing.T, settings mesh.Settings) func() func(func(state) bool) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	type change struct {
		version int
		object  mesh.Object
		gone    bool
	}
	var mu sync.Mutex
	var changes []change
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	stop := func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	add := func(o *unstructured.Unstructured, gone bool) {
		raw, err := o.MarshalJSON()
		if err != nil {
			t.Error(err)
			return
		}
		decoded, err := mesh.Decode(raw)
		if err != nil {
			t.Error(err)
			return
		}
		version, err := strconv.Atoi(o.GetResourceVersion())
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, change{version, decoded, gone})
	}
	began := 0
	for _, resource := range []string{"serviceentries", "gateways", "destinationrules", "virtualservices"} {
		of := client.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: resource})
		list, err := of.List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			add(&list.Items[i], false)
		}
		if v, err := strconv.Atoi(list.GetResourceVersion()); err == nil {
			began = max(began, v)
		}
		w, err := of.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer w.Stop()
			for e := range w.ResultChan() {
				o, ok := e.Object.(*unstructured.Unstructured)
				switch {
				case ctx.Err() != nil:
					return
				case !ok:
					t.Errorf("watch of %s: %v", resource, e.Object)
					return
				}
				add(o, e.Type == "DELETED")
			}
		})
	}
	return func() func(func(state) bool) {
		time.Sleep(time.Second) // the last news
		stop()
		return func(yield func(state) bool) {
			mu.Lock()
			defer mu.Unlock()
			slices.SortStableFunc(changes, func(a, b change) int { return a.version - b.version })
			m := mesh.New(settings)
			for _, ch := range changes {
				if ch.gone {
					m = m.Without(ch.object.Metadata().Ref)
				} else {
					m = m.With(ch.object)
				}
				if ch.version > began && !yield(state{ch.version, m}) {
					return
				}
			}
		}
	}
}
