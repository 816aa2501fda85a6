package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/sallyport-io/sallyport/hack/controlplane"
)

// session plays commands and shows them as a terminal would: a line of why,
// the prompt of whoever types, the command, what it printed. Every command has
// an expected outcome; another one ends the demo with an error.
type session struct {
	cp     *controlplane.ControlPlane
	dir    string            // where the commands run: the files they name are here
	cli    string            // the command line sallyport
	users  map[string]string // kubeconfig by prompt
	out    io.Writer
	colour bool
}

// scene is a part of the demo.
type scene struct {
	title string
	steps []step
}

// step is one command and its outcome.
type step struct {
	why  string
	user string
	// command is typed as in a shell: words between blanks, '' around what
	// holds blanks, and | between commands of which one reads what the one
	// before it prints.
	command string

	// fails is true where the command must exit with a status other than 0.
	fails bool
	// want are regular expressions: what is printed must match each.
	want []string
	// wantNot is a regular expression that what is printed must not match.
	wantNot string
	// eventually repeats the command until it comes out right: for what
	// Sallyport does after the API server has answered.
	eventually bool
}

// patience is how long an eventual outcome may take.
const patience = 30 * time.Second

// newSession makes the users: the platform team may do everything, a developer
// what the group "teams" may.
func newSession(ctx context.Context, cp *controlplane.ControlPlane, out io.Writer, colour bool) (*session, error) {
	root, err := controlplane.Root()
	if err != nil {
		return nil, err
	}
	cli := filepath.Join(cp.Dir, "sallyport")
	build := exec.CommandContext(ctx, "go", "build", "-o", cli, "./cmd/sallyport")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building sallyport: %w\n%s", err, out)
	}
	config, err := cp.User("dev", "teams")
	if err != nil {
		return nil, err
	}
	dev, err := cp.WriteKubeconfig("dev", config)
	if err != nil {
		return nil, err
	}
	return &session{
		cp:     cp,
		dir:    filepath.Join(root, "hack", "demo", "scenes"),
		cli:    cli,
		users:  map[string]string{"platform": cp.Kubeconfig, "dev": dev},
		out:    out,
		colour: colour,
	}, nil
}

func (s *session) play(ctx context.Context, sc scene) error {
	fmt.Fprintf(s.out, "\n%s\n", s.paint(bold, "== "+sc.title+" =="))
	for _, st := range sc.steps {
		fmt.Fprintf(s.out, "%s\n%s %s\n", s.paint(dim, "# "+st.why), s.paint(bold, st.user+"$"), st.command)
		output, err := s.outcome(ctx, st)
		fmt.Fprint(s.out, output)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", sc.title, st.command, err)
		}
	}
	return nil
}

// outcome runs a step's command, until it comes out right where that may take
// a while, and returns what it printed last.
func (s *session) outcome(ctx context.Context, st step) (string, error) {
	deadline := time.Now().Add(patience)
	for {
		output, err := s.run(ctx, st)
		if err == nil || ctx.Err() != nil || !st.eventually || time.Now().After(deadline) {
			return output, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// run runs a step's command once. The error says what is not as it must be.
func (s *session) run(ctx context.Context, st step) (output string, err error) {
	var in bytes.Buffer
	stages := strings.Split(st.command, " | ")
	for i, stage := range stages {
		cmd := s.cmd(ctx, words(stage))
		var out bytes.Buffer
		cmd.Env = append(cmd.Environ(), "KUBECONFIG="+s.users[st.user])
		cmd.Dir = s.dir
		cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &out
		err = cmd.Run()
		output, in = out.String(), out
		if err != nil && i < len(stages)-1 {
			return output, fmt.Errorf("%s: %w", stage, err)
		}
	}
	switch {
	case ctx.Err() != nil:
		return output, context.Cause(ctx)
	case err != nil && !st.fails:
		return output, err
	case err == nil && st.fails:
		return output, errors.New("it succeeds, and must not")
	}
	for _, want := range st.want {
		if !regexp.MustCompile(want).MatchString(output) {
			return output, fmt.Errorf("what it prints does not match %q", want)
		}
	}
	if st.wantNot != "" && regexp.MustCompile(st.wantNot).MatchString(output) {
		return output, fmt.Errorf("what it prints matches %q, and must not", st.wantNot)
	}
	return output, nil
}

func (s *session) cmd(ctx context.Context, args []string) *exec.Cmd {
	switch args[0] {
	case "kubectl":
		return s.cp.Kubectl(ctx, args[1:]...)
	case "sallyport":
		return exec.CommandContext(ctx, s.cli, args[1:]...)
	}
	return exec.CommandContext(ctx, args[0], args[1:]...)
}

// words splits a command line at blanks outside single quotes.
func words(line string) []string {
	quoted := false
	fields := strings.FieldsFunc(line, func(r rune) bool {
		if r == '\'' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	for i, f := range fields {
		fields[i] = strings.ReplaceAll(f, "'", "")
	}
	return fields
}

const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	reset = "\x1b[0m"
)

func (s *session) paint(style, text string) string {
	if !s.colour {
		return text
	}
	return style + text + reset
}

// terminal reports whether the file is a terminal that shows colours.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
