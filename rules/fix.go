package rules

import (
	"encoding/json"
	"maps"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Fixed are the objects that the fix of a finding makes, in the order in which they
// are to be applied. A fix has one of three forms: whole objects, as documents of
// YAML; what is to be merged into the object that was found wrong, whose JSON is raw,
// as a merge patch (RFC 7396) that begins with "spec:" or "metadata:"; or words, which
// make none.
func Fixed(fix string, raw []byte) []Applied {
	text := Bare(fix)
	switch {
	case strings.Contains("\n"+text, "\napiVersion:"):
		return applied(text)
	case strings.HasPrefix(text, "spec:\n"), strings.HasPrefix(text, "metadata:\n"):
	default:
		return nil
	}
	var patch, object map[string]any
	if yaml.Unmarshal([]byte(text), &patch) != nil || json.Unmarshal(raw, &object) != nil {
		return nil
	}
	merged, err := json.Marshal(merge(object, patch))
	if err != nil {
		return nil
	}
	o, err := mesh.Decode(merged)
	if err != nil {
		return nil
	}
	return []Applied{{o, merged}}
}

// merge is JSON Merge Patch.
func merge(into, patch map[string]any) map[string]any {
	out := maps.Clone(into)
	if out == nil {
		out = map[string]any{}
	}
	for field, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(out, field)
		case map[string]any:
			was, _ := out[field].(map[string]any)
			out[field] = merge(was, value)
		default:
			out[field] = value
		}
	}
	return out
}

// mostChanged is how many findings of a pass come with a whole object: nobody reads
// more of them, and each costs what the object is long.
const mostChanged = 8

// changed adds to words the object as somebody has written it, with a change that ends
// a finding until what the words say is done. It is no more than the words where the
// object is not at hand, has nothing to change, or stands in enough findings.
func (p *Pass) changed(ref mesh.Ref, words told.Text, change func(map[string]any) bool) told.Text {
	if p.wholes++; p.wholes > mostChanged {
		return words
	}
	o := p.written(ref)
	if o == nil || !change(o) {
		return words
	}
	return "# " + words + "# Until then, without what is wrong:\n" + ref.Tell().Telling(document(o).Without("---\n")).Text()
}
