package istio_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestCompanionsOfMany proves of every form of a port that one host, two and
// fifty of them leave by the gateway, each by the cluster for itself, from
// namespaces of their own and from one that has several.
func TestCompanionsOfMany(t *testing.T) {
	annotated := func(annotation string) func(string) string {
		return func(e string) string {
			return strings.Replace(e, "namespace: ", "annotations: {"+annotation+"}, namespace: ", 1)
		}
	}
	for _, tc := range []struct {
		name  string
		ports []string
		exits map[int]string // by port: the TLS of the exit, and what else is to be said
		edit  func(entry string) string
		more  func(i int) string // lines of the spec
		port  func(i int) string // in the place of ports
	}{
		{name: "HTTP", ports: []string{"{number: 80, name: http, protocol: HTTP}"}, exits: map[int]string{80: plaintext}},
		{name: "HTTP2", ports: []string{"{number: 8080, name: h2, protocol: HTTP2}"}, exits: map[int]string{8080: plaintext}},
		{name: "GRPC", ports: []string{"{number: 50051, name: grpc, protocol: GRPC}"}, exits: map[int]string{50051: plaintext}},
		{name: "GRPC with targetPort 443", ports: []string{"{number: 50051, name: grpc, protocol: GRPC, targetPort: 443}"}, exits: map[int]string{50051: originated}},
		{
			name:  "several HTTP ports",
			ports: []string{"{number: 80, name: http, protocol: HTTP}", "{number: 8080, name: http-alt, protocol: HTTP, targetPort: 9090}"},
			exits: map[int]string{80: plaintext, 8080: plaintext},
		},
		{name: "TLS", ports: []string{"{number: 443, name: tls, protocol: TLS}"}, exits: map[int]string{443: plaintext}},
		{name: "TLS with targetPort", ports: []string{"{number: 443, name: tls, protocol: TLS, targetPort: 8443}"}, exits: map[int]string{443: plaintext}},
		{
			name:  "HTTPS on two ports",
			ports: []string{"{number: 443, name: https, protocol: HTTPS}", "{number: 8443, name: https-alt, protocol: HTTPS}"},
			exits: map[int]string{443: plaintext, 8443: plaintext},
		},
		{
			name:  "HTTP and HTTPS",
			ports: []string{"{number: 80, name: http, protocol: HTTP}", "{number: 443, name: https, protocol: HTTPS}"},
			exits: map[int]string{80: plaintext, 443: plaintext},
		},
		{name: "origination by targetPort", ports: []string{"{number: 80, name: http, protocol: HTTP, targetPort: 443}"}, exits: map[int]string{80: originated}},
		{
			name:  "origination by an HTTP port 443",
			ports: []string{"{number: 80, name: http, protocol: HTTP}", "{number: 443, name: http-443, protocol: HTTP}"},
			exits: map[int]string{80: originated + " by outbound|443||HOST", 443: originated},
		},
		{
			name:  "origination by annotation",
			ports: []string{"{number: 8080, name: http, protocol: HTTP}"}, exits: map[int]string{8080: originated},
			edit: annotated(`sallyport.io/originate-tls: "true"`),
		},
		{
			name:  "a client certificate",
			ports: []string{"{number: 80, name: http, protocol: HTTP, targetPort: 443}"},
			exits: map[int]string{80: "tls sni= certs=[kubernetes://partner-client] ca=kubernetes://partner-client-cacert"},
			edit:  annotated(`sallyport.io/client-certificate: partner`),
		},
		{
			name:  "TCP with an address",
			ports: []string{"{number: 5432, name: tcp, protocol: TCP}"}, exits: map[int]string{5432: plaintext},
			more: func(i int) string { return fmt.Sprintf("  addresses: [198.51.100.%d]\n", i+1) },
		},
		{
			name:  "TCP with an IPv6 address",
			ports: []string{"{number: 5432, name: tcp, protocol: TCP}"}, exits: map[int]string{5432: plaintext},
			more: func(i int) string { return fmt.Sprintf("  addresses: [\"2001:db8::%x\"]\n", i+1) },
		},
		{
			name:  "TCP with targetPort",
			ports: []string{"{number: 5432, name: tcp, protocol: TCP, targetPort: 15432}"}, exits: map[int]string{5432: plaintext},
			more: func(i int) string { return fmt.Sprintf("  addresses: [198.51.100.%d]\n", i+1) },
		},
		{
			name: "TCP without an address, on ports of their own", exits: map[int]string{0: plaintext},
			port: func(i int) string { return fmt.Sprintf("{number: %d, name: tcp, protocol: TCP}", 5000+i) },
		},
		{
			name:  "MONGO",
			ports: []string{"{number: 27017, name: mongo, protocol: MONGO}"}, exits: map[int]string{27017: plaintext},
			more: func(i int) string { return fmt.Sprintf("  addresses: [198.51.100.%d]\n", i+1) },
		},
		{
			name:  "MYSQL and REDIS",
			ports: []string{"{number: 3306, name: mysql, protocol: MYSQL}", "{number: 6379, name: redis, protocol: REDIS}"},
			exits: map[int]string{3306: plaintext, 6379: plaintext},
			more:  func(i int) string { return fmt.Sprintf("  addresses: [198.51.100.%d, \"2001:db8::%x\"]\n", i+1, i+1) },
		},
	} {
		for _, n := range []int{1, 2, 50} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, n), func(t *testing.T) {
				settings := mesh.DefaultSettings()
				partner := mesh.Credential{Name: "partner", Namespaces: []string{"shop", "billing"}, Secret: "partner-client"}
				var entries []string
				want := map[string]string{}
				for i := range n {
					ns := []string{"shop", "billing"}[i%2]
					host := fmt.Sprintf("h%d.partner.com", i)
					partner.Hosts = append(partner.Hosts, host)
					ports := tc.ports
					if tc.port != nil {
						ports = []string{tc.port(i)}
					}
					e := entry(ns, host, ports...)
					if tc.edit != nil {
						e = tc.edit(e)
					}
					if tc.more != nil {
						e += tc.more(i)
					}
					entries = append(entries, e)
					for port, exit := range tc.exits {
						if tc.port != nil {
							port = 5000 + i
						}
						want[fmt.Sprintf("%s %s:%d", ns, host, port)] = strings.Replace(exit, "HOST", host, 1)
					}
				}
				settings.Credentials = []mesh.Credential{partner}
				if diff := cmp.Diff(want, exits(t, withCompanions(t, settings, strings.Join(entries, "---\n")))); diff != "" {
					t.Errorf("exits (-want +got):\n%s", diff)
				}
			})
		}
	}
}
