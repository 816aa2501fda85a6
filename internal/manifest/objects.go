package manifest

import (
	"errors"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/schema"
)

// typed reports whether a document says of what kind or version it is.
func (v *value) typed() bool { return v.get("apiVersion") != nil || v.get("kind") != nil }

// configuration reports whether a document is Sallyport's configuration, which
// has no name and is in no cluster but for the ConfigMap that holds it.
func (v *value) configuration() bool {
	return group(v.get("apiVersion").str()) == "sallyport.io" && v.get("kind").str() == "Config"
}

// parse returns the objects of one file's documents.
func (r Reader) parse(file string, docs []document) ([]*Object, error) {
	var objects []*Object
	var errs []error
	var take func(v *value)
	take = func(v *value) {
		if v.configuration() {
			r.skip(file, Configuration)
			return
		}
		var inside []*value
		var names []string
		if !read(v.get("apiVersion").str()) {
			inside = wrapped(v)
			for _, i := range inside {
				names = append(names, i.inside())
			}
		}
		o, err := r.newObject(file, v)
		if err != nil {
			errs = append(errs, err)
			return
		}
		objects = append(objects, o)
		if !r.Unwrap {
			o.Holds = names
			return
		}
		parameters := v.parameters()
		for _, i := range inside {
			i.expand(parameters)
			take(i)
		}
	}
	for _, doc := range docs {
		for i, c := range doc.items {
			doc.items[i] = compact{} // each is in memory once
			v := c.inflate()
			if doc.frame != nil {
				doc.frame.typeItem(v)
				take(v)
				continue
			}
			for _, item := range flatten(v) {
				take(item)
			}
		}
	}
	return objects, errors.Join(errs...)
}

// flatten takes a List object apart. The API server leaves apiVersion and
// kind out of the items of a typed list; they follow from the list's own.
func flatten(doc *value) []*value {
	if !doc.isList() {
		return []*value{doc}
	}
	items := doc.get("items").items
	for _, item := range items {
		doc.typeItem(item)
	}
	return items
}

// typeItem gives an item of a typed list its kind and version.
func (v *value) typeItem(item *value) {
	kind := v.get("kind").str()
	if item.kind != object || kind == "List" {
		return
	}
	if item.get("kind") == nil {
		item.set("kind", strings.TrimSuffix(kind, "List"))
	}
	if item.get("apiVersion") == nil {
		item.set("apiVersion", v.get("apiVersion").str())
	}
}

// newObject checks one object and takes down what is needed of it.
func (r Reader) newObject(file string, v *value) (*Object, error) {
	c := &checker{file: file, stored: r.Stored}
	if v.kind != object {
		c.errorf(v.line, "", "a manifest is an object with apiVersion, kind and metadata; this is %s", v.kind)
		return nil, c.err()
	}
	o := &Object{
		APIVersion: c.required(v, "apiVersion"),
		Kind:       c.required(v, "kind"),
		File:       file,
		Line:       v.line,
		root:       v,
	}
	meta := v.get("metadata")
	if o.Kind == "List" && group(o.APIVersion) == "" {
		what := "missing"
		if items := v.get("items"); items != nil {
			what = "is " + items.kind.String()
		}
		c.errorf(v.line, "items", "%s: a List holds its objects there, in a list", what)
		return nil, c.err()
	}
	if meta == nil || meta.kind != object {
		c.errorf(v.line, "metadata", "missing: an object needs at least metadata.name")
		return nil, c.err()
	}
	c.metadata(meta)
	c.served = meta.get("uid").str() != "" // nobody writes one into a file
	if prefix := meta.get("generateName"); meta.get("name") == nil && prefix.str() != "" {
		c.errorf(prefix.line, "metadata.name", "missing: by generateName the API server makes up a name, and a review tells objects apart by theirs; give it one, such as %q", prefix.str()+"1")
		return nil, c.err()
	}
	o.Name = c.required(meta, "name", "metadata")
	if err := c.err(); err != nil {
		return nil, err
	}
	o.Namespace = meta.get("namespace").str()
	if !clusterScoped(o.APIVersion, o.Kind) && o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.Namespace != "" && o.Namespace != meta.get("namespace").str() && isNamespaced(o.APIVersion, o.Kind) {
		meta.set("namespace", o.Namespace)
	}
	if g := group(o.APIVersion); schema.IstioGroup(g) || g == "gateway.networking.k8s.io" {
		// Custom resources have names by which DNS could call them.
		if msgs := validation.IsDNS1123Subdomain(o.Name); len(msgs) > 0 {
			c.errorf(meta.at("name").line, "metadata.name", "%q is not a name: at most 253 lower-case letters, digits, '-' and '.'", o.Name)
		}
	}
	c.object(o)
	o.written = v.compact()
	o.Raw, o.root = o.written.json, nil
	o.Notes = c.notes
	return o, c.err()
}

// metadataFields are the fields of ObjectMeta
// (https://pkg.go.dev/k8s.io/apimachinery/pkg/apis/meta/v1#ObjectMeta).
var metadataFields = []string{
	"annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
	"generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences",
	"resourceVersion", "selfLink", "uid",
}

// metadata checks an object's metadata.
func (c *checker) metadata(meta *value) {
	for _, f := range meta.fields {
		path := "metadata." + f.key
		switch f.key {
		case "labels", "annotations":
			c.stringMap(f.value, path)
		case "name":
			// Names of built-in kinds vary; none may break a path.
			if n := f.value.str(); strings.ContainsAny(n, "/%") || n == "." || n == ".." {
				c.errorf(f.line, path, "%q is not a name", n)
			}
		case "namespace":
			if f.value.kind == null {
				continue
			}
			if msgs := validation.IsDNS1123Label(f.value.str()); len(msgs) > 0 {
				c.errorf(f.line, path, "%q is not a namespace name: lower-case letters, digits and '-' only", f.value.text)
			}
		default:
			if !slices.Contains(metadataFields, f.key) {
				c.unknown(f, path, slices.Values(metadataFields))
			}
		}
	}
}

// stringMap checks a map of strings, such as labels.
func (c *checker) stringMap(v *value, path string) {
	if v.kind == null {
		return
	}
	if v.kind != object {
		c.errorf(v.line, path, "must be an object, is %s", v.kind)
		return
	}
	for _, f := range v.fields {
		if f.value.kind != text {
			c.errorf(f.line, path+`["`+f.key+`"]`, "must be a string, is %s; put it in quotes", f.value.kind)
		}
	}
}

// clusterScopedKinds are the built-in kinds that live outside namespaces, and
// those of the Gateway API, that the table of kinds does not have.
var clusterScopedKinds = map[string][]string{
	"":                             {"PersistentVolume"},
	"admissionregistration.k8s.io": {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"},
	"apiextensions.k8s.io":         {},
	"apiregistration.k8s.io":       {"APIService"},
	"cert-manager.io":              {"ClusterIssuer"},
	"certificates.k8s.io":          {"CertificateSigningRequest", "ClusterTrustBundle"},
	"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
	"gateway.networking.k8s.io":    {"GatewayClass"},
	"networking.k8s.io":            {"IngressClass", "IPAddress"},
	"node.k8s.io":                  {"RuntimeClass"},
	"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding"},
	"scheduling.k8s.io":            {"PriorityClass"},
	"storage.k8s.io":               {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"},
}

func clusterScoped(apiVersion, kind string) bool {
	g := group(apiVersion)
	k, _ := apikind.Of(g, kind)
	return k.Cluster || slices.Contains(clusterScopedKinds[g], kind)
}

// isNamespaced reports whether the kind is known to live in namespaces. Of
// other people's kinds nobody can tell without a cluster, so their manifests
// are left as they are.
func isNamespaced(apiVersion, kind string) bool {
	g := group(apiVersion)
	_, builtin := clusterScopedKinds[g]
	switch g {
	case "apps", "batch", "discovery.k8s.io", "policy", "autoscaling":
		builtin = true
	}
	return (builtin || schema.IstioGroup(g)) && !clusterScoped(apiVersion, kind)
}

// group is the API group of an apiVersion; empty for the core group.
func group(apiVersion string) string {
	g, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return g
}

// set gives an object a string field, in place of a present one.
func (v *value) set(key, s string) {
	for _, f := range v.fields {
		if f.key == key {
			f.value = &value{kind: text, line: f.line, text: s}
			return
		}
	}
	v.fields = append(v.fields, &field{key: key, line: v.line, value: &value{kind: text, line: v.line, text: s}})
}
