// Package controlplanetest starts control planes that end with a test.
package controlplanetest

import (
	"testing"

	"github.com/sallyport-io/sallyport/hack/controlplane"
)

// Start starts a control plane, with its progress in the test's output, and stops it
// when the test and its subtests have ended. A test that cannot have one fails.
func Start(tb testing.TB, o controlplane.Options) *controlplane.ControlPlane {
	tb.Helper()
	o.Progress = tb.Output()
	cp, err := controlplane.Start(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return cp
}
