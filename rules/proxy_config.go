package rules

import (
	"context"
	"encoding/json"
)

var proxyConfig = &Rule{
	Name: "proxy-config",
	Doc: `a tenant's ProxyConfig sizes the proxy, no more

environmentVariables reach into the proxy's bootstrap (interception, tracing and
discovery endpoints), and image chooses another proxy. Tenants may set
concurrency.`,
	Severity: Deny,
	Rows:     []string{"B-E3"},
	Kinds:    []string{"ProxyConfig"},
	Check: func(_ context.Context, p *Pass) error {
		if !p.ByTenant() {
			return nil
		}
		var object struct {
			Spec struct {
				EnvironmentVariables map[string]any `json:"environmentVariables"`
				Image                any            `json:"image"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(p.Raw, &object); err != nil {
			return err
		}
		if len(object.Spec.EnvironmentVariables) > 0 {
			p.Reportf("spec.environmentVariables", "environment variables change how the proxy starts and what it captures")
		}
		if object.Spec.Image != nil {
			p.Reportf("spec.image", "the image of the proxy is the platform's choice")
		}
		return nil
	},
}
