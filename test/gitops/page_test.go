package gitops_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// page are the objects that docs/gitops.md shows.
type page []*unstructured.Unstructured

func readPage(t *testing.T) page {
	t.Helper()
	text, err := os.ReadFile("../../docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}
	var out page
	for i, part := range strings.Split(string(text), "```yaml\n") {
		if block, _, found := strings.Cut(part, "```"); i > 0 && found {
			out = append(out, parse(t, block)...)
		}
	}
	return out
}

// the returns the page's only object of a kind that passes.
func (p page) the(t *testing.T, kind string, passes func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	t.Helper()
	var found *unstructured.Unstructured
	for _, o := range p {
		if o.GetKind() == kind && passes(o) {
			if found != nil {
				t.Fatalf("docs/gitops.md shows two objects of kind %s", kind)
			}
			found = o
		}
	}
	if found == nil {
		t.Fatalf("docs/gitops.md does not show the %s", kind)
	}
	return found
}

func comparesByServer(o *unstructured.Unstructured) bool {
	return o.GetAnnotations()["argocd.argoproj.io/compare-options"] == "ServerSideDiff=true"
}

// ignored are the paths that the page's Application without server-side comparison
// leaves out of that of an object.
func (p page) ignored(t *testing.T, o *unstructured.Unstructured) (paths expressions) {
	t.Helper()
	application := p.the(t, "Application", func(o *unstructured.Unstructured) bool { return !comparesByServer(o) })
	raw, err := json.Marshal(application.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		IgnoreDifferences []struct {
			Group, Kind       string
			JQPathExpressions []string
		}
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		t.Fatal(err)
	}
	for _, ignore := range spec.IgnoreDifferences {
		if ignore.Group == o.GroupVersionKind().Group && ignore.Kind == o.GetKind() {
			paths = append(paths, ignore.JQPathExpressions...)
		}
	}
	return paths
}

// TestHealth asks the page's health check, in Argo CD's language, what it makes of
// all that Sallyport says of an entry.
func TestHealth(t *testing.T) {
	script := readPage(t).healthCheck(t)
	for _, test := range []struct{ entry, want string }{
		{`{"metadata": {}, "spec": {"hosts": ["a.example.com"]}}`, "Healthy"},
		{`{"metadata": {"annotations": {"owner": "me"}}, "spec": {"exportTo": ["~"]}}`, "Healthy"},
		{`{"metadata": {"annotations": {"sallyport.io/export-to": "."}}, "spec": {"exportTo": ["~"]}}`, "Progressing"},
		{`{"metadata": {"annotations": {"sallyport.io/export-to": "."}}, "spec": {"exportTo": ["."]}}`, "Healthy"},
		{`{"metadata": {"annotations": {"sallyport.io/export-to": ".", "sallyport.io/status": "held: no path yet"}}, "spec": {"exportTo": ["~"]}}`, "Progressing"},
		{`{"metadata": {"annotations": {"sallyport.io/export-to": ".", "sallyport.io/status": "refused: an address"}}, "spec": {"exportTo": ["~"]}}`, "Degraded"},
		{`{"metadata": {"annotations": {"sallyport.io/status": "not ready: no endpoint of the gateway"}}, "spec": {"exportTo": ["."]}}`, "Degraded"},
		{`{"metadata": {"annotations": {"sallyport.io/status": "ready: every port goes through the egress gateway"}}, "spec": {"exportTo": ["."]}}`, "Healthy"},
	} {
		if got, message := health(t, script, test.entry); got != test.want || !strings.Contains(test.entry, message) {
			t.Errorf("%s is %s (%s), want %s", test.entry, got, message, test.want)
		}
	}
}

// healthCheck is the page's check of ServiceEntries.
func (p page) healthCheck(t *testing.T) string {
	t.Helper()
	config := p.the(t, "ConfigMap", func(o *unstructured.Unstructured) bool { return o.GetName() == "argocd-cm" })
	script, found, err := unstructured.NestedString(config.Object, "data", "resource.customizations.health.networking.istio.io_ServiceEntry")
	if err != nil || !found {
		t.Fatalf("the ConfigMap has no health check of ServiceEntries (%v)", err)
	}
	return script
}

// health runs a script as Argo CD does: with the object as obj.
func health(t *testing.T, script, entry string) (status, message string) {
	t.Helper()
	var object any
	if err := json.Unmarshal([]byte(entry), &object); err != nil {
		t.Fatal(err)
	}
	l := lua.NewState()
	defer l.Close()
	l.SetGlobal("obj", luaValue(l, object))
	if err := l.DoString(script); err != nil {
		t.Fatal(err)
	}
	result, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the health check returns %s", l.Get(-1))
	}
	return result.RawGetString("status").String(), result.RawGetString("message").String()
}

func luaValue(l *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := l.NewTable()
		for _, item := range value {
			table.Append(luaValue(l, item))
		}
		return table
	case map[string]any:
		table := l.NewTable()
		for name, item := range value {
			table.RawSetString(name, luaValue(l, item))
		}
		return table
	default:
		return lua.LNil
	}
}
