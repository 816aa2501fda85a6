package policies

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
)

// The templates do not end in .rego: they are no policies, and whoever loads
// the folder that they lie in is not to stumble over them.
//
//go:embed scaffold
var scaffold embed.FS

// policyName is what a policy may be called: its identifier is a name in
// Rego, its file and its rule have the same name.
var policyName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// Scaffold returns the files of a new policy that loads and passes its tests:
// a module, its tests and its sample, by path.
func Scaffold(name string) (map[string]string, error) {
	if !policyName.MatchString(name) {
		return nil, fmt.Errorf("%q is no name for a policy: use small letters, digits and single hyphens, as in partner-hosts", name)
	}
	if err := nameTaken(name); err != nil {
		return nil, err
	}
	identifier := strings.ReplaceAll(name, "-", "_")
	replace := strings.NewReplacer("IDENTIFIER", identifier, "NAME", name)
	files := map[string]string{}
	for _, suffix := range []string{".rego", "_test.rego", ".txtar"} {
		template, err := scaffold.ReadFile("scaffold/policy" + suffix + ".tmpl")
		if err != nil {
			return nil, fmt.Errorf("template of a policy: %w", err)
		}
		files[identifier+"/"+identifier+suffix] = replace.Replace(string(template))
	}
	return files, nil
}
