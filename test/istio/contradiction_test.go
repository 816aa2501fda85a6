package istio_test

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// The sorts of contradiction between Istio and Sallyport about one mesh.
const (
	leak        = "leak"         // Istio lets traffic for some host out, none of our paths is direct
	serviceLeak = "service-leak" // Istio lets traffic for a tenant's Kubernetes Service out, no rule of ours denies it
	open        = "open"         // Istio lets unknown traffic out, no rule of ours denies it
	falseDenial = "false-denial" // Istio routes via the gateway and lets nothing out, one of our paths is direct
	lostVia     = "lost-via"     // Istio routes a point via, we call it broken or blocked
	falseVia    = "false-via"    // we call a point via that Istio does not route so
	undenied    = "undenied"     // a path of an ambient mesh is direct, not by what its client does alone, and no rule of ours denies it
	detour      = "detour"       // a waypoint leads a tenant's callers to another tenant's host, and no rule of ours denies it
)

// contradictions returns the sorts that the answers show.
func (a answers) contradictions() []string {
	if a.ambient {
		return a.ambientContradictions()
	}
	var out []string
	denied := slices.ContainsFunc(a.rows, func(r row) bool { return r.ours == mesh.Direct })
	unsure := slices.ContainsFunc(a.rows, func(r row) bool { return r.ours == mesh.Undetermined })
	if a.leaky() && !denied && !unsure {
		out = append(out, leak)
	}
	if a.leavesByService() && len(a.tenant) == 0 && !unsure {
		out = append(out, serviceLeak)
	}
	if len(a.open) > 0 && len(a.tenant) == 0 {
		out = append(out, open)
	}
	if a.via() && denied {
		out = append(out, falseDenial)
	}
	return distinct(append(out, a.misjudged()...))
}

// ambientContradictions goes by each path of ztunnel's: one that we call direct
// excuses no other. It does so for those of sidecars, as in every other mesh.
func (a answers) ambientContradictions() []string {
	out := a.misjudged()
	denied := slices.ContainsFunc(a.rows, func(r row) bool { return r.ours == mesh.Direct && !r.passed })
	for _, r := range a.rows {
		if r.istio == oracle.Direct && r.ours != mesh.Direct && r.ours != mesh.Undetermined && !(r.sidecar && denied) {
			out = append(out, leak)
		}
	}
	switch {
	case denied && len(a.tenant) == 0:
		out = append(out, undenied)
	case denied && a.via():
		out = append(out, falseDenial)
	}
	if len(a.detours) > 0 && len(a.tenant) == 0 {
		out = append(out, detour)
	}
	return distinct(out)
}

func distinct(sorts []string) []string {
	slices.Sort(sorts)
	return slices.Compact(sorts)
}

// misjudged returns the sorts of contradiction about paths that leave by a gateway
// or waypoint, or nowhere.
func (a answers) misjudged() (out []string) {
	for _, r := range a.rows {
		switch {
		case r.ours == mesh.Undetermined || r.ours == mesh.Direct || r.istio == oracle.Direct:
		case r.istio == oracle.Via && r.ours != mesh.Via:
			out = append(out, lostVia)
		case r.istio != oracle.Via && r.ours == mesh.Via:
			out = append(out, falseVia)
		}
	}
	return out
}

// direct reports whether Istio lets any client past the gateway.
func (a answers) direct() bool { return len(a.leaks) > 0 }

// leaky reports whether some of what gets past is for a registered host.
func (a answers) leaky() bool {
	return slices.ContainsFunc(a.rows, func(r row) bool { return r.istio == oracle.Direct }) ||
		a.leavesBy(func(host string) bool { return host == oracle.GatewayHost || !strings.HasSuffix(host, clusterSuffix) })
}

// leavesByService reports whether a tenant's Kubernetes Service has endpoints
// outside: Services are no egress points, and rules judge them, not paths.
func (a answers) leavesByService() bool {
	return a.leavesBy(func(host string) bool {
		service, ok := strings.CutSuffix(host, clusterSuffix)
		return ok && !strings.HasSuffix(service, "."+oracle.RootNamespace)
	})
}

const clusterSuffix = ".svc.cluster.local"

// leavesBy reports whether a way past the gateway ends at the cluster of a
// host for which is is true.
func (a answers) leavesBy(is func(host string) bool) bool {
	for _, ways := range a.leaks {
		for _, way := range ways {
			_, cluster, _ := strings.Cut(way, " -> ")
			if parts := strings.Split(cluster, "|"); len(parts) == 4 && is(parts[3]) {
				return true
			}
		}
	}
	return false
}

// via reports whether Istio sends some traffic through the gateway and none
// past it.
func (a answers) via() bool {
	return !a.direct() && slices.ContainsFunc(a.rows, func(r row) bool { return r.istio == oracle.Via })
}
