package rules

import (
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
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
	patch, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil
	}
	merged, err := jsonpatch.MergePatch(raw, patch)
	if err != nil {
		return nil
	}
	o, err := mesh.Decode(merged)
	if err != nil {
		return nil
	}
	return []Applied{{o, merged}}
}

// What a pass prints of whole objects: nobody reads more of them, and each costs what
// it is long.
const (
	mostChanged  = 8        // findings that come with one
	longestFixes = 64 << 10 // bytes of JSON, of all of them
	stepsPerByte = 12       // to write JSON as YAML
)

// changed adds to words the object as somebody has written it, with a change that ends
// a finding until what the words say is done. It is no more than the words where the
// object is not at hand, has nothing to change, or where enough objects are printed.
func (p *Pass) changed(ref mesh.Ref, words told.Text, change func(map[string]any) bool) told.Text {
	if p.Written == nil {
		return words
	}
	size := len(p.Written(ref))
	if p.wholes++; p.wholes > mostChanged || p.wholeBytes+size > longestFixes {
		return words
	}
	p.wholeBytes += size
	p.Spend(size * stepsPerByte)
	o := p.written(ref)
	if o == nil || !change(o) {
		return words
	}
	return "# " + words + "# Until then, without what is wrong:\n" + ref.Tell().Telling(document(o).Without("---\n")).Text()
}
