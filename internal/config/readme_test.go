package config

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadme checks that README.md is what the comments of the package say.
// With -update it is written.
func TestReadme(t *testing.T) {
	got := readme(t)
	if *update {
		if err := os.WriteFile("README.md", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("README.md is stale; run go test ./internal/config -update (-want +got):\n%s", d)
	}
}

// TestEveryFieldIsDocumented requires a comment of every field, and a default
// of every optional one.
func TestEveryFieldIsDocumented(t *testing.T) {
	docs := fieldDocs(t)
	for _, typ := range documented {
		for f := range typ.Fields() {
			doc := docs[typ.Name()+"."+f.Name]
			if doc == "" {
				t.Errorf("%s.%s has no comment", typ.Name(), f.Name)
			}
			tag := f.Tag.Get("json")
			optional := strings.Contains(tag, ",omit")
			if optional != strings.Contains(doc, "\nDefault: ") {
				t.Errorf("%s.%s: optional %v, but its comment is %q", typ.Name(), f.Name, optional, doc)
			}
		}
	}
}

var documented = []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[Gateway](), reflect.TypeFor[Wildcard](), reflect.TypeFor[Credential](), reflect.TypeFor[Grant](), reflect.TypeFor[Issuer](), reflect.TypeFor[Ownership](), reflect.TypeFor[Owner](), reflect.TypeFor[InMesh](), reflect.TypeFor[MetadataException](), reflect.TypeFor[Ambient](), reflect.TypeFor[Policies](), reflect.TypeFor[Bundle](), reflect.TypeFor[Walls](), reflect.TypeFor[DNSService](), reflect.TypeFor[Destination](), reflect.TypeFor[Pods](), reflect.TypeFor[Server](), reflect.TypeFor[ClientCertificate](), reflect.TypeFor[Versions](), reflect.TypeFor[Limits]()}

func readme(t *testing.T) []byte {
	docs := fieldDocs(t)
	var b bytes.Buffer
	b.WriteString(`<!-- Generated from the comments of this package by "go test ./internal/config -update". Do not edit. -->

# Configuration file

One YAML file, the same for the server and the command line (` + "`--config FILE`" + `). It is read strictly: an unknown or repeated
field, a value of the wrong type or an impossible value stops the program with the file, the line, the field and the remedy.
This is the whole of the default configuration, which an absent file stands for:

` + "```yaml\n")
	b.WriteString(yamlOf(t, Default()))
	b.WriteString("```\n")
	for _, typ := range documented {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| field | type | meaning | default |\n|---|---|---|---|\n", typ.Name(), docs[typ.Name()])
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			doc, def, ok := strings.Cut(docs[typ.Name()+"."+f.Name], "\nDefault: ")
			if !ok {
				def = "required"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, typeDoc(f.Type), oneLine(doc), strings.TrimSuffix(oneLine(def), "."))
		}
	}
	return b.Bytes()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func typeDoc(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeDoc(t.Elem())
	case reflect.Slice:
		return "list of " + typeDoc(t.Elem())
	case reflect.Map:
		return "map of " + typeDoc(t.Elem())
	case reflect.Interface:
		return "anything"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "number"
	case reflect.Struct:
		return "[" + t.Name() + "](#" + strings.ToLower(t.Name()) + ")"
	}
	switch t {
	case reflect.TypeFor[Switch]():
		return "enabled or disabled"
	case reflect.TypeFor[Injection]():
		return "enabled, new or disabled"
	case reflect.TypeFor[Confinement]():
		return "enabled, staged or disabled"
	}
	return t.Kind().String()
}

// fieldDocs returns the comments of the package's types, by "Type" and
// "Type.Field".
func fieldDocs(t *testing.T) map[string]string {
	var decls []ast.Decl
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, file.Decls...)
	}
	docs := make(map[string]string)
	for _, decl := range decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			ts := spec.(*ast.TypeSpec)
			st, ok := ts.Type.(*ast.StructType)
			if !ok {
				continue
			}
			docs[ts.Name.Name] = strings.TrimSpace(gen.Doc.Text())
			for _, f := range st.Fields.List {
				docs[ts.Name.Name+"."+f.Names[0].Name] = strings.TrimSpace(f.Doc.Text())
			}
		}
	}
	return docs
}

// yamlOf prints a configuration in the order of its fields.
func yamlOf(t *testing.T, c *Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\ngateways:\n", c.APIVersion, c.Kind)
	for _, g := range c.Gateways {
		fmt.Fprintf(&b, "- name: %s\n  service: %s\n  selector:\n", g.Name, g.Service)
		for _, k := range slices.Sorted(maps.Keys(g.Selector)) {
			fmt.Fprintf(&b, "    %s: %s\n", k, g.Selector[k])
		}
		fmt.Fprintf(&b, "  mutualTLS: %v\n", *g.MutualTLS)
	}
	fmt.Fprintf(&b, "platformNamespaces: [%s]\n", strings.Join(c.PlatformNamespaces, ", "))
	fmt.Fprintf(&b, "injection: %s\nnetworkPolicy: %s\n", c.Injection, c.NetworkPolicy)
	fmt.Fprintf(&b, "walls: {form: %s, neighbours: %s, nodeLocalDNS: [%s]}\n",
		c.Walls.Form, c.Walls.Neighbours, strings.Join(c.Walls.NodeLocalDNS, ", "))
	fmt.Fprintf(&b, "authorization: %s\nistioNamespace: %s\nserviceAccount: %s\nownership: {labelGroups: [%s]}\n",
		c.Authorization, c.IstioNamespace, c.ServiceAccount, strings.Join(c.Ownership.LabelGroups, ", "))
	// What is printed must be a configuration, and this one.
	parsed, err := Parse("README.md", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, parsed); d != "" {
		t.Errorf("the printed configuration is another one (-want +got):\n%s", d)
	}
	return b.String()
}
