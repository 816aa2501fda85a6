package policies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/rules"
)

// deadline bounds the evaluation of one policy for one write. A policy that
// takes longer could not judge, which is an error.
const deadline = time.Second

// Set is a complete, compiled set of policies. It is immutable and safe for
// concurrent use.
type Set struct {
	// Policies are all policies of the sources by name, the inactive ones too.
	Policies []Policy
	// Rules has one rule for each active policy, by name.
	Rules []*rules.Rule
	// Revision identifies modules and parameters: equal sets have equal revisions.
	Revision string

	compiler *ast.Compiler
	store    storage.Store
	queries  *queries
	modules  map[string]*ast.Module // as parsed, without the tests
	tests    map[string]*ast.Module // the _test.rego files
}

// Load reads, checks and compiles the policies of the sources. The keys of
// parameters are names of policies, the values objects with the policy's
// parameters; they win over data files of the sources, which win over the
// defaults of the policy's metadata.
//
// The error lists everything that is wrong, each with file and line where
// there is one.
func Load(ctx context.Context, parameters map[string]any, sources ...Source) (*Set, error) {
	r, err := read(sources)
	if err != nil {
		return nil, err
	}
	policies, err := r.policies()
	compiler, compileErr := compile(policies, r.modules)
	if err := errors.Join(err, compileErr); err != nil {
		return nil, err
	}
	if err := checkElements(compiler, policies); err != nil {
		return nil, err
	}
	if err := configure(ctx, policies, r.data, parameters, r.optIn); err != nil {
		return nil, err
	}
	s := &Set{compiler: compiler, modules: r.modules, tests: r.tests}
	for _, p := range policies {
		s.Policies = append(s.Policies, *p)
	}
	data, err := baseData(policies)
	if err != nil {
		return nil, err
	}
	s.store = inmem.NewFromObjectWithOpts(data, inmem.OptRoundTripOnWrite(false), inmem.OptReturnASTValuesOnRead(true))
	value, err := ast.InterfaceToValue(data)
	if err != nil {
		return nil, fmt.Errorf("parameters of policies: %w", err)
	}
	if s.queries, err = s.prepareAll(ctx, value); err != nil {
		return nil, err
	}
	s.Rules = s.rules(s.ask)
	s.Revision, err = revision(r.modules, policies)
	return s, err
}

// files is what the sources hold.
type files struct {
	modules map[string]*ast.Module // by "source/path"
	tests   map[string]*ast.Module
	data    map[string]map[string]any // parameters in data files, by policy identifier
	optIn   map[string]bool           // modules of opt-in sources
}

// read parses every module and data file. Hidden files and folders are
// skipped: a mounted ConfigMap keeps its versions in folders named "..".
func read(sources []Source) (*files, error) {
	r := &files{
		modules: map[string]*ast.Module{},
		tests:   map[string]*ast.Module{},
		data:    map[string]map[string]any{},
		optIn:   map[string]bool{},
	}
	var errs []error
	for _, src := range sources {
		err := fs.WalkDir(src.FS, ".", func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return fmt.Errorf("read policies of %s: %w", src.Name, err)
			case file != "." && strings.HasPrefix(d.Name(), "."):
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case d.IsDir():
				return nil
			}
			errs = append(errs, r.file(src, file))
			return nil
		})
		errs = append(errs, err)
	}
	return r, errors.Join(errs...)
}

func (r *files) file(src Source, file string) error {
	name := path.Join(src.Name, file)
	isData := slices.Contains([]string{"data.json", "data.yaml", "data.yml"}, path.Base(file))
	if path.Ext(file) != ".rego" && !isData {
		return nil
	}
	content, err := fs.ReadFile(src.FS, file)
	if err != nil {
		return fmt.Errorf("read policies of %s: %w", src.Name, err)
	}
	if isData {
		return r.dataFile(name, content)
	}
	module, err := ast.ParseModuleWithOpts(name, string(content), ast.ParserOptions{
		RegoVersion:       ast.RegoV1,
		ProcessAnnotation: true,
		Capabilities:      capabilities(),
	})
	if err != nil {
		return explain(err)
	}
	into := r.modules
	if strings.HasSuffix(file, "_test.rego") {
		into = r.tests
	}
	if _, ok := into[name]; ok {
		return fmt.Errorf("%s: two sources of policies have this name; give each folder once", name)
	}
	into[name] = module
	r.optIn[name] = src.OptIn
	return nil
}

// dataFile adds the parameters of a data file. It holds them where a policy
// finds them: under sallyport, then the policy's identifier.
func (r *files) dataFile(name string, content []byte) error {
	var doc struct {
		Sallyport map[string]map[string]any `json:"sallyport"`
	}
	if err := yaml.UnmarshalStrict(content, &doc); err != nil {
		return fmt.Errorf("%s: a data file is {sallyport: {NAME: {PARAMETER: VALUE}}}: %w", name, err)
	}
	for policy, values := range doc.Sallyport {
		for parameter, value := range values {
			if _, ok := r.data[policy][parameter]; ok {
				return fmt.Errorf("%s: sallyport.%s.%s is set by another data file already", name, policy, parameter)
			}
			if r.data[policy] == nil {
				r.data[policy] = map[string]any{}
			}
			r.data[policy][parameter] = value
		}
	}
	return nil
}

// compile compiles all modules as one program, with the schema of the input
// and of each policy's parameters.
func compile(policies []*Policy, modules map[string]*ast.Module) (*ast.Compiler, error) {
	schemas, err := schemas(policies)
	if err != nil {
		return nil, err
	}
	c := ast.NewCompiler().
		WithDefaultRegoVersion(ast.RegoV1).
		WithCapabilities(capabilities()).
		WithSchemas(schemas).
		WithUseTypeCheckAnnotations(true).
		WithStrict(true)
	annotated := maps.Clone(modules)
	for _, p := range policies {
		annotated[p.module] = withSchemas(annotated[p.module], p)
	}
	c.Compile(annotated)
	if c.Failed() {
		return nil, explain(c.Errors)
	}
	return c, nil
}

// baseData is what policies read under data: the parameters of each.
func baseData(policies []*Policy) (map[string]any, error) {
	parameters := map[string]any{}
	for _, p := range policies {
		parameters[p.identifier] = p.values
	}
	// One round trip makes plain JSON of whatever a decoder produced, which is
	// what OptRoundTripOnWrite(false) asks of its caller.
	raw, err := json.Marshal(map[string]any{"sallyport": parameters})
	if err != nil {
		return nil, fmt.Errorf("parameters of policies: %w", err)
	}
	var data map[string]any
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, fmt.Errorf("parameters of policies: %w", err)
	}
	return data, nil
}

// revision hashes the modules and the parameters of the active policies.
func revision(modules map[string]*ast.Module, policies []*Policy) (string, error) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		fmt.Fprintf(h, "%s\n%s\n", name, modules[name])
	}
	for _, p := range policies {
		values, err := json.Marshal(p.values)
		if err != nil {
			return "", fmt.Errorf("parameters of policy %s: %w", p.Name, err)
		}
		fmt.Fprintf(h, "%s %t %s\n", p.Name, p.Active, values)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
