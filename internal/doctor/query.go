package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Query is what is asked of an API server: every object of a kind, those of
// one namespace, or one of them.
type Query struct {
	Kind      string // as in [mesh.Ref]
	Namespace string
	Name      string
}

// String is for messages.
func (q Query) String() string {
	switch {
	case q.Name != "":
		return mesh.Ref(q).String()
	case q.Namespace != "":
		return q.Kind + " objects of namespace " + q.Namespace
	default:
		return q.Kind + " objects"
	}
}

// Paths are the URL paths at which an API server may serve the answer, the
// most preferred version first.
func (q Query) Paths() []string {
	k := apikind.Named(q.Kind)
	paths := make([]string, len(k.Versions))
	for i, version := range k.Versions {
		parts := []string{"/apis", k.Group, version}
		if k.Group == "" {
			parts = []string{"/api", version}
		}
		if q.Namespace != "" {
			parts = append(parts, "namespaces", q.Namespace)
		}
		parts = append(parts, k.Resource)
		if q.Name != "" {
			parts = append(parts, q.Name)
		}
		paths[i] = strings.Join(parts, "/")
	}
	return paths
}

// BuiltIn reports whether every API server serves the kind. What is not built
// in and not served does not exist.
func (q Query) BuiltIn() bool {
	switch apikind.Named(q.Kind).Group {
	case apikind.Istio, apikind.Security, apikind.GatewayAPI, apikind.GatewayAPIX, "cert-manager.io":
		return false
	}
	return !sources[q.Kind].recent
}

// Type is the apiVersion and kind of the objects at the path with that index:
// API servers leave them out of the items of lists of built-in kinds.
func (q Query) Type(path int) (apiVersion, kind string) {
	k := apikind.Named(q.Kind)
	apiVersion = k.Versions[path]
	if k.Group != "" {
		apiVersion = k.Group + "/" + apiVersion
	}
	return apiVersion, k.API
}

// remedy is what lets the query be answered: a permission, or another file.
func (q Query) remedy(files bool) string {
	k := apikind.Named(q.Kind)
	resource := groupResource(k.Group, k.Resource)
	verb, where := "list", "--all-namespaces"
	if q.Name != "" {
		verb, resource = "get", resource+"/"+q.Name
	}
	if q.Namespace != "" {
		where = "--namespace " + q.Namespace
	}
	if files {
		return kubectl("get %s %s -o yaml > %s.yaml   # and give that file too", resource, where, k.Resource)
	}
	return fmt.Sprintf("kubectl auth can-i %s %s %s\n# docs/doctor.md has a ClusterRole with all that the checks read.", verb, resource, where)
}

// Queries are everything that the checks want to know, but for
// [Facts.SecretQueries].
func (f *Facts) Queries() []Query {
	qs := []Query{
		{Kind: "ConfigMap", Namespace: f.Settings.IstioNamespace},
		ciliumConfig,
		istioCNI,
		f.certificatesIn(),
	}
	qs = append(qs, definitions()...)
	for kind, s := range sources {
		if !s.partly {
			qs = append(qs, Query{Kind: kind})
		}
	}
	slices.SortFunc(qs, func(a, b Query) int { return strings.Compare(a.String(), b.String()) })
	return qs
}

// ciliumConfig may turn Cilium's enforcement off.
var ciliumConfig = Query{Kind: "ConfigMap", Namespace: "kube-system", Name: "cilium-config"}

func (f *Facts) certificatesIn() Query { return Query{Kind: "Certificate", Namespace: f.Namespace} }

func (f *Facts) meshConfigMaps() Query {
	return Query{Kind: "ConfigMap", Namespace: f.Settings.IstioNamespace}
}

// Permissions are the resources that are read, as RBAC names them, by API
// group; sorted. Those that are read in single namespaces are not among them.
func Permissions() map[string][]string {
	groups := map[string][]string{}
	for name, s := range sources {
		if k := apikind.Named(name); !s.partly {
			groups[k.Group] = append(groups[k.Group], k.Resource)
		}
	}
	for _, resources := range groups {
		slices.Sort(resources)
	}
	return groups
}
