package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Query asks for every object of a kind, those of one namespace, or one of them.
type Query struct {
	schema.GroupKind
	Namespace, Name string // empty for all
}

// String is for messages.
func (q Query) String() string {
	s := q.GroupKind.String()
	switch {
	case q.Namespace != "" && q.Name != "":
		s += " " + q.Namespace + "/" + q.Name
	case q.Name != "":
		s += " " + q.Name
	case q.Namespace != "":
		s += " of namespace " + q.Namespace
	}
	return s
}

// Missed is a query that was not answered, or not to the end.
type Missed struct {
	Query Query
	Err   error
}

func (m Missed) Error() string { return fmt.Sprintf("%s cannot be read: %v", m.Query, m.Err) }

// Reading is what became of queries.
type Reading struct {
	// Absent are the kinds that the API server does not serve: there is no object of
	// them.
	Absent []schema.GroupKind
	// Missed are the queries of whose answers something is missing.
	Missed []Missed
}

// Read asks the queries in their order and calls add for each object that the
// answers hold, then done with how many there were. Its errors are those of add,
// and that of a context that has ended; what the API server does not tell is part
// of the reading.
func (c *Client) Read(ctx context.Context, queries []Query, add func(raw []byte) error, done func(q Query, objects int)) (*Reading, error) {
	served, err := c.discover(ctx, queries)
	if err != nil {
		return nil, err
	}
	var out Reading
	for _, q := range queries {
		r, ok := served[q.GroupKind]
		switch {
		case r.err != nil:
			out.Missed = append(out.Missed, Missed{q, r.err})
			continue
		case !ok && !slices.Contains(out.Absent, q.GroupKind):
			out.Absent = append(out.Absent, q.GroupKind)
			continue
		case !ok || r.verbless:
			continue
		}
		objects := 0
		var failed error
		err := c.Each(ctx, r.path(q), r.apiVersion, q.Kind, func(raw []byte) error {
			objects++
			failed = add(raw)
			return failed
		})
		switch {
		case failed != nil:
			return nil, failed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case q.Name != "" && apierrors.IsNotFound(err):
		case err != nil:
			out.Missed = append(out.Missed, Missed{q, err})
		}
		done(q, objects)
	}
	return &out, nil
}

// resource is where an API server serves a kind.
type resource struct {
	apiVersion, name string
	verbless         bool  // nothing is stored that could be listed
	err              error // why it is not known
}

func (r resource) path(q Query) string {
	parts := []string{"/apis", r.apiVersion}
	if !strings.Contains(r.apiVersion, "/") {
		parts[0] = "/api"
	}
	if q.Namespace != "" {
		parts = append(parts, "namespaces", q.Namespace)
	}
	parts = append(parts, r.name)
	if q.Name != "" {
		parts = append(parts, q.Name)
	}
	return strings.Join(parts, "/")
}

// discover finds the kinds of the queries, each in the version that the API server
// prefers, or else in the first that has it.
func (c *Client) discover(ctx context.Context, queries []Query) (map[schema.GroupKind]resource, error) {
	versions, err := c.versions(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[schema.GroupKind]resource)
	kinds := make(map[string][]string)
	for _, q := range queries {
		kinds[q.Group] = append(kinds[q.Group], q.Kind)
	}
	for group, kinds := range kinds {
		for _, version := range versions[group] {
			resources, err := c.resources(ctx, version)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				// What no version answers for may be there.
				for _, kind := range kinds {
					gk := schema.GroupKind{Group: group, Kind: kind}
					if _, ok := found[gk]; !ok {
						found[gk] = resource{err: err}
					}
				}
				continue
			}
			for _, r := range resources {
				gk := schema.GroupKind{Group: group, Kind: r.Kind}
				known, ok := found[gk]
				if !slices.Contains(kinds, r.Kind) || strings.Contains(r.Name, "/") || ok && known.err == nil {
					continue
				}
				found[gk] = resource{apiVersion: version, name: r.Name, verbless: !slices.Contains(r.Verbs, "list")}
			}
		}
	}
	return found, nil
}

// versions are the versions of each group ("v1", "apps/v1"), the preferred one first.
func (c *Client) versions(ctx context.Context) (map[string][]string, error) {
	var core metav1.APIVersions
	if err := c.decode(ctx, "/api", &core); err != nil {
		return nil, err
	}
	var groups metav1.APIGroupList
	if err := c.decode(ctx, "/apis", &groups); err != nil {
		return nil, err
	}
	versions := map[string][]string{"": core.Versions}
	for _, g := range groups.Groups {
		slices.SortStableFunc(g.Versions, func(a, b metav1.GroupVersionForDiscovery) int {
			return cmp.Compare(preferred(b, g), preferred(a, g))
		})
		for _, v := range g.Versions {
			versions[g.Name] = append(versions[g.Name], v.GroupVersion)
		}
	}
	return versions, nil
}

func preferred(v metav1.GroupVersionForDiscovery, g metav1.APIGroup) int {
	if v == g.PreferredVersion {
		return 1
	}
	return 0
}

// resources are those of one version; none where it has gone.
func (c *Client) resources(ctx context.Context, version string) ([]metav1.APIResource, error) {
	path := "/apis/" + version
	if !strings.Contains(version, "/") {
		path = "/api/" + version
	}
	var list metav1.APIResourceList
	err := c.decode(ctx, path, &list)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return list.APIResources, err
}

func (c *Client) decode(ctx context.Context, path string, to any) error {
	body, err := Answer(c.Get().AbsPath(path).Do(ctx))
	if err == nil {
		err = json.Unmarshal(body, to)
	}
	if err != nil {
		return fmt.Errorf("asking the API server what it serves (GET %s): %w", path, err)
	}
	return nil
}
