package main

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/hack/controlplane"
)

// decision is the number by which a denial is found in the server's log.
var decision = regexp.MustCompile(`(?m)^decision [0-9a-f-]{36}$`)

var update = flag.Bool("update", false, "rewrite testdata/transcript.txt")

const transcript = "testdata/transcript.txt"

// TestDemo plays the whole demo. Each step checks its own outcome; the
// transcript is what the README shows.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	options := demoOptions()
	options.Progress = t.Output()
	if err := play(t.Context(), options, &out, false); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	got := decision.ReplaceAll(out.Bytes(), []byte("decision 398da0c8-53fe-40c8-8920-25e7fc7c9e8c"))
	if *update {
		if err := os.WriteFile(transcript, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("run go test ./hack/demo -update (-want +got):\n%s", d)
	}
}

// TestStepsFail makes sure that a wrong outcome does not pass for a right one.
func TestStepsFail(t *testing.T) {
	s := &session{cp: &controlplane.ControlPlane{}, dir: ".", out: t.Output()}
	tests := map[string]struct {
		step step
		ok   bool
	}{
		"as expected":             {step{command: "cat session.go", want: []string{"^package main"}}, true},
		"fails unexpectedly":      {step{command: "cat no-such-file"}, false},
		"succeeds and should not": {step{command: "cat session.go", fails: true}, false},
		"denied as expected":      {step{command: "cat no-such-file", fails: true, want: []string{"No such file"}}, true},
		"denied otherwise":        {step{command: "cat no-such-file", fails: true, want: []string{"permission"}}, false},
		"prints too little":       {step{command: "cat session.go", want: []string{"^package demo"}}, false},
		"prints too much":         {step{command: "cat session.go", wantNot: "^package main"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := s.play(t.Context(), scene{name, []step{tt.step}})
			if (err == nil) != tt.ok {
				t.Errorf("play() = %v, want success: %v", err, tt.ok)
			}
		})
	}
}

func TestWords(t *testing.T) {
	got := words(`kubectl get se  -o 'custom-columns=A:.a b,B:.b'`)
	want := []string{"kubectl", "get", "se", "-o", "custom-columns=A:.a b,B:.b"}
	if !slices.Equal(got, want) {
		t.Errorf("words() = %q, want %q", got, want)
	}
}
