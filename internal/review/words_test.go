package review_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestOverlongObjectsGo checks that an object with words longer than the limits,
// which was stored before there were any, can be deleted, and is judged as it does:
// by what is stored, not by what the review says of it.
func TestOverlongObjectsGo(t *testing.T) {
	const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: istio-system}
spec: {hosts: [api.partner.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: istio-system}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["api.partner.com"]}]}
`
	route := func(name, host, word string) string {
		return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: istio-system}
spec:
  hosts: [%s]
  gateways: [mesh, egress]
  http:
  - match: [{gateways: [egress], port: 80}]
    route: [{destination: {host: %[2]s, port: {number: 80}}}]
  - match: [{gateways: [mesh], port: 80, headers: {x: {exact: %s}}}, {gateways: [mesh], port: 80}]
    route: [{destination: {host: %[4]s, port: {number: 80}}}]
`, name, host, word, gatewayDot)
	}
	long := strings.Repeat("x", 5000)
	closing, idle := route("closing", "api.partner.com", long), route("idle", "nobody.partner.com", long)
	m := mesh.New(mesh.DefaultSettings(), decode(t, entry+"---"+closing+"---"+idle)...)
	judge := &review.Judge{Rules: rules.All}
	for name, test := range map[string]struct {
		object  string
		refused bool // without being judged
		denied  bool
	}{
		"one that keeps a path closed":           {object: closing, denied: true},
		"one that closes nothing":                {object: idle},
		"one that nobody has stored":             {object: route("absent", "nobody.partner.com", long), refused: true},
		"a review that lies about what is there": {object: route("closing", "nobody.partner.com", long), denied: true},
	} {
		out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "DELETE", User: "jane"}, OldObject: documents(t, test.object)[0]})
		var input *review.InputError
		if errors.As(err, &input) != test.refused || !test.refused && err != nil {
			t.Errorf("%s: error %v, refused is to be %v", name, err, test.refused)
		}
		if out.Denied() != test.denied {
			t.Errorf("%s: denied %v, want %v: %+v", name, out.Denied(), test.denied, out.Findings)
		}
	}
	for _, operation := range []string{"CREATE", "UPDATE"} {
		w := review.Write{Request: rules.Request{Operation: operation, User: "jane"}, Object: documents(t, closing)[0]}
		if operation == "UPDATE" {
			w.OldObject = w.Object
		}
		var input *review.InputError
		if _, err := judge.Review(t.Context(), m, w); !errors.As(err, &input) {
			t.Errorf("%s: error %v; the limit holds for what is written", operation, err)
		}
	}
}
