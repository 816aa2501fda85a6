package policies

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/sallyport-io/sallyport/rules"
)

// entryPoints are the partial sets that evaluation asks for.
var entryPoints = []string{"deny", "warn"}

// findingFields are the fields of an element of an entry point.
var findingFields = []string{"msg", "path", "fix"}

var (
	policiesRef = ast.MustParseRef("data.sallyport.policies")
	libRef      = ast.MustParseRef("data.sallyport.lib")
)

// identifier is what the last element of a policy's package may be: a name in
// Rego, so that data.sallyport.NAME can be written so.
var identifier = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

func entryRef(p *Policy, entry string) ast.Ref {
	return policiesRef.Append(ast.StringTerm(p.identifier)).Append(ast.StringTerm(entry))
}

// policies reads the metadata of every policy module, sorted by name, and
// checks what does not need the compiler. What could be read is returned with
// the error, so that the compiler's errors can be told together with it.
func (r *files) policies() ([]*Policy, error) {
	byName := map[string]*Policy{}
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(r.modules)) {
		module := r.modules[file]
		pkg := module.Package
		if pkg.Path.HasPrefix(libRef) {
			continue // functions that policies share
		}
		if len(pkg.Path) != len(policiesRef)+1 || !pkg.Path.HasPrefix(policiesRef) {
			errs = append(errs, at(pkg.Location, "the package is %s; a policy is in package sallyport.policies.NAME, shared functions in sallyport.lib.NAME", packageName(pkg)))
			continue
		}
		if name, _ := pkg.Path[len(policiesRef)].Value.(ast.String); !identifier.MatchString(string(name)) || name == "policies" || name == "lib" {
			errs = append(errs, at(pkg.Location, "%q is no name for a policy: use small letters, digits and single underscores, as in partner_hosts", string(name)))
			continue
		}
		p, err := policy(file, module)
		errs = append(errs, err)
		if isRule(p.Name) {
			errs = append(errs, at(pkg.Location, "policy %s has the name of a rule of Sallyport's own; choose another", p.Name))
			continue
		}
		if other := byName[p.Name]; other != nil {
			errs = append(errs, at(pkg.Location, "policy %s is defined in %s already; a policy is one module", p.Name, other.File))
			continue
		}
		byName[p.Name] = p
	}
	sorted := slices.SortedFunc(maps.Values(byName), func(a, b *Policy) int { return cmp.Compare(a.Name, b.Name) })
	return sorted, errors.Join(errs...)
}

func policy(file string, module *ast.Module) (*Policy, error) {
	identifier, _ := module.Package.Path[len(policiesRef)].Value.(ast.String)
	p := &Policy{
		Name:       RuleName(string(identifier)),
		Severity:   rules.Deny,
		Kinds:      []string{"ServiceEntry"},
		Operations: []string{"CREATE", "UPDATE"},
		File:       file,
		identifier: string(identifier),
		module:     file,
	}
	return p, errors.Join(p.readMetadata(module), checkEntryPoints(module))
}

// checkEntryPoints refuses a module whose findings evaluation would never see.
func checkEntryPoints(module *ast.Module) error {
	found := false
	var sets []string
	var errs []error
	for _, i := range module.Imports {
		if ast.RegoV2CompatibleRef.Equal(i.Path.Value) {
			errs = append(errs, at(i.Location, "policies are written in Rego v1: remove the import of rego.v2"))
		}
	}
	for _, rule := range module.Rules {
		name := string(rule.Head.Name)
		set := rule.Head.RuleKind() == ast.MultiValue && len(rule.Head.Ref()) == 1
		if slices.Contains(entryPoints, name) {
			found = true
			if !set || rule.Default {
				errs = append(errs, at(rule.Location, "%s must be a partial set: write %q", name, name+" contains {\"msg\": ...} if { ... }"))
			}
			continue
		}
		if !set {
			continue
		}
		sets = append(sets, name)
		near, ok := nearest(name, entryPoints)
		for _, entry := range entryPoints {
			if strings.HasPrefix(name, entry+"_") { // an entry point elsewhere (conftest), not here
				near, ok = entry, true
			}
		}
		if ok {
			errs = append(errs, at(rule.Location, "rule %s is not an entry point and would never be evaluated; did you mean %s? (rename it if it is a helper)", name, near))
		}
	}
	if !found && len(errs) == 0 {
		hint := ""
		if len(sets) > 0 {
			hint = "; it has " + strings.Join(slices.Compact(slices.Sorted(slices.Values(sets))), ", ")
		}
		errs = append(errs, at(module.Package.Location, "the module has neither deny nor warn, so it would never find anything%s", hint))
	}
	return errors.Join(errs...)
}

// checkElements refuses entry points whose elements, as far as the compiler
// can tell, are not findings. What it cannot tell is checked at evaluation.
func checkElements(c *ast.Compiler, policies []*Policy) error {
	var errs []error
	for _, p := range policies {
		for _, entry := range entryPoints {
			for _, rule := range c.GetRulesExact(entryRef(p, entry)) {
				if rule.Head.Key == nil {
					continue
				}
				if problem := elementProblem(c.TypeEnv.GetByRef(entryRef(p, entry))); problem != "" {
					errs = append(errs, at(rule.Location, "%s: an element is an object with msg and perhaps path and fix, all strings; %s", entry, problem))
					break
				}
			}
		}
	}
	return errors.Join(errs...)
}

func elementProblem(t types.Type) string {
	set, ok := t.(*types.Set)
	if !ok {
		return ""
	}
	alternatives := []types.Type{set.Of()}
	if anyOf, ok := alternatives[0].(types.Any); ok {
		alternatives = anyOf // empty where the compiler knows nothing
	}
	for _, alternative := range alternatives {
		object, ok := alternative.(*types.Object)
		if !ok {
			if a, ok := alternative.(types.Any); ok && len(a) == 0 {
				continue
			}
			return "this one is a " + alternative.String()
		}
		if object.DynamicProperties() != nil {
			continue
		}
		var keys []string
		for _, property := range object.StaticProperties() {
			key := fmt.Sprint(property.Key)
			keys = append(keys, key)
			if !slices.Contains(findingFields, key) {
				near, _ := nearest(key, findingFields)
				return fmt.Sprintf("this one has %q%s", key, didYouMean(near))
			}
			if types.Compare(property.Value, types.S) != 0 && types.Compare(property.Value, types.A) != 0 {
				if _, union := property.Value.(types.Any); !union {
					return fmt.Sprintf("this one's %s is a %s", key, property.Value)
				}
			}
		}
		if !slices.Contains(keys, "msg") {
			return "this one has no msg"
		}
	}
	return ""
}

func packageName(p *ast.Package) string { return strings.TrimPrefix(p.String(), "package ") }

// at is an error with the place in front.
func at(l *ast.Location, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", l.File, l.Row, fmt.Errorf(format, args...))
}
