package review_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sallyport-io/sallyport/internal/hostiletest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestBatchIsBounded judges large and hostile objects alone, like the server, and
// in a batch beside others, like the command line: what is too large in the one way
// is too large in the other, whatever else is in the batch.
func TestBatchIsBounded(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	state := mesh.New(mesh.DefaultSettings(), decode(t, entryOf("api1.partner1.example"))...)
	beside := [][]byte{
		document(t, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: beside, namespace: shop}\nspec: {hosts: [beside.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}\n"),
		document(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: elsewhere}\n"),
	}
	objects := map[string][]byte{
		"an entry of 250 hosts and 10 ports": document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: large, namespace: attacker}
spec: {resolution: DNS, hosts: [%s], ports: [%s]}
`, numbered(250, "h%[1]d.example.com"), numbered(10, "{number: 80%[1]d, name: http-%[1]d, protocol: HTTP}"))),
		"a small entry": document(t, entryOf("small.example.com")),
	}
	for o := range hostiletest.Objects(60_000, true) {
		switch o.Name() {
		case "ServiceEntry/hosts", "ServiceEntry/HTTP ports", "VirtualService/rules for many hosts", "Gateway/hosts", "Sidecar/imports", "DestinationRule/subsets":
			objects[o.Name()] = o.JSON
		}
	}
	bounded := 0
	for name, raw := range objects {
		_, alone := judge.Review(t.Context(), state, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: raw})
		for i, batch := range [][][]byte{{raw}, {beside[0], raw, beside[1]}} {
			_, err := judge.ReviewAll(t.Context(), state, batch)
			if (err != nil) != (alone != nil) {
				t.Errorf("%s: alone %v, in batch %d %v", name, alone, i, err)
			}
			if at, ok := errors.AsType[*review.ObjectError](err); err != nil && (!ok || at.Index != i) {
				t.Errorf("%s: in batch %d %v, want the error of that object", name, i, err)
			}
		}
		if alone != nil {
			bounded++
		}
	}
	if bounded == 0 || bounded == len(objects) {
		t.Errorf("%d of %d objects were too large: the test tells nothing", bounded, len(objects))
	}
}
