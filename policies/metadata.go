package policies

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// readMetadata reads the package's METADATA block.
func (p *Policy) readMetadata(module *ast.Module) error {
	i := slices.IndexFunc(module.Annotations, func(a *ast.Annotations) bool { return a.Scope == "package" })
	if i < 0 {
		return at(module.Package.Location, "the package has no METADATA block with title and description")
	}
	a := module.Annotations[i]
	p.Title, p.Description = a.Title, a.Description
	var errs []error
	if p.Title == "" || p.Description == "" {
		errs = append(errs, at(a.Location, "METADATA must have title and description"))
	}
	for _, key := range slices.Sorted(maps.Keys(a.Custom)) {
		value := a.Custom[key]
		var err error
		switch key {
		case "severity":
			p.Severity, err = severity(value)
		case "kinds":
			p.Kinds, err = stringList(value, allKinds)
		case "operations":
			p.Operations, err = stringList(value, []string{"CREATE", "UPDATE", "DELETE"})
		case "parameters":
			p.Parameters, err = readParameters(value)
		default:
			near, _ := nearest(key, []string{"severity", "kinds", "operations", "parameters"})
			err = fmt.Errorf("unknown%s", didYouMean(near))
		}
		if err != nil {
			errs = append(errs, at(a.Location, "METADATA: custom.%s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

func stringList(value any, known []string) ([]string, error) {
	list, _ := value.([]any)
	var out []string
	for _, v := range list {
		s, _ := v.(string)
		if !slices.Contains(known, s) {
			near, _ := nearest(s, known)
			return nil, fmt.Errorf("unknown value %v%s", v, didYouMean(near))
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, errors.New("must be a list that is not empty")
	}
	return out, nil
}

// readParameters reads custom.parameters: for each parameter a JSON Schema of
// its value, with a description and, unless it is required, a default.
func readParameters(value any) ([]Parameter, error) {
	declared, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("must map each parameter to the JSON Schema of its value")
	}
	var out []Parameter
	for name, v := range declared {
		schema, ok := v.(map[string]any)
		if !ok || schema["type"] == nil {
			return nil, fmt.Errorf("%s must be a JSON Schema with type and description", name)
		}
		if slices.Contains(commonParameters, name) {
			return nil, fmt.Errorf("%s is a parameter of every policy and cannot be declared", name)
		}
		description, _ := schema["description"].(string)
		if description == "" {
			return nil, fmt.Errorf("%s has no description", name)
		}
		def, optional := schema["default"]
		out = append(out, Parameter{Name: name, Description: description, Required: !optional, Default: def, Schema: schema})
	}
	slices.SortFunc(out, func(a, b Parameter) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// allKinds are the kinds that a policy can judge: those of the model.
var allKinds = []string{
	"DestinationRule", "EndpointSlice", "EnvoyFilter", "GRPCRoute", "Gateway", "HTTPRoute", "K8sGateway",
	"Namespace", "NetworkPolicy", "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob",
	"Service", "ServiceEntry", "Sidecar", "TCPRoute", "TLSRoute", "VirtualService", "WorkloadEntry", "WorkloadGroup",
}
