package manifest

import (
	"slices"
	"testing"

	"github.com/sallyport-io/sallyport/internal/apikind"
)

// TestGatewayKindsAreOfTheTable: what is proposed in the place of a misspelt group is a
// version that the table of kinds has.
func TestGatewayKindsAreOfTheTable(t *testing.T) {
	for kind, version := range gatewayKinds {
		if k, ok := apikind.Of(apikind.GatewayAPI, kind); ok && !slices.Contains(k.Versions, version) {
			t.Errorf("%s is proposed in version %s, and the table has %v", kind, version, k.Versions)
		}
	}
	for _, k := range apikind.All {
		if k.Group == apikind.GatewayAPI && gatewayKinds[k.API] == "" {
			t.Errorf("gatewayKinds lacks %s", k.API)
		}
	}
}
