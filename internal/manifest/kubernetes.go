package manifest

import (
	"regexp"
	"strings"

	"sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/schema"
)

var (
	unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)
	wrongType    = regexp.MustCompile(`^json: cannot unmarshal (\S+) into Go struct field \w+\.(\S+) of type (\S+)$`)
)

// goObject checks an object against its Go type, as strictly as kubectl's
// --validate=strict does with the server's help.
func (c *checker) goObject(o *Object) {
	typed, ok := schema.Go(o.APIVersion, o.Kind)
	if !ok {
		return
	}
	unknown, err := json.UnmarshalStrict(o.root.json(), typed)
	if err != nil {
		path, message := "", strings.TrimPrefix(err.Error(), "json: ")
		if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
			path, message = m[2], "cannot be a "+m[1]+": it takes "+m[3]
		}
		c.errorf(o.LineOf(path), path, "%s", message)
	}
	if c.stored {
		return
	}
	for _, u := range unknown {
		if m := unknownField.FindStringSubmatch(u.Error()); m != nil {
			c.unknownIn(o, m[1])
			continue
		}
		c.errorf(o.Line, "", "%v", u)
	}
}
