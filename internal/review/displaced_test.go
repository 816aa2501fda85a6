package review_test

import (
	"fmt"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestFixesDisplaceNoDestinationRule: a host goes through the gateway by a subset of a
// DestinationRule, whatever that is named for, wherever it stands and to whom it is
// exported. Then another host's way past the gateway is mended by YAML, and that leaves
// the first its subset.
func TestFixesDisplaceNoDestinationRule(t *testing.T) {
	besideRules(t, []string{"istio-system", "istio-config", "shop"}, staysLed)
}

// TestCompanionsDisplaceNoDestinationRule is the same of what Sallyport keeps for the
// other host, and the rules of the client's own namespace.
func TestCompanionsDisplaceNoDestinationRule(t *testing.T) {
	besideRules(t, []string{"shop"}, func(t *testing.T, rule string) {
		s := mesh.DefaultSettings()
		s.RootNamespace, s.Injection = "istio-config", mesh.InjectAll
		m := mesh.New(s)
		for _, raw := range ledBeside(t, rule) {
			m = m.With(decoded(t, raw))
		}
		set := companion.For(m, "stray.example.com")
		for _, o := range set.Objects {
			m = m.With(o)
		}
		for _, host := range []string{"led.example.com", "stray.example.com"} {
			if v, _ := m.Verdict("shop", host, 443); v != mesh.Via {
				t.Errorf("with the companions the way to %s is %s; refused: %v", host, v, set.Refused)
			}
		}
	})
}

// besideRules tries every DestinationRule in those namespaces by which the clients may
// take the gateway's subsets.
func besideRules(t *testing.T, namespaces []string, try func(t *testing.T, rule string)) {
	const service = "istio-egressgateway.istio-system.svc.cluster.local"
	for _, host := range []string{service, "istio-egressgateway", "*.istio-system.svc.cluster.local", "*.svc.cluster.local", "*.local", "*"} {
		for _, namespace := range namespaces {
			if host == "istio-egressgateway" && namespace != "istio-system" {
				continue // a name of that namespace's
			}
			for _, exportTo := range []string{"", `, exportTo: ["*"]`, `, exportTo: ["."]`, `, exportTo: [shop]`} {
				if exportTo == `, exportTo: ["."]` && namespace != "shop" {
					continue // the clients would not see it
				}
				t.Run(fmt.Sprint(host, " in ", namespace, exportTo), func(t *testing.T) {
					try(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: gateway, namespace: %s}
spec: {host: %q%s, subsets: [{name: led, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: led.example.com}}}]}
`, namespace, host, exportTo))
				})
			}
		}
	}
}

// ledBeside are a host that goes through the gateway by the subset of a rule, and an
// entry for another one that does not.
func ledBeside(t *testing.T, rule string) [][]byte {
	all := [][]byte{document(t, rule)}
	for _, text := range []string{`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: led, namespace: shop}
spec: {hosts: [led.example.com], resolution: DNS, exportTo: [., istio-system], ports: [{number: 443, name: tls, protocol: TLS}]}
`, `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: led, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers: [{hosts: [shop/led.example.com], port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: ISTIO_MUTUAL}}]
`, `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: led, namespace: shop}
spec:
  hosts: [led.example.com]
  gateways: [mesh, istio-system/led]
  exportTo: [., istio-system]
  tls:
  - match: [{gateways: [mesh], port: 443, sniHosts: [led.example.com]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: led, port: {number: 15443}}}]
  tcp:
  - match: [{gateways: [istio-system/led], port: 15443}]
    route: [{destination: {host: led.example.com, port: {number: 443}}}]
`, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: stray, namespace: shop}
spec: {hosts: [stray.example.com], resolution: DNS, exportTo: [.], ports: [{number: 443, name: tls, protocol: TLS}]}
`} {
		all = append(all, document(t, text))
	}
	return all
}

// staysLed mends a way past the gateway beside one through it, by the subset of a rule.
func staysLed(t *testing.T, rule string) {
	all := ledBeside(t, rule)
	s := withoutInjection()
	s.RootNamespace = "istio-config"
	judge := &review.Judge{Rules: rules.All}
	m := mesh.New(s)
	before, err := judge.ReviewAll(t.Context(), m, all)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := before.Mesh.Verdict("shop", "led.example.com", 443); v != mesh.Via {
		t.Fatalf("without a fix led.example.com is %s", v)
	}
	fixed := before.Mesh
	for i, o := range before.Outcomes {
		for _, f := range o.Findings {
			if f.Severity != rules.Deny {
				continue
			}
			made := rules.Fixed(f.Fix, all[i])
			if len(made) == 0 {
				t.Errorf("the fix of %s is words: %s", o.Ref, f.Fix)
			}
			for _, a := range made {
				fixed = fixed.With(a.Object)
			}
		}
	}
	for _, host := range []string{"led.example.com", "stray.example.com"} {
		if v, _ := fixed.Verdict("shop", host, 443); v != mesh.Via {
			t.Errorf("with the fixes the way to %s is %s", host, v)
		}
	}
}
