package policies

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// Style returns what is wrong with the policies of a source beside their
// meaning: modules that are not formatted as "opa fmt" does, files not named
// after their policy, and policies without tests or without a sample. The
// source must have been loaded as s.
func (s *Set) Style(src Source) error {
	var errs []error
	err := fs.WalkDir(src.FS, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".rego" {
			return err
		}
		content, err := fs.ReadFile(src.FS, file)
		if err != nil {
			return err
		}
		name := path.Join(src.Name, file)
		formatted, err := format.SourceWithOpts(name, content, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			return err
		}
		if line, ok := firstDifference(content, formatted); ok {
			errs = append(errs, fmt.Errorf("%s:%d: not formatted: run opa fmt --write", name, line))
		}
		return nil
	})
	errs = append(errs, err)
	for _, p := range s.Policies {
		file, ok := strings.CutPrefix(p.File, src.Name+"/")
		if !ok {
			continue
		}
		if want := p.identifier + ".rego"; path.Base(file) != want {
			errs = append(errs, fmt.Errorf("%s:1: the file of policy %s is to be called %s", p.File, p.Name, want))
			continue
		}
		base := strings.TrimSuffix(file, ".rego")
		for _, beside := range []struct{ file, what string }{{base + "_test.rego", "tests"}, {base + ".txtar", "sample"}} {
			if _, err := fs.Stat(src.FS, beside.file); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("%s:1: the policy has no %s: add %s", p.File, beside.what, path.Join(src.Name, beside.file)))
			}
		}
	}
	return errors.Join(errs...)
}

// firstDifference returns the number of the first line in which a and b differ.
func firstDifference(a, b []byte) (int, bool) {
	if bytes.Equal(a, b) {
		return 0, false
	}
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !slices.Equal(x[i], y[i]) {
			return i + 1, true
		}
	}
	return min(len(x), len(y)), true
}
