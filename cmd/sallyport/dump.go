package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/cluster"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/report"
)

func newDumpCommand() *cobra.Command {
	var c connection
	var configuration, file string
	var timeout time.Duration
	format := enum[report.Format]{value: report.YAML, allowed: []report.Format{report.YAML, report.JSON}, name: "FORMAT"}
	cmd := &cobra.Command{
		Use:   "dump [flags]",
		Short: "Write down everything of a cluster that the other commands read",
		Long: `Dump writes every object of a cluster that a review, an explanation, a plan of
NetworkPolicies, the replay of policies or the doctor reads: whatever kind
Sallyport judges or paths depend on, Istio's Gateways beside those of the Gateway
API, in all namespaces. "sallyport review --state cluster.yaml" then judges as the
server in that cluster would.

It reads as the user of the kubeconfig, page by page, and changes nothing. It reads
no Secret, and ConfigMaps in Istio's namespace (and two of the CNI plugins' by name)
alone; what is in the fields of Pods is in the dump. metadata.managedFields is left
out. Objects that change meanwhile are as they were when their kind was read.

YAML is a stream of documents, JSON one object a line. A --file is there at the end,
or not at all: a dump that was broken off is never taken for one. A kind that the
API server does not serve has no objects, and a note says so.

Exit status: 0 the dump is complete; 2 the cluster could not be read; 3 it was read
but for some kinds, which standard error names with the reason.`,
		Example: `  sallyport dump --file cluster.yaml
  sallyport review --state cluster.yaml change.yaml

  # Another cluster
  sallyport dump --context production --file cluster.yaml

  # As JSON, for other programs
  sallyport dump -o json | jq -r 'select(.kind == "ServiceEntry") | .spec.hosts[]'`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			client, cfg, err := c.connect(ctx, cmd, configuration)
			if err != nil {
				return interrupted(ctx, err, timeout)
			}
			var reading *cluster.Reading
			err = written(cmd.OutOrStdout(), file, func(w io.Writer) error {
				d := dumper{w: w, json: format.value == report.JSON}
				reading, err = client.Read(ctx, contents(cfg), d.add, progress(cmd))
				return err
			})
			if err != nil {
				return interrupted(ctx, err, timeout)
			}
			noteAbsent(cmd, reading)
			for _, m := range reading.Missed {
				printable.Fprintf(cmd.ErrOrStderr(), "%v\n", m)
			}
			if len(reading.Missed) > 0 {
				printable.Fprintf(cmd.ErrOrStderr(), "the dump is not complete: paths and findings that depend on what it lacks are not to be told by it\n")
				return errUnknown
			}
			return nil
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&configuration, "config", "", "the server's configuration `FILE`, which says where Istio is (default: the one that its pods mount)")
	f.StringVarP(&file, "file", "f", "", "`FILE` to write to (default: standard output)")
	f.DurationVar(&timeout, "timeout", 10*time.Minute, "`TIME` that reading the cluster may take")
	f.VarP(&format, "output", "o", "format of the dump: "+format.list(" or "))
	_ = cmd.RegisterFlagCompletionFunc("output", format.complete) // fails for unknown flags only
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	return cmd
}

// interrupted is why reading a cluster ended early, where that was the context's end.
func interrupted(ctx context.Context, err error, timeout time.Duration) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the cluster has not been read within %s; give more time with --timeout", timeout)
	case ctx.Err() != nil:
		return errors.New("interrupted: the cluster has not been read to the end")
	}
	return err
}

// progress says on a terminal how far reading has got.
func progress(cmd *cobra.Command) func(cluster.Query, int) {
	w := cmd.ErrOrStderr()
	seen := isTerminal(w)
	return func(q cluster.Query, objects int) {
		if seen && objects > 0 {
			printable.Fprintf(w, "%s: %d\n", q, objects)
		}
	}
}

// noteAbsent says which kinds the API server does not serve.
func noteAbsent(cmd *cobra.Command, r *cluster.Reading) {
	if len(r.Absent) == 0 {
		return
	}
	names := make([]string, len(r.Absent))
	for i, k := range r.Absent {
		names[i] = k.String()
	}
	printable.Fprintf(cmd.ErrOrStderr(), "note: the API server does not serve %s: there are no objects of them\n", strings.Join(names, ", "))
}

// written has write write to a file, which is there when all has been written, or
// where none is named to out.
func written(out io.Writer, file string, write func(io.Writer) error) (err error) {
	if file == "" {
		return write(out)
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("--file: %s is no regular file; leave --file out to write to standard output", file)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".sallyport-dump-*")
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	buffer := bufio.NewWriter(f)
	lines := printable.NewWriter(buffer)
	err = write(lines)
	if err == nil {
		err = errors.Join(lines.Flush(), buffer.Flush())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// dumper writes objects one after the other.
type dumper struct {
	w    io.Writer
	json bool
	some bool
}

func (d *dumper) add(raw []byte) error {
	raw, err := withoutManagers(raw)
	if err != nil {
		return err
	}
	if d.json {
		_, err := d.w.Write(append(raw, '\n'))
		return err
	}
	text, err := printable.YAML(json.RawMessage(raw))
	if err != nil {
		return err
	}
	if d.some {
		text = append([]byte("---\n"), text...)
	}
	d.some = true
	_, err = d.w.Write(text)
	return err
}

// withoutManagers is an object on one line without its metadata.managedFields, which
// may be half of it and which nothing is judged by.
func withoutManagers(raw []byte) ([]byte, error) {
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return nil, err
	}
	if meta, ok := object["metadata"].(map[string]any); ok {
		delete(meta, "managedFields")
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(object)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// dumped is a cluster read into memory, with the configuration of its server: all of
// it, because a path that depends on what is missing would be told wrongly.
func (c *connection) dumped(cmd *cobra.Command, file string) ([]byte, *config.Config, error) {
	client, cfg, err := c.connect(cmd.Context(), cmd, file)
	if err != nil {
		return nil, nil, interrupted(cmd.Context(), err, 0)
	}
	var out bytes.Buffer
	d := dumper{w: &out, json: true}
	reading, err := client.Read(cmd.Context(), contents(cfg), d.add, progress(cmd))
	if err != nil {
		return nil, nil, interrupted(cmd.Context(), err, 0)
	}
	errs := make([]error, len(reading.Missed))
	for i, m := range reading.Missed {
		errs[i] = m
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, fmt.Errorf("%w\nthe cluster is judged whole or not at all; see docs/doctor.md for a ClusterRole that may read it, or give what there is with --state", err)
	}
	return out.Bytes(), cfg, nil
}
