package policies

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestFailingTests checks that a test which fails says at which expression, with what values, and what it printed.
func TestFailingTests(t *testing.T) {
	s, err := Load(t.Context(), nil, Source{Name: "org", FS: fstest.MapFS{
		"none.rego": {Data: []byte("# METADATA\n# title: no host\n# description: no host\npackage sallyport.policies.none\n\n" +
			"deny contains {\"msg\": \"no\"} if count(input.object.spec.hosts) > 0\n")},
		"none_test.rego": {Data: []byte(`package sallyport.policies.none_test

import data.sallyport.policies.none

test_right if none.deny with input as {"object": {"spec": {"hosts": ["a"]}}} == {{"msg": "no"}}

test_wrong if {
	found := none.deny with input as {"object": {"spec": {"hosts": ["a"]}}}
	print("found", count(found))
	every finding in found {
		finding.msg == "yes"
	}
}

test_error if time.parse_rfc3339_ns("noon") > 0

todo_test_later if false
`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	results, _, err := s.Test(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failures := map[string]string{}
	for _, r := range results {
		failures[r.Name], _, _ = strings.Cut(r.Failure, " time.parse")
	}
	want := map[string]string{
		"test_right": "",
		"test_wrong": "the test's body is not true; line 11:\n" +
			"finding.msg == \"yes\"\n" +
			"|\n" +
			"finding.msg: \"no\"\n" +
			"finding: {\"msg\": \"no\"}\n" +
			"printed: found 1",
		"test_error":      "org/none_test.rego:15: eval_builtin_error:",
		"todo_test_later": "the name starts with todo_: a test that does not run proves nothing",
	}
	if d := cmp.Diff(want, failures); d != "" {
		t.Errorf("failures (-want +got):\n%s", d)
	}
}
