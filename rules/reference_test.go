package rules_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/rules"
)

func TestReference(t *testing.T) {
	got, err := rules.Reference(rules.All, os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("README.md", got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("rules/README.md is stale; run make generate (-want +got):\n%s", diff)
	}
}

// TestRows accounts for every row of the bypass matrix.
func TestRows(t *testing.T) {
	var want []string
	for _, table := range []struct {
		prefix string
		last   int
	}{{"S-", 23}, {"V-", 27}, {"B-G", 6}, {"B-D", 6}, {"B-S", 5}, {"B-E", 7}, {"W-", 3}, {"K-", 20}} {
		for i := range table.last {
			want = append(want, fmt.Sprint(table.prefix, i+1))
		}
	}
	var got []string
	for _, row := range rules.Rows {
		got = append(got, row.ID)
		decided := slices.ContainsFunc(rules.All, func(r *rules.Rule) bool { return slices.Contains(r.Rows, row.ID) })
		if !decided && row.Elsewhere == "" {
			t.Errorf("row %s is decided by no rule and nowhere else", row.ID)
		}
		if (row.Elsewhere == "") != (row.Reason == "") {
			t.Errorf("row %s: %q for the reason %q", row.ID, row.Elsewhere, row.Reason)
		}
		if row.What == "" {
			t.Errorf("row %s does not say what it is", row.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for _, r := range rules.All {
		for _, id := range r.Rows {
			if !slices.Contains(want, id) {
				t.Errorf("rule %s claims row %s, which there is not", r.Name, id)
			}
		}
	}
}
