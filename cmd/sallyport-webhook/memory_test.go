package main

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestCollectorLeavesTheLastWordToTheEnvironment: GOGC is obeyed, and where
// there is none the mesh is not doubled by garbage.
func TestCollectorLeavesTheLastWordToTheEnvironment(t *testing.T) {
	before := debug.SetGCPercent(77)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	t.Setenv("GOGC", "77")
	tuneCollector()
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("with GOGC=77 the collector runs at %d", got)
	}
	if err := os.Unsetenv("GOGC"); err != nil {
		t.Fatal(err)
	}
	tuneCollector()
	if got := debug.SetGCPercent(77); got != gcPercent {
		t.Errorf("without GOGC the collector runs at %d, want %d", got, gcPercent)
	}
}
