package gitops_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/argoproj/gitops-engine/pkg/diff"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/itchyny/gojq"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/discovery"
	"k8s.io/kube-openapi/pkg/util/proto"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// argoManager is the field manager of Argo CD's application controller.
const argoManager = "argocd-controller"

// comparison is a way in which Argo CD compares what Git has with what is there.
type comparison struct {
	name    string
	apply   []string // how kubectl, which Argo CD syncs by, is called
	options []diff.Option
}

func testArgoCD(t *testing.T, c *cluster) {
	schema := c.schema(t)
	page := readPage(t)
	page.the(t, "Application", comparesByServer) // without exceptions, as the last of these
	for _, way := range []comparison{
		{"three-way", []string{"apply"}, nil},
		{"structured", []string{"apply", "--server-side", "--force-conflicts", "--field-manager=" + argoManager}, []diff.Option{diff.WithStructuredMergeDiff(true)}},
		{"server-side", []string{"apply", "--server-side", "--force-conflicts", "--field-manager=" + argoManager}, []diff.Option{
			diff.WithServerSideDiff(true), diff.WithServerSideDryRunner(dryRunner{c}),
		}},
	} {
		way.options = append(way.options, diff.WithGVKParser(schema), diff.WithManager(argoManager))
		t.Run(way.name, func(t *testing.T) {
			for _, name := range sets {
				t.Run(name, func(t *testing.T) { c.sync(t, page, way, read(t, name, "argo-"+way.name)) })
			}
		})
	}
}

// sync does with a set what Argo CD does: it tries it, applies it wave by wave, and
// compares.
func (c *cluster) sync(t *testing.T, page page, way comparison, set []*unstructured.Unstructured) {
	c.kubectl(t, manifests(t, set...), append(slices.Clone(way.apply), "--dry-run=server", "-f", "-")...)
	apply := func() {
		waves := make(map[int][]*unstructured.Unstructured)
		for _, o := range set {
			n, _ := strconv.Atoi(o.GetAnnotations()["argocd.argoproj.io/sync-wave"]) // 0 where it says none
			waves[n] = append(waves[n], o)
		}
		for _, n := range slices.Sorted(maps.Keys(waves)) {
			c.kubectl(t, manifests(t, waves[n]...), append(slices.Clone(way.apply), "-f", "-")...)
		}
	}
	apply()
	c.converge(t, set)
	for _, o := range set {
		ignored := page.ignored(t, o)
		options := slices.Clone(way.options)
		if way.name != "server-side" {
			options = append(options, diff.WithNormalizer(ignored))
		}
		result, err := diff.Diff(o, c.get(t, o), options...)
		if err != nil {
			t.Fatal(err)
		}
		if result.Modified {
			t.Errorf("%s %s is out of sync (-live +wanted):\n%s", o.GetKind(), o.GetName(), differences(t, result))
		}
		// What the page has to be left out is what is rewritten, and needs it.
		result, err = diff.Diff(o, c.get(t, o), way.options...)
		if err != nil {
			t.Fatal(err)
		}
		if needs := way.name != "server-side" && o.GetAnnotations()[mesh.RewriteAnnotation] == "true"; result.Modified != needs {
			t.Errorf("%s %s, with nothing left out: out of sync %t, want %t:\n%s", o.GetKind(), o.GetName(), result.Modified, needs, differences(t, result))
		}
	}
	c.changesNothing(t, "a second sync", set, apply)
	for _, o := range set {
		live := c.get(t, o)
		if o.GetAnnotations()[mesh.RewriteAnnotation] == "true" {
			// What admission has changed is booked to whoever wrote: the page says so.
			for _, entry := range live.GetManagedFields() {
				if entry.Manager != argoManager && entry.Manager != "kubectl-client-side-apply" {
					t.Errorf("%s %s has a field manager %s", o.GetKind(), o.GetName(), entry.Manager)
				}
			}
		}
		if !isEntry(o) {
			continue
		}
		raw, err := live.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if got, message := health(t, page.healthCheck(t), string(raw)); got != "Healthy" {
			t.Errorf("%s is %s: %s", o.GetName(), got, message)
		}
	}
}

func differences(t *testing.T, result *diff.DiffResult) string {
	t.Helper()
	var live, wanted any
	for raw, into := range map[*[]byte]*any{&result.NormalizedLive: &live, &result.PredictedLive: &wanted} {
		if err := json.Unmarshal(*raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return gocmp.Diff(live, wanted)
}

// schema is what Argo CD's cluster cache knows of the cluster's types.
func (c *cluster) schema(t *testing.T) *managedfields.GvkParser {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(c.cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	document, err := client.OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	models, err := proto.NewOpenAPIData(document)
	if err != nil {
		t.Fatal(err)
	}
	parser, err := managedfields.NewGVKParser(models, false)
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// dryRunner applies in a dry run.
type dryRunner struct{ c *cluster }

func (r dryRunner) Run(ctx context.Context, o *unstructured.Unstructured, manager string) (string, error) {
	raw, err := o.MarshalJSON()
	if err != nil {
		return "", err
	}
	cmd := r.c.cp.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--show-managed-fields", "-o", "json", "--field-manager="+manager, "-f", "-")
	cmd.Stdin = strings.NewReader(string(raw))
	out, err := cmd.Output()
	return string(out), err
}

// expressions are jq paths that Argo CD deletes on both sides before it compares.
type expressions []string

// Normalize does as Argo CD's own normalizer: del(PATH) for each.
func (paths expressions) Normalize(o *unstructured.Unstructured) error {
	for _, path := range paths {
		query, err := gojq.Parse(fmt.Sprintf("del(%s)", path))
		if err != nil {
			return err
		}
		out, ok := query.Run(o.Object).Next()
		if err, failed := out.(error); !ok || failed {
			return cmp.Or(err, fmt.Errorf("%s: no result", path))
		}
		o.Object = out.(map[string]any)
	}
	return nil
}
