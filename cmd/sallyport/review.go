package main

import (
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sallyport-io/sallyport/internal/build"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/report"
)

func newReviewCommand() *cobra.Command {
	in := input{asStored: true}
	format := enum[report.Format]{value: report.Text, allowed: report.Formats, name: "FORMAT"}
	cmd := &cobra.Command{
		Use:   "review [flags] FILE|DIR|- ...",
		Short: "Judge manifests as the admission server would",
		Long: `Review judges every object in the files as a write into the mesh that all the
files form together, and says where traffic for every external host goes.

A directory stands for every .yaml, .yml and .json file in it and beneath it;
"-" stands for standard input. Sallyport's own configuration among them is left
out; --config takes it. So are, with a note, the patches of kustomizations, and
an object of a name that another directory has had: judge what kustomize builds.
--exclude leaves out more. Objects without a namespace are in "default".
Field names in the snake_case of 2018 are read, and reported with their modern
form. Unknown fields, wrong types and hosts that are no hosts are errors.
Pods are judged where their Namespace, given or in the --state, says that they
are part of the mesh.

Paths are given for every namespace that the input names and, as "*", for every
other, with the companions in place that Sallyport would keep, but for those that
are blocked; --blocked lists them, too. Of the hosts in
the --state those are listed that the judged objects bear on. The JSON form is
described by docs/review.schema.json.

What several objects do wrong for one cause is told once, at the one that decides
where the traffic goes; the others are named there, and count as denied all the
same. The JSON form tells it at each, with the field sameAs.

An object that is in the --state as well is judged as the update that it is: what
was wrong with it already is only warned of, and an entry that stands there without
Sallyport's mark has no companions.

Objects that all come out of a cluster (each has a uid) are judged as they stand
there: admission fills in nothing any more, an entry that is held back is closed,
and paths have those companions that are there.

Exit status: 0 nothing is denied; 1 something is denied; 2 the input could not
be read or judged (file, line and reason on standard error).`,
		Example: `  # Judge a directory
  sallyport review manifests/

  # Judge a change against what is in the cluster already
  sallyport review --cluster change.yaml

  # Or, where there is no way to the cluster, against a dump of it
  sallyport dump --file cluster.yaml
  sallyport review --state cluster.yaml change.yaml

  # Judge what a chart renders, as it stands without Sallyport's companions
  helm template chart/ | sallyport review --injection=disabled -

  # Annotate a pull request
  sallyport review -o github manifests/`,
		Args: in.files(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			j, err := in.judge(cmd, names)
			if err != nil {
				return err
			}
			r, err := j.report()
			if err != nil {
				return err
			}
			w := report.Writer{
				Format:  format.value,
				Color:   isTerminal(cmd.OutOrStdout()) && os.Getenv("NO_COLOR") == "",
				Rules:   slices.Concat(j.rules, report.Builtin),
				Version: build.Read().Version,
			}
			if err := w.Write(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			if j.denied() {
				return errDenied
			}
			return nil
		},
	}
	in.addFlags(cmd)
	cmd.Flags().BoolVar(&in.blocked, "blocked", false, "list paths that are blocked as well: one for each host and namespace that does not see it")
	cmd.Flags().VarP(&format, "output", "o", "form of the output: "+format.list(", "))
	_ = cmd.RegisterFlagCompletionFunc("output", format.complete) // fails for unknown flags only
	return cmd
}

// isTerminal reports whether a person looks at what is written there.
func isTerminal(out io.Writer) bool {
	if p, ok := out.(*printable.Writer); ok {
		out = p.Unwrap()
	}
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
