package gitops_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// testHelm installs each set as a chart, and upgrades it: to the same, and to one
// with another timeout.
func testHelm(t *testing.T, c *cluster) {
	namespace := "shop"
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &c.cp.Kubeconfig, &namespace
	config := new(action.Configuration)
	if err := config.Init(flags, namespace, "secret", t.Logf); err != nil {
		t.Fatal(err)
	}
	install := func(name string, chart *chart.Chart) error {
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace = name, namespace
		_, err := install.RunWithContext(t.Context(), chart, nil)
		return err
	}
	upgrade := func(name string, chart *chart.Chart) {
		t.Helper()
		upgrade := action.NewUpgrade(config)
		upgrade.Namespace = namespace
		if _, err := upgrade.RunWithContext(t.Context(), name, chart, nil); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile("../../docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}
	_, wait, found := strings.Cut(string(page), "\n$ kubectl wait ")
	if !found {
		t.Fatal("docs/gitops.md does not say how to wait for entries")
	}
	wait, _, _ = strings.Cut(wait, "\n")
	for _, name := range sets {
		t.Run(name, func(t *testing.T) {
			set := read(t, name, "helm")
			chart := chartOf(t, set)
			if name == "by-hand" {
				// That one release does not do the page says, and to have two.
				if err := install("whole", chartOf(t, read(t, name, "helm-whole"))); err == nil || !strings.Contains(err.Error(), "open-gap") {
					t.Errorf("the whole set in one release: %v", err)
				}
				if err := install("routes", chartOf(t, slices.DeleteFunc(slices.Clone(set), isEntry))); err != nil {
					t.Fatal(err)
				}
				chart = chartOf(t, slices.DeleteFunc(slices.Clone(set), func(o *unstructured.Unstructured) bool { return !isEntry(o) }))
			}
			if err := install(name, chart); err != nil {
				t.Fatal(err)
			}
			c.kubectl(t, "", append([]string{"wait"}, strings.Fields(strings.ReplaceAll(wait, "'", ""))...)...)
			c.converge(t, set)
			c.changesNothing(t, "an upgrade to the same", set, func() { upgrade(name, chart) })
			if name != "rewrite" {
				return
			}
			for _, o := range set {
				if rules, found, _ := unstructured.NestedSlice(o.Object, "spec", "http"); found {
					rules[0].(map[string]any)["timeout"] = "7s"
					if err := unstructured.SetNestedSlice(o.Object, rules, "spec", "http"); err != nil {
						t.Fatal(err)
					}
				}
			}
			upgrade(name, chartOf(t, set))
			c.converge(t, set)
			rules, _, _ := unstructured.NestedSlice(c.get(t, set[1]).Object, "spec", "http")
			if got := rules[0].(map[string]any)["timeout"]; got != "7s" {
				t.Errorf("after the upgrade the timeout is %v", got)
			}
		})
	}
}

// chartOf is a chart of the objects, read from a folder.
func chartOf(t *testing.T, set []*unstructured.Unstructured) *chart.Chart {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "templates"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Chart.yaml":             "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
		"templates/objects.yaml": strings.ReplaceAll(manifests(t, set...), "\n", "\n---\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	chart, err := loader.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return chart
}
