package mesh

import (
	"fmt"
	"slices"
)

// byProxy are the outcomes of traffic that asks an explicit proxy of the client's. What
// leaves there directly is its opener's doing: no rule for the port of a host holds.
func (c *client) byProxy(l *listener, outcomes []outcome) []outcome {
	for i := range outcomes {
		o := &outcomes[i]
		if o.verdict != Direct || o.passed {
			continue
		}
		if o.passed = true; !c.terse {
			o.because = append([]Reason{c.proxyReason(l)}, o.because...)
		}
	}
	return outcomes
}

// proxyReason is what opens the explicit proxy that a listener is.
func (c *client) proxyReason(l *listener) Reason {
	if l.egress == nil || l.egress.Port == nil {
		return Reason{Ref: c.m.settings.MeshConfig, Path: "data.mesh"}.with("proxyHttpPort makes every sidecar an HTTP proxy, where no rule for the port of a host holds")
	}
	at := slices.IndexFunc(c.sidecar.Egress, func(e EgressListener) bool { return e.Port == l.egress.Port })
	return Reason{Ref: c.sidecar.Ref, Path: fmt.Sprintf("spec.egress[%d].port", at)}.with("the listener is an explicit proxy, where no rule for the port of a host holds")
}
