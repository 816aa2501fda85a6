package mesh

import (
	"fmt"
	"maps"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// decodePodTemplate reads a template that stands alone.
func decodePodTemplate(m Meta, _, raw []byte) (Object, error) {
	var w struct {
		Template wireTemplate `json:"template"`
	}
	if err := unmarshal(raw, &w); err != nil {
		return nil, fieldError("object", err)
	}
	t := &w.Template
	return newWorkload(m, t.Metadata.Labels, t.Metadata.Annotations, &t.Spec), nil
}

// decodeBinding reads what assigns a pod to a node. Its labels and annotations
// become the pod's, in the place of those of the same name (setPodNodeAndMetadata
// in Kubernetes' pkg/registry/core/pod/storage).
func decodeBinding(m Meta, _, raw []byte) (Object, error) {
	if err := checkSpec(rawjson.Member(raw, "target")); err != nil {
		return nil, err
	}
	return newWorkload(m, m.Labels, m.Annotations, new(wirePod)), nil
}

// decodeControllerRevision reads a revision of a StatefulSet or a DaemonSet. Its
// data is a strategic merge patch on the whole set, of whatever content, and the
// StatefulSet's controller makes pods of what comes of it (ApplyRevision in
// Kubernetes' pkg/controller/statefulset). Kubernetes itself writes the template
// there and nothing else, to take the place of the set's. Of any other patch
// nobody can tell what becomes of it without the set; it is named in Beyond.
//
// The controller reads the result with encoding/json, to which "HostNetwork" is
// as good as "hostNetwork": so is it here.
func decodeControllerRevision(m Meta, _, raw []byte) (Object, error) {
	var w struct {
		Data jsontext.Value `json:"data"`
	}
	if err := unmarshal(raw, &w); err != nil {
		return nil, fieldError("object", err)
	}
	template, beyond := templateOf(w.Data)
	var t wireTemplate
	if len(template) > 0 {
		err := jsonv2.Unmarshal(template, &t, jsontext.AllowInvalidUTF8(true), jsonv2.MatchCaseInsensitiveNames(true))
		if err != nil {
			t, beyond = wireTemplate{}, "data.spec.template cannot be read as one"
		}
	}
	o := newWorkload(m, t.Metadata.Labels, t.Metadata.Annotations, &t.Spec)
	o.Beyond = beyond
	return o, nil
}

// templateOf returns the template in a revision's data, and what else there is.
func templateOf(data jsontext.Value) (template jsontext.Value, beyond string) {
	if len(data) == 0 || data.Kind() == 'n' {
		return nil, ""
	}
	spec, beyond := onlyMember(data, "data", "spec")
	if beyond != "" {
		// Of what is no patch of Kubernetes' the template counts where there is one.
		spec = rawjson.Member(data, "spec")
		return rawjson.Member(spec, "template"), beyond
	}
	if template, beyond = onlyMember(spec, "data.spec", "template"); beyond != "" {
		return rawjson.Member(spec, "template"), beyond
	}
	if string(rawjson.Member(template, "$patch")) != `"replace"` {
		return template, `data.spec.template has no "$patch": "replace": it is merged with the set's own`
	}
	return template, ""
}

// onlyMember returns a member of an object, and what there is beside it.
func onlyMember(object jsontext.Value, path, name string) (value jsontext.Value, beyond string) {
	var members map[string]jsontext.Value
	if err := unmarshal(object, &members); err != nil {
		return nil, path + " is no object, or has a name twice"
	}
	for _, other := range slices.Sorted(maps.Keys(members)) {
		if other != name {
			const most = 63 // letters of a name that somebody made up
			return nil, fmt.Sprintf("%s has %q", path, other[:min(len(other), most)])
		}
	}
	value, ok := members[name]
	if !ok {
		return nil, fmt.Sprintf("%s has no %q", path, name)
	}
	return value, ""
}
