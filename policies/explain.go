package policies

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"
)

// explain turns errors of OPA's parser and compiler into one line each with
// file, line and, for a field that does not exist, the nearest one that does.
func explain(err error) error {
	list, ok := errors.AsType[ast.Errors](err)
	if !ok {
		return err
	}
	var errs []error
	for _, e := range list {
		if e.Location == nil {
			errs = append(errs, errors.New(e.Message))
			continue
		}
		errs = append(errs, at(e.Location, "%s", message(e)))
	}
	return errors.Join(errs...)
}

// generated are the names that the compiler gives to what has none.
var generated = regexp.MustCompile(`__local[0-9]+__`)

func message(e *ast.Error) string { return generated.ReplaceAllString(plainMessage(e), "_") }

func plainMessage(e *ast.Error) string {
	switch d := e.Details.(type) {
	case *ast.RefErrInvalidDetail:
		names := make([]string, 0, len(d.OneOf))
		for _, v := range d.OneOf {
			if s, ok := v.(ast.String); ok {
				names = append(names, string(s))
			}
		}
		have := strings.Trim(d.Ref[d.Pos].String(), `"`)
		if len(names) == 0 {
			return fmt.Sprintf("%s: no such field: %s", d.Ref, have)
		}
		if near, ok := nearest(have, names); ok {
			return fmt.Sprintf("%s: no such field: %s%s", d.Ref, have, didYouMean(near))
		}
		slices.Sort(names)
		return fmt.Sprintf("%s: no such field: %s; there are %s", d.Ref, have, strings.Join(slices.Compact(names), ", "))
	case *ast.RefErrUnsupportedDetail:
		return fmt.Sprintf("%s: %s has no fields, it is a %s", d.Ref, d.Ref[:d.Pos+1], d.Have)
	}
	if name, ok := strings.CutPrefix(e.Message, "var "); ok {
		if name, ok := strings.CutSuffix(name, " is unsafe"); ok {
			return name + " is not defined: nothing in the rule gives it a value (is it a slip of another name?)"
		}
	}
	if name, ok := strings.CutPrefix(e.Message, "undefined function "); ok && !slices.ContainsFunc(capabilities().Builtins, func(b *ast.Builtin) bool { return b.Name == name }) {
		if _, exists := ast.BuiltinMap[name]; exists {
			return fmt.Sprintf("%s is not available to policies: they have no network, environment, randomness or clock (the time is input.time)", name)
		}
	}
	return e.Message
}

// nearest returns the candidate that differs least from name, where the
// difference looks like a slip of the hand.
func nearest(name string, candidates []string) (string, bool) {
	best, distance := "", min(len(name)/2, 3)+1
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	return best, best != ""
}

func didYouMean(near string) string {
	if near == "" {
		return ""
	}
	return "; did you mean " + near + "?"
}
