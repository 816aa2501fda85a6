package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/report"
)

// FuzzReview asks that no manifest whatever makes the program panic, and that
// its status, its output and its errors agree with each other.
func FuzzReview(f *testing.F) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, script := range scripts {
		a, err := txtar.ParseFile(script)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if filepath.Ext(file.Name) == ".yaml" {
				f.Add(file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"sallyport", "review", "-o", "json", "-"}, bytes.NewReader(data), &stdout, &stderr)
		if code == exitFailed {
			if stdout.Len() > 0 || stderr.Len() == 0 {
				t.Errorf("status 2 with output %q and errors %q", stdout.String(), stderr.String())
			}
			return
		}
		var r report.Review
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			t.Fatalf("status %d, and not JSON: %v", code, err)
		}
		if denied := code == exitDenied; denied != (r.Summary.Denied > 0) {
			t.Errorf("status %d with %d objects denied", code, r.Summary.Denied)
		}
		stdout.Reset()
		planned := run(t.Context(), []string{"sallyport", "plan", "-"}, bytes.NewReader(data), &stdout, &stderr)
		if planned != code {
			t.Errorf("review ends with status %d, plan with %d", code, planned)
		}
		if code == exitDenied && stdout.Len() > 0 {
			t.Errorf("a plan of what is denied:\n%s", stdout.String())
		}
	})
}
