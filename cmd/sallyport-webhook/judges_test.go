package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/rules"
)

// mount writes files into a directory the way the kubelet mounts a ConfigMap:
// the files are links into a folder that is replaced as a whole.
func mount(t *testing.T, dir, generation string, files map[string]string) {
	t.Helper()
	data := filepath.Join(dir, "..2026_11_22_"+generation)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	check(os.Mkdir(data, 0o755))
	for name, content := range files {
		check(os.WriteFile(filepath.Join(data, name), []byte(content), 0o644))
	}
	check(os.Symlink(filepath.Base(data), filepath.Join(dir, "..data_tmp")))
	check(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	for name := range files {
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); err != nil {
			check(os.Symlink(filepath.Join("..data", name), link))
		}
	}
	if old != "" {
		check(os.RemoveAll(filepath.Join(dir, old)))
	}
}

// module is a policy that denies everything with a message, and its test.
func module(message, expected string) map[string]string {
	return map[string]string{
		"freeze.rego": fmt.Sprintf(`# METADATA
# title: nothing may be written
# description: Writes are refused.
# custom:
#   severity: deny
package sallyport.policies.freeze

deny contains {"msg": %q, "path": "spec", "fix": "wait"} if input.request.operation != ""
`, message),
		"freeze_test.rego": fmt.Sprintf(`package sallyport.policies.freeze_test

import data.sallyport.policies.freeze

test_denies if {
	some finding in freeze.deny with input as {"request": {"operation": "CREATE"}}
	finding.msg == %q
}
`, expected),
	}
}

func ruleNames(j *judges) string {
	var names []string
	for _, r := range j.Judge().Rules {
		if !slices.Contains(rules.All, r) {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, " ")
}

// TestPoliciesAreSwappedWhole changes a mounted folder of policies: good ones
// replace the old, bad ones leave them in force, and say so.
func TestPoliciesAreSwappedWhole(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "1", module("frozen", "frozen"))
	j, err := newJudges(t.Context(), config.Policies{}, []string{dir}, prometheus.NewRegistry(), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	loads := func(result string) float64 { return testutil.ToFloat64(j.loads.WithLabelValues(result)) }
	first := j.Judge()
	if got := ruleNames(j); got != "freeze" {
		t.Fatalf("policies in force: %q, want freeze", got)
	}

	j.refresh(t.Context())
	if j.Judge() != first || loads("ok") != 1 {
		t.Error("policies that did not change were loaded again")
	}

	for generation, bad := range []map[string]string{
		{"freeze.rego": "package sallyport.policies.freeze\n\ndeny contains x if"},
		module("closed", "open"), // compiles, but its own test fails
	} {
		mount(t, dir, fmt.Sprintf("bad%d", generation), bad)
		j.refresh(t.Context())
		if j.Judge() != first {
			t.Fatalf("bad policies %d replaced good ones", generation)
		}
		if got := loads("error"); got != float64(generation+1) {
			t.Errorf("%v loads counted as errors, want %d", got, generation+1)
		}
	}

	mount(t, dir, "2", module("closed", "closed"))
	j.refresh(t.Context())
	if j.Judge() == first || ruleNames(j) != "freeze" || loads("ok") != 2 {
		t.Errorf("good policies did not replace the old ones: %q, %v loads", ruleNames(j), loads("ok"))
	}
}

// TestBadPoliciesAtTheStart are an error: there is nothing to fall back on.
func TestBadPoliciesAtTheStart(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "1", module("closed", "open"))
	_, err := newJudges(t.Context(), config.Policies{Directories: []string{dir}}, nil, prometheus.NewRegistry(), logr.Discard())
	if err == nil || !strings.Contains(err.Error(), "freeze_test.rego") || !strings.Contains(err.Error(), "test_denies") {
		t.Errorf("error %v, want one that names the failing test", err)
	}
}
