package istio_test

import (
	"os"
	"testing"

	"istio.io/istio/pkg/log"
)

func TestMain(m *testing.M) {
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel) // the fake control plane complains of CRDs it does not need
	}
	os.Exit(m.Run())
}
