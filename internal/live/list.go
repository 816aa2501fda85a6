package live

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// listPage is the number of objects that [Store.List] asks for at a time.
const listPage = 500

// List calls each with the JSON of every object of a kind, as the API server
// has it: the mesh keeps no more of an object than paths depend on. A kind
// that the store does not follow, or the cluster does not serve, has none. It
// ends with the first error of each.
func (s *Store) List(ctx context.Context, kind string, each func(raw []byte) error) error {
	i := slices.IndexFunc(resources, func(r resource) bool { return r.Name == kind })
	if i < 0 {
		return nil
	}
	r := resources[i]
	gv, served, err := s.find(r)
	if err != nil || !served {
		return err
	}
	reader, err := s.reader(r, gv)
	if err != nil {
		return fmt.Errorf("client for reading %s: %w", r.Resource, err)
	}
	opts := metav1.ListOptions{Limit: listPage}
	for {
		body, err := reader.get(opts).Do(ctx).Raw()
		if err != nil {
			return fmt.Errorf("listing %s: %w", r.Resource, err)
		}
		var page struct {
			Metadata metav1.ListMeta   `json:"metadata"`
			Items    []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return fmt.Errorf("listing %s: %w", r.Resource, err)
		}
		for _, raw := range page.Items {
			var t metav1.TypeMeta
			if err := json.Unmarshal(raw, &t); err != nil {
				return fmt.Errorf("listing %s: %w", r.Resource, err)
			}
			if err := each(typed(raw, t.Kind, reader.gvk)); err != nil {
				return err
			}
		}
		if opts.Continue = page.Metadata.Continue; opts.Continue == "" {
			return nil
		}
	}
}

// typed adds apiVersion and kind to an object's JSON that has no kind: the
// items of a list of a built-in kind.
func typed(raw []byte, kind string, gvk schema.GroupVersionKind) []byte {
	if kind != "" {
		return raw
	}
	prefix := fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,`, gvk.GroupVersion(), gvk.Kind)
	return append(prefix, raw[1:]...)
}
