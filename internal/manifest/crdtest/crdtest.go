// Package crdtest judges objects by Istio's own CustomResourceDefinitions, as
// an API server does, without one. It is for tests.
package crdtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Server stands for an API server with Istio's definitions.
type Server struct {
	t       testing.TB
	schemas map[string]*apiextensionsv1.JSONSchemaProps // by "group/version kind"
	known   map[string]*validator                       // compiled when first needed
}

type validator struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

// New reads the definitions of the istio.io/api module in go.mod.
func New(t testing.TB) *Server {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, schemas: map[string]*apiextensionsv1.JSONSchemaProps{}, known: map[string]*validator{}}
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := dec.Decode(&crd); errors.Is(err, io.EOF) {
			return s
		} else if err != nil {
			t.Fatal(err)
		}
		for _, v := range crd.Spec.Versions {
			s.schemas[key(crd.Spec.Group+"/"+v.Name, crd.Spec.Names.Kind)] = v.Schema.OpenAPIV3Schema
		}
	}
}

func key(apiVersion, kind string) string { return apiVersion + " " + kind }

// Knows reports whether the kind is Istio's, in a version that is served.
func (s *Server) Knows(apiVersion, kind string) bool { return s.schemas[key(apiVersion, kind)] != nil }

// Refuses returns why the server would refuse the object, which it must know:
// unknown fields (as kubectl asks it to), schema and validation rules.
func (s *Server) Refuses(apiVersion, kind string, raw []byte) error {
	s.t.Helper()
	v := s.validator(key(apiVersion, kind))
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		return err
	}
	var pruned map[string]any
	if err := json.Unmarshal(raw, &pruned); err != nil {
		return err
	}
	unknown := pruning.PruneWithOptions(pruned, v.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		return fmt.Errorf("unknown fields: %s", strings.Join(unknown, ", "))
	}
	// As the server does before it looks: where null is no value, it is none.
	defaulting.PruneNonNullableNullsWithoutDefaults(content, v.structural)
	errs := validation.ValidateCustomResource(nil, content, v.schema)
	errs = append(errs, listtype.ValidateListSetsAndMaps(field.NewPath("object"), v.structural, content)...)
	if len(errs) == 0 {
		ruleErrs, _ := v.rules.Validate(s.t.Context(), field.NewPath("object"), v.structural, content, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, ruleErrs...)
	}
	return errs.ToAggregate()
}

func (s *Server) validator(key string) *validator {
	s.t.Helper()
	if v := s.known[key]; v != nil {
		return v
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(s.schemas[key], &internal, nil); err != nil {
		s.t.Fatalf("%s: %v", key, err)
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		s.t.Fatalf("%s: %v", key, err)
	}
	sv, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		s.t.Fatalf("%s: %v", key, err)
	}
	v := &validator{structural, sv, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	s.known[key] = v
	return v
}
