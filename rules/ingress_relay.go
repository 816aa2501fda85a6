package rules

import (
	"encoding/json"
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var ingressRelay = &Rule{
	Name: "ingress-relay",
	Doc: `only egress gateways lead out of the mesh

A VirtualService that is bound to another gateway, and an Ingress whose backend
is an ExternalName Service, let a pod leave by the ingress gateway: pod to
ingress, ingress to the Internet. Whether the gateway takes traffic from inside
no object tells; the NetworkPolicy that Sallyport keeps does not let pods reach
it.`,
	Severity: Warn,
	Rows:     []string{"V-18", "W-3"},
	Kinds:    []string{"Ingress", "VirtualService"},
	Check: Each(
		On(func(p *Pass, vs *mesh.VirtualService) {
			if p.Deleting() {
				return
			}
			for _, d := range p.destinations(vs) {
				if d.dropped {
					continue
				}
				host, external := externalHost(p.After, d.Host, vs.Namespace)
				if !external {
					continue
				}
				for _, name := range d.gateways {
					gw := boundGateway(p.After, name, vs.Namespace)
					if gw == nil || selectsEgress(p.After, gw.Selector) != nil {
						continue
					}
					p.Report(Finding{
						Path:    d.path,
						Message: fmt.Sprintf("lets %s, which is not an egress gateway, send traffic to external host %q", gw.Ref, host),
					})
				}
			}
		}),
		On(func(p *Pass, o *mesh.Other) {
			if p.Deleting() || o.Kind != "Ingress" {
				return
			}
			for path, name := range backends(p.Raw) {
				svc, _ := p.After.Get(mesh.Ref{Kind: "Service", Namespace: o.Namespace, Name: name}).(*mesh.Service)
				if svc == nil || svc.Type != "ExternalName" {
					continue
				}
				if host, external := externalHost(p.After, svc.ExternalName, o.Namespace); external {
					p.Report(Finding{
						Path:    path,
						Message: fmt.Sprintf("backend %q is an ExternalName Service for %q: the ingress gateway becomes a way out", name, host),
					})
				}
			}
		}),
	),
}

// backends returns the Services that an Ingress sends traffic to, by JSON
// path.
func backends(raw []byte) map[string]string {
	type backend struct {
		Service *struct {
			Name string `json:"name"`
		} `json:"service"`
	}
	var ingress struct {
		Spec struct {
			DefaultBackend *backend `json:"defaultBackend"`
			Rules          []struct {
				HTTP *struct {
					Paths []struct {
						Backend backend `json:"backend"`
					} `json:"paths"`
				} `json:"http"`
			} `json:"rules"`
		} `json:"spec"`
	}
	if json.Unmarshal(raw, &ingress) != nil {
		return nil // the API server would not have let it through
	}
	found := map[string]string{}
	if b := ingress.Spec.DefaultBackend; b != nil && b.Service != nil {
		found["spec.defaultBackend.service.name"] = b.Service.Name
	}
	for i, r := range ingress.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for j, path := range r.HTTP.Paths {
			if path.Backend.Service != nil {
				found[fmt.Sprintf("spec.rules[%d].http.paths[%d].backend.service.name", i, j)] = path.Backend.Service.Name
			}
		}
	}
	return found
}
