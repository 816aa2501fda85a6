package policies

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/rules"
)

// readingRules are the rules of findings that come from reading files and not
// from judging objects (internal/report).
var readingRules = []string{"absent-namespace", "harmless-kind", "legacy-form", "unknown-kind", "wrapper"}

// isRule reports whether a name is that of a rule in Go: whoever reads a
// finding, or makes an exception, must not take one for the other.
func isRule(name string) bool {
	return slices.Contains(readingRules, name) || slices.ContainsFunc(rules.All, func(r *rules.Rule) bool { return r.Name == name })
}

// libraryFiles are the modules of the library by the names of their policies.
func libraryFiles() map[string]string {
	files := map[string]string{}
	source := Library()
	// The walk cannot fail: the files are part of the program.
	_ = fs.WalkDir(source.FS, ".", func(file string, _ fs.DirEntry, _ error) error {
		if identifier, ok := strings.CutSuffix(path.Base(file), ".rego"); ok && !strings.HasSuffix(identifier, "_test") {
			files[RuleName(identifier)] = path.Join(source.Name, file)
		}
		return nil
	})
	return files
}

// BesideLibrary returns what keeps the set from being loaded together with the
// shipped library, as every judge does: policies with the name of one of the
// library's. A set with all of them is the library itself, and is in order.
func (s *Set) BesideLibrary() error {
	library := libraryFiles()
	var errs []error
	for _, p := range s.Policies {
		if file, ok := library[p.Name]; ok {
			errs = append(errs, at(s.modules[p.module].Package.Location, "policy %s is defined in %s already; choose another name", p.Name, file))
		}
	}
	if len(errs) == len(library) {
		return nil
	}
	return errors.Join(errs...)
}

// nameTaken says why a new policy may not have that name.
func nameTaken(name string) error {
	if isRule(name) {
		return fmt.Errorf("%s is a rule of Sallyport's own: choose another name", name)
	}
	if file, ok := libraryFiles()[name]; ok {
		return fmt.Errorf("%s is a policy of the shipped library (%s): choose another name, or give that policy parameters in the configuration", name, file)
	}
	return nil
}
