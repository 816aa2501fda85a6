package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/rules"
)

// writeGitHub writes workflow commands, which GitHub shows beside the lines of
// a pull request
// (https://docs.github.com/actions/reference/workflow-commands-for-github-actions).
func writeGitHub(w io.Writer, r *Review) error {
	b := bufio.NewWriter(w)
	for _, o := range r.Objects {
		for _, f := range o.own() {
			fmt.Fprintf(b, "::%s file=%s,line=%s,title=%s::%s\n", command(f.Severity),
				property(o.File), strconv.Itoa(cmp.Or(f.Line, o.Line, 1)), property(o.title()+": "+f.Rule),
				data(join(": ", f.Path, f.text())))
		}
	}
	fmt.Fprintf(b, "%s: %d denied, %d warned.\n", count(r.Summary.Objects, "object"), r.Summary.Denied, r.Summary.Warned)
	return b.Flush()
}

func command(s rules.Severity) string {
	switch s {
	case rules.Deny:
		return "error"
	case rules.Warn:
		return "warning"
	default:
		return "notice"
	}
}

// data and property escape as the runner's own toolkit does
// (actions/toolkit, packages/core/src/command.ts).
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(printable.Command(printable.Text(s)))
}

func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(printable.Command(printable.Line(s)))
}
