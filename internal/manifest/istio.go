package manifest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sallyport-io/sallyport/internal/schema"
	"github.com/sallyport-io/sallyport/internal/validation"
)

// object checks what lies beneath apiVersion, kind and metadata.
func (c *checker) object(o *Object) {
	g := group(o.APIVersion)
	if !schema.IstioGroup(g) {
		c.misspelt(o)
		c.goObject(o)
		return
	}
	m, ok := schema.Istio(g, o.Kind)
	if !ok {
		c.errorf(o.root.at("kind").line, "kind", "%s has no kind %s%s", g, o.Kind, suggest(o.Kind, schema.IstioKinds(g)))
		return
	}
	served := schema.IstioVersions(g, o.Kind)
	if _, version, _ := strings.Cut(o.APIVersion, "/"); !c.stored && !slices.Contains(served, version) {
		c.errorf(o.root.at("apiVersion").line, "apiVersion", "%s is not a version of %s that Istio serves; write %s/%s", o.APIVersion, o.Kind, g, served[0])
	}
	for _, f := range o.root.fields {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "spec", "status"}, f.key) {
			c.unknown(f, f.key, slices.Values([]string{"metadata", "spec"}))
		}
	}
	spec := o.root.get("spec")
	if spec == nil || spec.kind == null {
		spec = &value{kind: object, line: o.Line} // some kinds need none
	}
	c.kind, _ = schema.Find(o.APIVersion, o.Kind)
	before, beyond := len(c.errs), c.beyond
	c.message(spec, m.ProtoReflect().Descriptor(), "spec")
	if len(c.errs)-before > c.beyond-beyond {
		return // what follows trusts the types
	}
	c.values(o, spec, m.ProtoReflect().New().Interface())
}

// values checks what Istio's webhook checks: what an API server refuses already is not
// said again. What is stored Istio has taken, one version of it: only names that are none
// are refused there.
func (c *checker) values(o *Object, spec *value, typed proto.Message) {
	if err := json.Unmarshal(spec.json(), typed); err != nil {
		c.errorf(spec.line, "spec", "%v", err)
		return
	}
	said := map[string]bool{}
	for _, err := range c.errs {
		if e := new(Error); errors.As(err, &e) {
			said[e.Path] = true
		}
	}
	meta := o.root.get("metadata")
	for _, p := range validation.Istio(validation.Meta{
		Name: o.Name, Namespace: o.Namespace, Labels: meta.get("labels").strings(), Annotations: meta.get("annotations").strings(),
	}, typed) {
		if !said[p.Path] && (p.NoHost || !c.stored) {
			c.errorf(o.LineOf(p.Path), p.Path, "%s", p.Message)
		}
	}
}

// strings are the fields of an object that are strings.
func (v *value) strings() map[string]string {
	m := map[string]string{}
	for _, f := range v.members() {
		if f.value.kind == text {
			m[f.key] = f.value.text
		}
	}
	return m
}
