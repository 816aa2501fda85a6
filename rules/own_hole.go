package rules

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// ofHole reports whether a direct path is the doing of the subject, which opens it for
// whatever host there is: a namespace in ambient mode, a Sidecar, a mesh configuration.
// All of those are one hole, and one finding.
func ofHole(p *Pass, path mesh.Path) bool {
	if !path.Passed || path.Verdict != mesh.Direct || p.Deleting() {
		return false
	}
	switch s := p.Subject.(type) {
	case *mesh.Namespace:
		return s.Name == path.Client && s.Ambient()
	case *mesh.Sidecar:
		return slices.ContainsFunc(path.Because, func(r mesh.Reason) bool { return r.Ref == s.Ref })
	case *mesh.IstioConfig:
		return true
	default:
		return false
	}
}

// judgeHole says how grave it is that the subject opens a path by itself, "" where its
// own rule says so, or nothing changes.
func judgeHole(p *Pass, path mesh.Path, before mesh.Verdict) (Severity, told.Text) {
	opens := p.Batch == nil && before == mesh.Via
	switch s := p.Subject.(type) {
	case *mesh.Namespace:
		if opens && p.Old != nil {
			return Deny, ""
		}
		return Warn, "" // its pods are to come, and no order of writes is better than another
	case *mesh.Sidecar:
		// The listener of an explicit proxy, not that there is none for a port.
		proxied := path.Because[0].Ref == s.Ref && strings.HasPrefix(path.Because[0].Path, "spec.egress[")
		switch {
		case opensOutbound(p.After, s), proxied && !p.Platform():
			return "", "" // sidecar-outbound denies it
		case proxied && p.Batch != nil:
			return Deny, ""
		}
	case *mesh.IstioConfig:
		if p.After.Settings().AllowAny || p.After.Settings().ProxyHTTPPort != 0 {
			return "", "" // mesh-config says so
		}
	}
	if opens {
		return Deny, ""
	}
	return "", ""
}

// ztunnelFinding tells a namespace in ambient mode that what others register is
// reached past them. No entry of theirs is to blame, nor any that they add.
func ztunnelFinding(ns *mesh.Namespace, severity Severity) Finding {
	return Finding{
		Path:     "metadata.labels",
		Severity: severity,
		Told:     "ztunnel lets the pods of this namespace out to hosts that others register: it asks for no exportTo and no VirtualService",
		ToldFix:  told.F("Wall the namespace in: kubectl label namespace %s %s=enabled --overwrite\n", told.Namespace(ns.Name), told.Plain(mesh.NetworkPolicyLabel)),
	}
}
