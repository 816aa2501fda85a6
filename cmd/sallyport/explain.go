package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/printable"
)

func newExplainCommand() *cobra.Command {
	in := input{asStored: true}
	var client string
	cmd := &cobra.Command{
		Use:   "explain HOST[:PORT] --client NAMESPACE FILE|DIR|- ...",
		Short: "Explain hop by hop which way traffic for a host takes",
		Long: `Explain prints the path that traffic of a client namespace takes to an external
host, hop by hop, with the object and field that decides each hop; or the hop
that is missing. Without a port it explains every port that is registered for
the host. The companions that Sallyport would keep are in place; see what there
is without them by --injection=disabled. Objects that all come out of a cluster
(each has a uid) are explained as they stand there.

The client "*" stands for every namespace that the input does not name.

Exit status: 0 the path is explained, whatever it is; 2 the input could not be
read or judged (file, line and reason on standard error).`,
		Example: `  # Which way do the pods of namespace shop take?
  sallyport explain api.example.com --client shop manifests/

  # And everybody else's, on one port?
  sallyport explain api.example.com:443 --client '*' manifests/

  # As the cluster stands?
  sallyport explain api.example.com --client shop --cluster`,
		Args: in.files(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			host, port, err := splitHostPort(names[0])
			if err != nil {
				return usageError(cmd, err)
			}
			if client == "" {
				return usageError(cmd, errors.New("--client is missing: name the namespace whose traffic to explain, or '*'"))
			}
			if msgs := validation.IsDNS1123Label(client); client != mesh.AnyClient && len(msgs) > 0 {
				return usageError(cmd, fmt.Errorf("--client: %q is no name of a namespace (small letters, digits and '-', 63 at most) and not '*'", client))
			}
			j, err := in.judge(cmd, names[1:])
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), j, client, host, port)
		},
	}
	in.addFlags(cmd)
	cmd.Flags().StringVar(&client, "client", "", "the `NAMESPACE` whose traffic to explain (required)")
	return cmd
}

// splitHostPort takes HOST[:PORT] apart; port is zero where there is none.
func splitHostPort(s string) (host string, port int, err error) {
	host = s
	if h, digits, err := net.SplitHostPort(s); err == nil {
		host = h
		if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
			return "", 0, fmt.Errorf("%q is not HOST or HOST:PORT", s)
		}
	}
	if _, err := netip.ParseAddr(host); host == "" || err != nil && strings.ContainsAny(host, "/: ") {
		return "", 0, fmt.Errorf("%q is not HOST or HOST:PORT", s)
	}
	return mesh.CanonicalHost(host), port, nil
}

// explain writes the path of one client to one host, on one port or, where
// port is zero, on every registered one.
func explain(w io.Writer, j *judged, client, host string, port int) error {
	b, m, objects := bufio.NewWriter(w), j.batch.Mesh, j.objects
	points := pointsFor(m, host, port)
	if len(points) == 0 {
		printable.Fprintf(b, "%s: no ServiceEntry registers it as a host outside the mesh.\n", join(host, port))
		explainUnknown(b, m, client, places(objects))
		return b.Flush()
	}
	if !j.stored {
		// A host of the state that no given object bears on has its companions too.
		var hosts []string
		for _, p := range points {
			hosts = append(hosts, p.Host)
		}
		m, _ = companion.Apply(m, hosts...)
	}
	where := places(objects)
	for i, p := range points {
		if i > 0 {
			fmt.Fprintln(b)
		}
		explainPath(b, m.Paths(client, p.Host, p.Port), host, where)
	}
	return b.Flush()
}

// explainUnknown says what becomes of a client's traffic for hosts that nobody
// registers. What the whole mesh does only the configuration says, which may
// be wrong about it.
func explainUnknown(w io.Writer, m *mesh.Mesh, client string, where func(mesh.Reason) string) {
	open, because := m.Passthrough(client)
	ns := m.Namespace(client)
	switch {
	case ns.Ambient():
		printable.Fprintf(w, "The path is direct: ztunnel passes on what it does not know, for the pods of %s.\n", clientName(client))
		return
	case ns != nil && !ns.InMesh():
		printable.Fprintf(w, "The path is direct: no label gives the pods of %s a proxy, and they connect to unknown hosts themselves.\n", clientName(client))
		return
	case open:
		printable.Fprintf(w, "A sidecar in %s lets traffic to unknown hosts pass.\n", clientName(client))
	case m.Settings().AllowAny:
		printable.Fprintf(w, "A sidecar in %s drops traffic to unknown hosts: its Sidecar says REGISTRY_ONLY.\n", clientName(client))
	default:
		printable.Fprintf(w, "A sidecar in %s drops traffic to unknown hosts, as outboundTrafficPolicy in the configuration\n"+
			"(--config) says of the mesh: REGISTRY_ONLY, which is its default.\n", clientName(client))
	}
	for _, r := range because {
		printable.Fprintf(w, "  because %s\n", r.Message)
		if r.Kind != "" {
			printable.Fprintf(w, "     %s\n", where(r))
		}
	}
}

func clientName(client string) string {
	if client == mesh.AnyClient {
		return "any other namespace"
	}
	return "namespace " + client
}

// pointsFor returns the egress points that traffic for the host belongs to:
// the host's own or else, on each port, those of the longest wildcard.
func pointsFor(m *mesh.Mesh, host string, port int) []mesh.Point {
	best := map[int]mesh.Point{}
	for p := range m.AllPoints() {
		if port != 0 && p.Port != port || !mesh.HostCovers(p.Host, host) {
			continue
		}
		if b, ok := best[p.Port]; !ok || len(p.Host) > len(b.Host) || p.Host == host {
			best[p.Port] = p
		}
	}
	return slices.SortedFunc(func(yield func(mesh.Point) bool) {
		for _, p := range best {
			if !yield(p) {
				return
			}
		}
	}, func(a, b mesh.Point) int { return a.Port - b.Port })
}

func explainPath(w io.Writer, p mesh.Path, host string, where func(mesh.Reason) string) {
	printable.Fprintf(w, "%s %s from %s: %s", join(host, p.Port), p.Protocol, clientName(p.Client), p.Verdict)
	if p.Gateway != "" {
		printable.Fprintf(w, " %s", p.Gateway)
	}
	fmt.Fprintln(w)
	if p.Host != host {
		printable.Fprintf(w, "  registered as %s\n", p.Host)
	}
	because := map[field]string{}
	for _, r := range p.Because {
		because[field{r.Ref, r.Path}] = r.Message
	}
	said := map[field]bool{}
	for i, h := range p.Hops {
		f := field{h.Decided.Ref, h.Decided.Path}
		said[f] = true
		printable.Fprintf(w, "  %d. %s\n     -> %s\n", i+1, h.From, h.To)
		if h.Decided.Kind != "" {
			printable.Fprintf(w, "     by %s\n", where(h.Decided))
		}
		if message := cmp.Or(because[f], h.Decided.Message); message != "" {
			printable.Fprintf(w, "     %s\n", message)
		}
	}
	for _, r := range p.Because {
		if said[field{r.Ref, r.Path}] {
			continue
		}
		printable.Fprintf(w, "  because %s\n", r.Message)
		if r.Kind != "" {
			printable.Fprintf(w, "     %s\n", where(r))
		}
	}
}

// field is one field of one object.
type field struct {
	ref  mesh.Ref
	path string
}

// places returns a function that names a field and, where it was given in a
// file, the file and line.
func places(objects []*manifest.Object) func(mesh.Reason) string {
	given := make(map[mesh.Ref]*manifest.Object, len(objects))
	for _, o := range objects {
		if m, err := mesh.Decode(o.Raw); err == nil {
			given[m.Metadata().Ref] = o
		}
	}
	return func(r mesh.Reason) string {
		s := r.String()
		if r.Path != "" {
			s += " " + r.Path
		}
		if o := given[r.Ref]; o != nil {
			s += fmt.Sprintf(" (%s:%d)", o.File, o.LineOf(r.Path))
		}
		return s
	}
}

func join(host string, port int) string {
	if port == 0 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
