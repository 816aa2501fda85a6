package reconcile

import (
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestTakes: only a change of what is taken of an approved gateway's ports puts
// every host on the queue; any tenant may write Gateways.
func TestTakes(t *testing.T) {
	gateway := func(label, host, version string) mesh.Object {
		g := &mesh.Gateway{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Gateway", Namespace: "shop", Name: "own"}, ResourceVersion: version}}
		if label != "" {
			g.Selector = map[string]string{"istio": label}
		}
		g.Servers = []mesh.Server{{Port: mesh.ServerPort{Number: 443, Protocol: "TLS"}, Hosts: []string{host}, TLS: &mesh.ServerTLS{Mode: "PASSTHROUGH"}}}
		return g
	}
	more := gateway("egressgateway", "a.com", "2").(*mesh.Gateway)
	more.Selector["tier"] = "edge"
	for name, tt := range map[string]struct {
		old, new mesh.Object
		want     bool
	}{
		"a tenant's, new":          {nil, gateway("ingressgateway", "*", "1"), false},
		"a tenant's, changed":      {gateway("ingressgateway", "*", "1"), gateway("ingressgateway", "a.com", "2"), false},
		"a tenant's, gone":         {gateway("ingressgateway", "*", "1"), nil, false},
		"the egress gateway's":     {nil, gateway("egressgateway", "a.com", "1"), true},
		"that, with other labels":  {gateway("egressgateway", "a.com", "1"), gateway("egressgateway", "a.com", "2"), false},
		"that, with another host":  {gateway("egressgateway", "a.com", "1"), gateway("egressgateway", "b.com", "2"), true},
		"that, gone":               {gateway("egressgateway", "a.com", "1"), nil, true},
		"one that turns to it":     {gateway("ingressgateway", "a.com", "1"), gateway("egressgateway", "a.com", "2"), true},
		"one that turns from it":   {gateway("egressgateway", "a.com", "1"), gateway("ingressgateway", "a.com", "2"), true},
		"one that narrows from it": {gateway("egressgateway", "a.com", "1"), more, true},
		"one with labels of its own that the configuration does not list": {nil, more, true},
		"that of every gateway": {nil, gateway("", "a.com", "1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := takes(mesh.DefaultSettings(), tt.old, tt.new); got != tt.want {
				t.Errorf("every host is concerned: %t, want %t", got, tt.want)
			}
		})
	}
}
