// Package policies holds the judgements that organisations make in Rego: the
// shipped library, and the loader that turns modules into [rules.Rule] values.
//
// A policy is a Rego v1 module in package sallyport.policies.NAME with a
// METADATA block and partial sets deny or warn (or both) of objects
// {"msg", "path"?, "fix"?}. Its parameters are data.sallyport.NAME, its input
// is described by input.schema.json. The generated README.md of this folder is
// the reference.
//
// The loader refuses what would be silently wrong: a misspelt deny, a field
// that the input does not have, a parameter that nobody declared. At run time
// a failing builtin is an error, never "allowed".
package policies

import (
	"embed"
	"io/fs"
	"strings"

	"github.com/sallyport-io/sallyport/rules"
)

//go:embed library
var library embed.FS

// Source is a set of policies: a folder of Rego modules (*.rego) and data
// files (data.yaml, data.json), read with all its subfolders.
type Source struct {
	// Name is the folder's name, for messages.
	Name string
	FS   fs.FS
	// OptIn is true where a policy is in force only when the configuration
	// gives it parameters. The shipped library is such a source.
	OptIn bool
}

// Library is the shipped library. Its policies sleep until the configuration
// has an entry for them under policies.parameters; {} will do where every
// parameter has a default.
func Library() Source {
	sub, err := fs.Sub(library, "library")
	if err != nil {
		panic(err) // the path is a constant that fs.ValidPath accepts
	}
	return Source{Name: "library", FS: sub, OptIn: true}
}

// Policy is one loaded policy and what its metadata says.
type Policy struct {
	// Name is the last element of the module's package with "-" for "_":
	// allowed-hosts for sallyport.policies.allowed_hosts. It is the name of
	// the policy's rule and of its entry under policies.parameters.
	Name        string
	Title       string
	Description string
	// Severity of the findings of deny, where no override says otherwise;
	// those of warn are warnings at most.
	Severity rules.Severity
	// Kinds that the policy judges; ServiceEntry when the metadata is silent.
	Kinds []string
	// Operations that the policy judges; CREATE and UPDATE when the metadata is silent.
	Operations []string
	Parameters []Parameter // sorted by name
	// Active is false for a policy of an opt-in source without parameters.
	Active bool
	// File is the module's file, with the source's name in front.
	File string

	identifier string         // the last element of the package
	values     map[string]any // the parameters in force, defaults included
	overrides  []override
	exceptions []exception
	module     string // key of the module in the compiler
}

// Parameter is one declared parameter of a policy.
type Parameter struct {
	Name        string
	Description string
	// Required is true for a parameter without default.
	Required bool
	Default  any
	Schema   map[string]any // JSON Schema of the value
}

// RuleName is the name of the policy in the package with that last element.
func RuleName(identifier string) string { return strings.ReplaceAll(identifier, "_", "-") }
