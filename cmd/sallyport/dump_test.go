package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// apiServer serves kinds, each in v1 and an older version, and Secrets, which
// nobody may ask for.
type apiServer struct {
	t         *testing.T
	kinds     []schema.GroupKind
	forbidden schema.GroupKind
	reading   func() // is called at each list
	old       bool   // the pages that a list begins with are too old to go on with
}

func plural(kind string) string { return strings.ToLower(kind) + "-x" }

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodGet {
		s.t.Errorf("%s %s: a dump writes nothing", r.Method, r.URL)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/version":
		s.answer(w, map[string]string{})
	case r.URL.Path == "/api":
		s.answer(w, metav1.APIVersions{Versions: []string{"v1"}})
	case r.URL.Path == "/apis":
		var groups metav1.APIGroupList
		for _, k := range s.kinds {
			v1, old := metav1.GroupVersionForDiscovery{GroupVersion: k.Group + "/v1", Version: "v1"}, metav1.GroupVersionForDiscovery{GroupVersion: k.Group + "/v1beta1", Version: "v1beta1"}
			if k.Group != "" && !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == k.Group }) {
				groups.Groups = append(groups.Groups, metav1.APIGroup{Name: k.Group, Versions: []metav1.GroupVersionForDiscovery{old, v1}, PreferredVersion: v1})
			}
		}
		s.answer(w, groups)
	case parts[0] == "api" && len(parts) == 2:
		s.answer(w, s.resources(""))
	case parts[0] == "apis" && len(parts) == 3:
		s.answer(w, s.resources(parts[1]))
	default:
		s.list(w, r, parts)
	}
}

func (s *apiServer) resources(group string) metav1.APIResourceList {
	list := metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "secrets", Kind: "Secret", Verbs: metav1.Verbs{"list"}}}}
	for _, k := range s.kinds {
		if k.Group == group {
			list.APIResources = append(list.APIResources,
				metav1.APIResource{Name: plural(k.Kind), Kind: k.Kind, Verbs: metav1.Verbs{"get", "list"}},
				metav1.APIResource{Name: plural(k.Kind) + "/status", Kind: k.Kind, Verbs: metav1.Verbs{"get"}})
		}
	}
	return list
}

// list answers with two pages of an object each, or with one that is named.
func (s *apiServer) list(w http.ResponseWriter, r *http.Request, parts []string) {
	if s.reading != nil {
		s.reading()
	}
	group, rest := "", parts[2:]
	if parts[0] == "apis" {
		group, rest = parts[1], parts[3:]
	}
	namespace := "shop"
	if rest[0] == "namespaces" && len(rest) > 2 {
		namespace, rest = rest[1], rest[2:]
	}
	i := slices.IndexFunc(s.kinds, func(k schema.GroupKind) bool { return k.Group == group && plural(k.Kind) == rest[0] })
	if i < 0 || strings.Contains(r.URL.Path, "v1beta1") {
		s.t.Errorf("GET %s: not what is served and preferred", r.URL)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	kind := s.kinds[i]
	if kind == s.forbidden {
		s.refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "")
		return
	}
	object := func(name string) map[string]any {
		return map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name, "uid": name, "managedFields": []any{1}, "generation": 9007199254740993}}
	}
	if len(rest) == 2 {
		named := object(rest[1])
		named["kind"], named["apiVersion"] = kind.Kind, strings.TrimPrefix(kind.Group+"/v1", "/")
		s.answer(w, named)
		return
	}
	list := map[string]any{"items": []any{object("first")}, "metadata": map[string]any{"continue": "more"}}
	switch next := r.URL.Query().Get("continue"); {
	case next == "more" && s.old:
		s.refuse(w, http.StatusGone, metav1.StatusReasonExpired, "later")
		return
	case next != "":
		list = map[string]any{"items": []any{object("second")}}
	}
	s.answer(w, list)
}

func (s *apiServer) refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, next string) {
	w.WriteHeader(code)
	s.answer(w, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, ListMeta: metav1.ListMeta{Continue: next},
		Status: "Failure", Code: int32(code), Reason: reason, Message: "not for you",
	})
}

func (s *apiServer) answer(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

// dump runs the command in a cluster.
func (s *apiServer) dump(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	srv := httptest.NewServer(s)
	defer srv.Close()
	kubeconfig := filepath.Join(s.t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}", srv.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	config := filepath.Join(s.t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("apiVersion: sallyport.io/v1alpha1\nkind: Config\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	status = run(ctx, append([]string{"sallyport", "dump", "--kubeconfig", kubeconfig, "--config", config}, args...), strings.NewReader(""), &out, &errOut)
	return status, out.String(), errOut.String()
}

// everyKind are the kinds that the model or the doctor knows.
func everyKind(t *testing.T) []schema.GroupKind {
	t.Helper()
	cfg, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[schema.GroupKind]bool{}
	for group, kind := range mesh.APIKinds() {
		kinds[schema.GroupKind{Group: group, Kind: kind}] = true
	}
	for _, q := range newFacts(cfg).Queries() {
		apiVersion, kind := q.Type(0)
		kinds[schema.FromAPIVersionAndKind(apiVersion, kind).GroupKind()] = true
	}
	sorted := slices.Collect(maps.Keys(kinds))
	slices.SortFunc(sorted, func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	return sorted
}

// TestDumpIsComplete has a cluster with two objects of every kind that the model
// holds or the doctor reads: all of them are in the dump, in either format, in the
// version that the server prefers.
func TestDumpIsComplete(t *testing.T) {
	for _, format := range []string{"yaml", "json"} {
		s := &apiServer{t: t, kinds: everyKind(t), old: format == "json"}
		status, stdout, stderr := s.dump(t.Context(), "-o", format)
		if status != exitOK || stderr != "" {
			t.Fatalf("%s: status %d: %s", format, status, stderr)
		}
		if strings.Contains(stdout, "managedFields") || !strings.Contains(stdout, "9007199254740993") {
			t.Errorf("%s: managedFields are in it, or numbers are rounded", format)
		}
		sep := "---\n"
		if format == "json" {
			sep = "\n"
		}
		got := map[schema.GroupKind]int{}
		for text := range strings.SplitSeq(strings.TrimSuffix(stdout, "\n"), sep) {
			var o metav1.PartialObjectMetadata
			if err := yaml.Unmarshal([]byte(text), &o); err != nil {
				t.Fatalf("%s: %v\n%s", format, err, text)
			}
			got[o.GroupVersionKind().GroupKind()]++
			if o.Kind == "ConfigMap" && o.Namespace != "istio-system" && o.Name != "cilium-config" && o.Name != "istio-cni-config" {
				t.Errorf("%s: ConfigMap %s/%s is nobody's business", format, o.Namespace, o.Name)
			}
		}
		for _, k := range s.kinds {
			if got[k] < 2 {
				t.Errorf("%s: %d objects of %s, want both pages", format, got[k], k)
			}
		}
	}
}

// TestDumpAsksForNoSecret holds for every configuration: no query is for Secrets.
func TestDumpAsksForNoSecret(t *testing.T) {
	cfg, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	queries := contents(cfg)
	for _, q := range queries {
		if q.Kind == "Secret" || q.Kind == "ConfigMap" && q.Namespace == "" {
			t.Errorf("%s is read", q)
		}
	}
	if len(queries) < len(everyKind(t)) {
		t.Errorf("%d queries for %d kinds", len(queries), len(everyKind(t)))
	}
}

// TestDumpSaysWhatIsMissing has what may not be read, is not served, and is broken
// off.
func TestDumpSaysWhatIsMissing(t *testing.T) {
	entries := schema.GroupKind{Group: "networking.istio.io", Kind: "ServiceEntry"}
	s := &apiServer{t: t, kinds: []schema.GroupKind{{Kind: "Namespace"}, entries}}
	status, stdout, stderr := s.dump(t.Context())
	if status != exitOK || !strings.Contains(stderr, "does not serve ") || !strings.Contains(stderr, "Gateway.gateway.networking.k8s.io") || strings.Count(stdout, "kind: ServiceEntry") != 2 {
		t.Errorf("without the Gateway API: status %d, %s\n%s", status, stderr, stdout)
	}

	s.forbidden = entries
	status, stdout, stderr = s.dump(t.Context())
	if status != exitUnknown || !strings.Contains(stderr, "ServiceEntry.networking.istio.io cannot be read: ") || !strings.Contains(stdout, "kind: Namespace") {
		t.Errorf("forbidden: status %d, %s\n%s", status, stderr, stdout)
	}

	ctx, cancel := context.WithCancel(t.Context())
	s.forbidden, s.reading = schema.GroupKind{}, cancel
	file := filepath.Join(t.TempDir(), "dump.yaml")
	status, _, stderr = s.dump(ctx, "--file", file)
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	if status != exitFailed || !strings.Contains(stderr, "interrupted") || len(left) > 0 {
		t.Errorf("interrupted: status %d, %s; %v is left", status, stderr, left)
	}

	s.reading = nil
	if status, stdout, stderr = s.dump(t.Context(), "--file", file); status != exitOK || stdout != "" {
		t.Errorf("to a file: status %d, %s\n%s", status, stderr, stdout)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, stdout, _ = s.dump(t.Context())
	if d := cmp.Diff(stdout, string(text)); d != "" {
		t.Errorf("the file (-standard output +file):\n%s", d)
	}
}
