package rules

import (
	"context"
	"encoding/json"
	"fmt"
)

var proxyConfig = &Rule{
	Name: "proxy-config",
	Doc: `a tenant's ProxyConfig sizes the proxy, no more

environmentVariables reach into the proxy's bootstrap (interception, tracing and
discovery endpoints), and image chooses another proxy. Tenants may set
concurrency.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Leave the field out, or ask the platform team for a ProxyConfig of its own.",
	Rows:     []string{"B-E3"},
	Kinds:    []string{"ProxyConfig"},
	Check: func(_ context.Context, p *Pass) error {
		var object struct {
			Spec struct {
				EnvironmentVariables map[string]any  `json:"environmentVariables"`
				Image                json.RawMessage `json:"image"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(p.Raw, &object); err != nil {
			return err
		}
		if len(object.Spec.EnvironmentVariables) > 0 {
			p.Report(Finding{
				Path: "spec.environmentVariables", Told: "environment variables change how the proxy starts and what it captures",
				About: fmt.Sprint(object.Spec.EnvironmentVariables),
			})
		}
		if len(object.Spec.Image) > 0 && string(object.Spec.Image) != "null" {
			p.Report(Finding{Path: "spec.image", Told: "the image of the proxy is the platform's choice", About: string(object.Spec.Image)})
		}
		return nil
	},
}
