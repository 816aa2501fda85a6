package manifest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/schema"
)

// wrapped returns the objects that an object of some other kind holds, to be made
// of it by whoever reads that kind: the objects of an OpenShift Template, the
// manifests of a ManifestWork. An object within is a value with apiVersion, kind and
// a named metadata, wherever it stands.
func wrapped(v *value) []*value {
	var found []*value
	var walk func(v *value)
	walk = func(v *value) {
		if v.standsAlone() {
			found = append(found, v)
			return
		}
		for _, f := range v.fields {
			walk(f.value)
		}
		for _, item := range v.items {
			walk(item)
		}
	}
	for _, f := range v.fields {
		walk(f.value)
	}
	return found
}

// parameters are the values of the parameters of an OpenShift Template. One without
// a value leaves its places as they are written.
func (v *value) parameters() map[string]string {
	values := map[string]string{}
	if v.get("kind").str() != "Template" || group(v.get("apiVersion").str()) != "template.openshift.io" {
		return values
	}
	for _, p := range v.get("parameters").list() {
		if val := p.get("value"); val != nil && p.get("name").str() != "" {
			values[p.get("name").str()] = val.text
		}
	}
	return values
}

// standsAlone reports whether a value could be applied as an object.
func (v *value) standsAlone() bool {
	meta := v.get("metadata")
	return v.get("apiVersion").str() != "" && v.get("kind").str() != "" &&
		(meta.get("name").str() != "" || meta.get("generateName").str() != "")
}

// parameter is a place for a parameter of a Template. In ${{NAME}}, which is to be
// all of a string, the value may be a number or a boolean.
var parameter = regexp.MustCompile(`\$\{(\{?)([a-zA-Z0-9_]+)\}?\}`)

// expand puts the values of parameters in their places.
func (v *value) expand(parameters map[string]string) {
	if v.kind == text && strings.Contains(v.text, "${") {
		whole := parameter.FindStringSubmatch(v.text)
		v.text = parameter.ReplaceAllStringFunc(v.text, func(place string) string {
			if val, ok := parameters[parameter.FindStringSubmatch(place)[2]]; ok {
				return val
			}
			return place
		})
		if whole != nil && whole[1] != "" && numberOrBool.MatchString(v.text) {
			v.kind = number
			if v.text == "true" || v.text == "false" {
				v.kind = boolean
			}
		}
	}
	for _, f := range v.fields {
		f.value.expand(parameters)
	}
	for _, item := range v.items {
		item.expand(parameters)
	}
}

var numberOrBool = regexp.MustCompile(`^(true|false|0|-?[1-9][0-9]{0,17})$`)

// read reports whether the kinds of a version are read here: what is within an
// object of such a kind is its own.
func read(apiVersion string) bool {
	g := group(apiVersion)
	return schema.IstioGroup(g) || g == "gateway.networking.k8s.io" ||
		slices.Contains([]string{"", "apps", "batch", "discovery.k8s.io", "networking.k8s.io"}, g)
}

// inside names an object within another, for messages.
func (v *value) inside() string {
	meta := v.get("metadata")
	name := cmp.Or(meta.get("name").str(), meta.get("generateName").str())
	if ns := meta.get("namespace").str(); ns != "" {
		name = ns + "/" + name
	}
	return v.get("kind").str() + " " + name
}
