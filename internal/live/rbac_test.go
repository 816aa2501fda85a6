package live

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// TestReaderRole compares what the store reads with what the manifests let it
// read: one right more is one too many.
func TestReaderRole(t *testing.T) {
	data, err := os.ReadFile("../../manifests/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	granted := make(map[string][]string)
	for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(doc, &role); err != nil {
			t.Fatal(err)
		}
		if role.Name != "sallyport-reader" || role.Kind != "ClusterRole" && role.Kind != "Role" {
			continue
		}
		if istiod := len(role.Rules) == 1 && slices.Contains(role.Rules[0].Resources, "configmaps"); istiod != (role.Kind == "Role") {
			t.Errorf("%s: ConfigMaps are read in the namespace of istiod alone, and nothing else there", role.Kind)
		}
		for _, r := range role.Rules {
			if d := cmp.Diff([]string{"get", "list", "watch"}, r.Verbs); d != "" {
				t.Errorf("verbs for %v (-want +got):\n%s", r.Resources, d)
			}
			for _, group := range r.APIGroups {
				granted[group] = append(granted[group], r.Resources...)
			}
		}
	}
	read := make(map[string][]string)
	for _, r := range resources {
		read[r.Group] = append(read[r.Group], r.Resource)
	}
	for _, groups := range []map[string][]string{granted, read} {
		for group := range maps.Keys(groups) {
			slices.Sort(groups[group])
		}
	}
	if d := cmp.Diff(read, granted); d != "" {
		t.Errorf("the role sallyport-reader (-read +granted):\n%s", d)
	}
}
