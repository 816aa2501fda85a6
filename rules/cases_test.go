package rules_test

import (
	"flag"
	"testing"

	"github.com/sallyport-io/sallyport/rules"
	"github.com/sallyport-io/sallyport/rules/rulestest"
)

var update = flag.Bool("update", false, "rewrite the golden cases and the reference")

// TestCases comes before TestReference, which prints what it may rewrite.
func TestCases(t *testing.T) { rulestest.Run(t, rules.All, "testdata", *update) }
