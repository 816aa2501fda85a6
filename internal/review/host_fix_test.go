package review_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestHostsThatNobodyMayRegister: an entry goes on without such a host, and with all its
// others; one that has no other is not wanted, and what is said of it is words.
func TestHostsThatNobodyMayRegister(t *testing.T) {
	for rule, hosts := range map[string][]string{
		"gateway-host-hijack": {"istio-egressgateway.istio-system.svc.cluster.local", "pay.other.svc.cluster.local", "pay.other.svc"},
		"wildcard-host":       {"*.com", "*.org"},
		"metadata-service":    {"metadata.google.internal", "*.google.internal"},
	} {
		for _, host := range hosts {
			for _, others := range [][]string{nil, {"led.example.com"}, {"led.example.com", "other.example.org"}} {
				for at := range len(others) + 1 {
					all := slices.Insert(slices.Clone(others), at, host)
					t.Run(fmt.Sprint(rule, all), func(t *testing.T) { goesOnWithout(t, rule, all, others) })
				}
			}
		}
	}
}

// ledByHand leads a host, the second argument, through the gateway by objects of the
// name that is the first.
var ledByHand = []string{`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %[1]s, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers: [{hosts: [shop/%[2]s], port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: ISTIO_MUTUAL}}]
`, `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s, namespace: istio-system}
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets: [{name: %[1]s, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: %[2]s}}}]
`, `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: shop}
spec:
  hosts: [%[2]s]
  gateways: [mesh, istio-system/%[1]s]
  exportTo: [., istio-system]
  tls:
  - match: [{gateways: [mesh], port: 443, sniHosts: [%[2]s]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: %[1]s, port: {number: 15443}}}]
  tcp:
  - match: [{gateways: [istio-system/%[1]s], port: 15443}]
    route: [{destination: {host: %[2]s, port: {number: 443}}}]
`}

func goesOnWithout(t *testing.T, rule string, hosts, others []string) {
	entry := document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop, annotations: {team: pay}}
spec: {hosts: [%s], resolution: DNS, exportTo: [., istio-system], ports: [{number: 443, name: tls, protocol: TLS}]}
`, quoted(hosts)))
	judge := &review.Judge{Rules: rules.All}
	m := mesh.New(withoutInjection())
	for i, host := range others {
		for _, text := range ledByHand {
			o, err := mesh.Decode(document(t, fmt.Sprintf(text, fmt.Sprint("led-", i), host)))
			if err != nil {
				t.Fatal(err)
			}
			m = m.With(o)
		}
	}
	out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: entry})
	if err != nil {
		t.Fatal(err)
	}
	denied := false
	for _, f := range out.Findings {
		if f.Rule != rule || f.Severity != rules.Deny {
			continue
		}
		denied = true
		fixed := rules.Fixed(f.Fix, entry)
		switch {
		case len(others) == 0 && len(fixed) != 0:
			t.Errorf("the fix of an entry without another host is %s", f.Fix)
		case len(others) == 0:
		case len(fixed) != 1:
			t.Errorf("the fix is words: %s", f.Fix)
		default:
			se := fixed[0].Object.(*mesh.ServiceEntry)
			if !slices.Equal(se.Hosts, others) || se.Annotations["team"] != "pay" || len(se.Ports) != 1 {
				t.Errorf("the fix makes it %s", fixed[0].Raw)
			}
		}
	}
	if !denied {
		t.Errorf("%s denies nothing", rule)
	}
}

func quoted(hosts []string) string {
	text := ""
	for _, h := range hosts {
		text += fmt.Sprintf("%q, ", h)
	}
	return text
}
