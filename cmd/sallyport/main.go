// Command sallyport judges Istio manifests before they reach a cluster: it
// says where traffic for every external host would really go, what the
// admission server would deny, and which objects Sallyport would add. It needs
// no cluster. Installed as kubectl-sallyport it is a kubectl plugin.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/printable"
)

// The exit statuses.
const (
	exitOK      = 0
	exitDenied  = 1 // something is denied
	exitFailed  = 2 // the input could not be read or judged
	exitUnknown = 3 // of a cluster something cannot be told
)

// errDenied ends a command that has already said what is denied.
var errDenied = errors.New("denied")

// errUnknown ends a command that has already said what cannot be told.
var errUnknown = errors.New("cannot tell")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Whoever asks a second time does not wait for this to end in good order.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the command line and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	if strings.HasPrefix(filepath.Base(args[0]), "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sallyport"}
	}
	root.SetArgs(args[1:])
	root.SetIn(stdin)
	// Whatever is written comes from files of strangers, in part.
	out, errOut := printable.NewWriter(stdout), printable.NewWriter(stderr)
	root.SetOut(out)
	root.SetErr(errOut)
	code := exitStatus(root, root.ExecuteContext(ctx), errOut)
	if err := errors.Join(out.Flush(), errOut.Flush()); err != nil && code == exitOK {
		return exitFailed // as where it fails before the last line
	}
	return code
}

// exitStatus says what went wrong, and returns the exit status.
func exitStatus(root *cobra.Command, err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitDenied
	case errors.Is(err, errUnknown):
		return exitUnknown
	default:
		if strings.HasPrefix(err.Error(), "unknown command ") && !strings.Contains(err.Error(), "--help") {
			err = usageError(root, err) // cobra's own, before any command is asked
		}
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
}
