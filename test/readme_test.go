package test

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsTheDemo holds the README's excerpt to the demo's transcript,
// which the demo itself is held to. A line "..." stands for what is left out.
func TestReadmeShowsTheDemo(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	transcript, err := os.ReadFile("../hack/demo/testdata/transcript.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(readme), "```console\n")
	if !found {
		t.Fatal("README.md has no console block")
	}
	block, _, _ = strings.Cut(block, "```\n")
	rest := string(transcript)
	for part := range strings.SplitSeq(block, "...\n") {
		i := strings.Index(rest, part)
		if i < 0 {
			t.Fatalf("README.md shows what hack/demo/testdata/transcript.txt does not have, in this order:\n%s", part)
		}
		rest = rest[i+len(part):]
	}
}
