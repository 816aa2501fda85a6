package istio_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// onPort443 takes port 80 of the gateway, which Istio's charts name http2, for
// plain text: what remains is port 443, by whose name sidecars speak HTTP/1.1.
const onPort443 = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: plain, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [legacy.partner.com]}]
`

// TestHTTP2 proves that gRPC and HTTP/2 stay what they are on both hops,
// whatever the port of the gateway's Service is named, and that HTTP/1.1 to
// the host does as well.
func TestHTTP2(t *testing.T) {
	const host = "rpc.partner.com"
	for _, tc := range []struct {
		name      string
		mutualTLS bool
		more      string
		port      int // of the gateway, by which the traffic goes
	}{
		{"mutual TLS", true, "", 80},
		{"mutual TLS on a port of another name", true, onPort443, 443},
		{"plain", false, "", 80},
	} {
		t.Run(tc.name, func(t *testing.T) {
			settings := mesh.DefaultSettings()
			settings.Gateways[0].MutualTLS = tc.mutualTLS
			entries := []string{entry("shop", host,
				"{number: 8080, name: h2, protocol: HTTP2}", "{number: 50051, name: grpc, protocol: GRPC}",
				"{number: 50052, name: grpcs, protocol: GRPC, targetPort: 443}", "{number: 8000, name: http, protocol: HTTP}")}
			if tc.more != "" {
				entries = append(entries, tc.more)
			}
			manifests := withCompanions(t, settings, strings.Join(entries, "---\n"))
			world, err := oracle.Ask(manifests, oracle.Client{Namespace: "shop"})
			if err != nil {
				t.Fatal(err)
			}
			client := world.Clients[0]
			var hop *oracle.Cluster
			for _, cl := range client.Clusters {
				if cl.Host == oracle.GatewayHost && cl.Port == tc.port && cl.Subset == companion.Key(host) {
					hop = cl
				}
			}
			if hop == nil || !hop.HTTP2 {
				t.Errorf("the sidecar's cluster for the gateway's port %d is %+v, want one for HTTP/2", tc.port, hop)
			}
			for _, p := range world.Points() {
				verdict, why := world.Verdict(client, p)
				exits := world.Exits(client, p)
				if verdict != oracle.Via || len(exits) != 1 {
					t.Errorf("port %d is %s (%s), by %v", p.Port, verdict, why, exits)
					continue
				}
				exit, want := exits[0], p.Port != 8000
				if exit.HTTP2 != want {
					t.Errorf("the gateway speaks HTTP/2 to port %d: %t, want %t", p.Port, exit.HTTP2, want)
				}
				if p.Port == 50052 && !slices.Equal(exit.TLS.ALPN, []string{"h2"}) {
					t.Errorf("where it originates TLS the gateway offers %q, want h2", exit.TLS.ALPN)
				}
			}
		})
	}
}
