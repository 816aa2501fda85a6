package expiry

import (
	"regexp"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	pattern := regexp.MustCompile(Pattern)
	for until, want := range map[string]string{
		"2026-12-31":                "2027-01-01T00:00:00Z",
		"2028-02-29":                "2028-03-01T00:00:00Z",
		"2026-12-31T18:00:00Z":      "2026-12-31T18:00:00Z",
		"2026-12-31T18:00:00+02:00": "2026-12-31T16:00:00Z",
		"2026-02-30":                "",
		"soon":                      "",
		"":                          "",
		"2026-12-31 18:00":          "",
	} {
		end, err := Parse(until)
		if got := end.UTC().Format(time.RFC3339); err == nil && got != want || (err != nil) != (want == "") {
			t.Errorf("%q ends %s, %v; want %q", until, got, err, want)
		}
		if err == nil && !pattern.MatchString(until) {
			t.Errorf("%q does not match the pattern", until)
		}
	}
}
