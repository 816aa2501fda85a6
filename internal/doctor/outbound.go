package doctor

import "github.com/sallyport-io/sallyport/internal/meshconfig"

var outboundTrafficPolicy = &Check{
	Name:  "outbound-traffic-policy",
	Group: groupMesh,
	Doc: `sidecars drop traffic to hosts that nobody registered

Under ALLOW_ANY, which is Istio's default, every host in the world is reached
directly until somebody registers it, and no gateway sees it. Every revision's
mesh configuration must say REGISTRY_ONLY, and Sallyport's configuration the same.`,
	Sources: []string{controlPage + "#envoy-passthrough-to-external-services"},
	Check: func(e *Exam) {
		for _, m := range e.readable() {
			const path = "data.mesh: outboundTrafficPolicy.mode"
			remedy := kubectl("-n %s edit configmap %s   # outboundTrafficPolicy: {mode: REGISTRY_ONLY}", m.ref.Namespace, m.ref.Name) +
				"\n# With istioctl: --set meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"
			// Without the field istiod has its default, ALLOW_ANY
			// (DefaultMeshConfig in Istio's pkg/config/mesh).
			switch {
			case m.OutboundUnset:
				e.fail(m.ref, path, remedy, "it is not set, so sidecars let everything out (ALLOW_ANY)")
			case m.Outbound != meshconfig.RegistryOnly:
				e.fail(m.ref, path, remedy, "%s lets traffic to every host out that nobody registered", m.Outbound)
			case e.Settings.AllowAny:
				e.fail(m.ref, path, "Remove outboundTrafficPolicy from Sallyport's configuration.",
					"the mesh has REGISTRY_ONLY, and Sallyport's configuration ALLOW_ANY: it takes paths for direct that are blocked")
			default:
				e.pass(m.ref, path, "REGISTRY_ONLY")
			}
		}
	},
}
