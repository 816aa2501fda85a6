package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/rules"
)

// maxRows is how many paths text shows before it leaves out those that are in
// order.
const maxRows = 60

// palette holds the escape sequences of a terminal, or nothing.
type palette struct{ red, yellow, green, bold, faint, reset printable.Raw }

func colors(on bool) palette {
	if !on {
		return palette{}
	}
	return palette{red: "\x1b[31m", yellow: "\x1b[33m", green: "\x1b[32m", bold: "\x1b[1m", faint: "\x1b[2m", reset: "\x1b[0m"}
}

func (p palette) of(v Verdict) printable.Raw {
	return map[Verdict]printable.Raw{Deny: p.red, Warn: p.yellow, Allow: p.green}[v]
}

func (p palette) severity(s rules.Severity) printable.Raw {
	return map[rules.Severity]printable.Raw{rules.Deny: p.red, rules.Warn: p.yellow, rules.Info: p.faint}[s]
}

func writeText(w io.Writer, r *Review, color bool) error {
	b := bufio.NewWriter(w)
	p := colors(color)
	harmless, unknown, wrappers := tally{}, tally{}, tally{}
	absent := map[string]tally{} // by namespace
	fixes := map[string]string{} // where each stands
	for _, o := range r.Objects {
		switch o.unjudged() {
		case HarmlessKind.Name:
			harmless[o.unknown()]++
			continue
		case UnknownKind.Name:
			unknown[o.unknown()]++
			continue
		case Wrapper.Name:
			wrappers[o.unknown()]++
			continue
		case AbsentNamespace.Name:
			if absent[o.Namespace] == nil {
				absent[o.Namespace] = tally{}
			}
			absent[o.Namespace][o.Kind]++
			continue
		}
		findings := o.own()
		if len(findings) == 0 {
			continue
		}
		printable.Fprintf(b, "%s%s: %s%s: %s%s%s\n", p.bold, place(o.File, o.Line), o.title(), p.reset, p.of(o.Verdict), past[o.Verdict], p.reset)
		for _, f := range findings {
			printable.Fprintf(b, "  %s%s%s %s %s(%s)%s\n", p.severity(f.Severity), f.Severity, p.reset,
				place(cmp.Or(f.Path, o.Kind), 0), p.faint, join(", ", lineNote(f.Line), f.Rule), p.reset)
			what, why := f.Message, ""
			if len(what) > rules.FirstLine-4 { // the place has a line of its own
				what, why = f.Split()
			}
			printable.Fprintf(b, "%s", indent("    ", what))
			for _, line := range rules.Wrap(why, rules.Columns-6) {
				printable.Fprintf(b, "%s", indent("      ", line))
			}
			if len(f.Also) > 0 {
				printable.Fprintf(b, "    The same goes for:\n%s", indent("      ", listed(f.Also)))
			}
			given, known := fixes[f.Fix]
			long := strings.Contains(strings.TrimSpace(f.Fix), "\n")
			switch {
			case f.Fix == "":
			case known && long && given == o.title():
				printable.Fprintf(b, "    %sFix:%s as above\n", p.bold, p.reset)
			case known && long:
				printable.Fprintf(b, "    %sFix:%s that of %s\n", p.bold, p.reset, given)
			default:
				fixes[f.Fix] = o.title()
				printable.Fprintf(b, "    %sFix:%s\n%s", p.bold, p.reset, indent("      ", rules.WrapComments(f.Fix, rules.Columns-6)))
			}
		}
		fmt.Fprintln(b)
	}
	writePaths(b, r.Paths, p)
	if len(harmless) > 0 {
		printable.Fprintf(b, "Not judged, for they do not bear on egress: %s.\n", harmless)
	}
	if len(unknown) > 0 {
		printable.Fprintf(b, "Not read, so that nothing is known of what they do: %s.\n", unknown)
	}
	if len(wrappers) > 0 {
		printable.Fprintf(b, "Not judged, for they stand for objects that are not among these: %s.\n", wrappers)
	}
	for _, namespace := range slices.Sorted(maps.Keys(absent)) {
		printable.Fprintf(b, "Not judged, for no Namespace %s is among the objects: %s.\n", namespace, absent[namespace])
	}
	if n := len(r.Companions); n > 0 {
		printable.Fprintf(b, "Sallyport keeps %s for these hosts; \"sallyport plan\" prints them.\n", count(n, "companion"))
	}
	printable.Fprintf(b, "%s: %d denied, %d warned.\n", count(r.Summary.Objects, "object"), r.Summary.Denied, r.Summary.Warned)
	return b.Flush()
}

// tally counts objects by kind.
type tally map[string]int

func (t tally) String() string {
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(t)) {
		kinds = append(kinds, fmt.Sprintf("%s (%d)", kind, t[kind]))
	}
	return strings.Join(kinds, ", ")
}

var past = map[Verdict]string{Allow: "allowed", Warn: "allowed with warnings", Deny: "denied"}

// unknown names the kind of an object that the model does not hold; with its
// group where a kind of another group has the same name and is judged.
func (o Object) unknown() string {
	group, _, ok := strings.Cut(o.APIVersion, "/")
	switch {
	case !slices.Contains(mesh.Kinds(), o.Kind), !ok && o.Kind == mesh.IstioConfigKind: // of which most are nobody's configuration
		return o.Kind
	case !ok:
		return o.Kind + " of the core group"
	default:
		return o.Kind + " of " + group
	}
}

// title is "Kind namespace/name".
func (o Object) title() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}

func lineNote(line int) string {
	if line == 0 {
		return ""
	}
	return "line " + strconv.Itoa(line)
}

// join joins what is not empty.
func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

// indent makes the text fit to be shown, and indents its lines.
func indent(by, s string) printable.Raw {
	var b strings.Builder
	s = printable.Text(s)
	for line := range strings.Lines(strings.TrimRight(s, "\n") + "\n") {
		if line == "\n" {
			b.WriteString(line)
			continue
		}
		b.WriteString(by + line)
	}
	return printable.Raw(b.String())
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// row is one line of the table of paths: clients that share a fate share a
// line.
type row struct {
	mesh.Path
	clients []string
}

func writePaths(w io.Writer, paths []mesh.Path, p palette) {
	rows := rowsOf(paths)
	hidden := 0
	if len(rows) > maxRows {
		all := len(rows)
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.Verdict == mesh.Via || r.Verdict == mesh.Blocked })
		hidden = all - len(rows)
	}
	writeTable(w, rows, p)
	if hidden > 0 {
		printable.Fprintf(w, "(%d more via the gateway or blocked; -o json lists them)\n", hidden)
	}
	if len(paths) > 0 {
		fmt.Fprintln(w)
	}
}

// writeTable aligns the rows. Colours take no place on the screen, so they go
// around what is padded already.
func writeTable(w io.Writer, rows []row, p palette) {
	if len(rows) == 0 {
		return
	}
	lines := [][]string{{"HOST", "PORT", "CLIENT", "PATH", "WHY"}}
	for _, r := range rows {
		cells := []string{r.Host, fmt.Sprintf("%d %s", r.Port, r.Protocol), r.client(), string(r.Verdict), r.why()}
		for i, c := range cells {
			cells[i] = printable.Line(c)
		}
		lines = append(lines, cells)
	}
	width := make([]int, len(lines[0]))
	for _, cells := range lines {
		for i, c := range cells {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for n, cells := range lines {
		var b strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2)
			if n > 0 && i == 3 {
				c = string(p.path(rows[n-1].Verdict)) + c + string(p.reset)
			}
			b.WriteString(c + pad)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

func (p palette) path(v mesh.Verdict) printable.Raw {
	switch v {
	case mesh.Via:
		return p.green
	case mesh.Direct:
		return p.red
	case mesh.Broken, mesh.Undetermined:
		return p.yellow
	default:
		return p.faint
	}
}

// maxClients is how many clients a row names.
const maxClients = 4

func (r row) client() string {
	if extra := len(r.clients) - maxClients; extra > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(r.clients[:maxClients], ", "), extra)
	}
	return strings.Join(r.clients, ", ")
}

// decisive is the first reason, where there is any.
func decisive(p mesh.Path) mesh.Reason {
	if len(p.Because) == 0 {
		return mesh.Reason{}
	}
	return p.Because[0]
}

// why is the decisive reason, or the gateway where all is well.
func (r row) why() string {
	reason := decisive(r.Path)
	switch {
	case r.Verdict == mesh.Via || reason == mesh.Reason{}:
		return r.Gateway
	case reason.Kind == "":
		return reason.Message
	default:
		return join(" ", reason.String(), reason.Path) + ": " + reason.Message
	}
}

// rowsOf gathers the clients of paths that one field decides in the same way,
// whatever its message says of each. Paths are sorted by host and port, so
// that only the last rows need a look.
func rowsOf(paths []mesh.Path) []row {
	var rows []row
	first := 0 // the first row of this host and port
	for _, path := range paths {
		if first < len(rows) && (rows[first].Host != path.Host || rows[first].Port != path.Port) {
			first = len(rows)
		}
		i := slices.IndexFunc(rows[first:], func(r row) bool {
			return r.Protocol == path.Protocol && r.Verdict == path.Verdict && r.Gateway == path.Gateway && sameField(r.Path, path)
		})
		if i < 0 {
			rows = append(rows, row{Path: path, clients: []string{path.Client}})
			continue
		}
		rows[first+i].clients = append(rows[first+i].clients, path.Client)
	}
	return rows
}

// sameField reports whether one field of one object decides both paths. The
// reason of a path via the gateway is the gateway.
func sameField(a, b mesh.Path) bool {
	ra, rb := decisive(a), decisive(b)
	return a.Verdict == mesh.Via || ra.Ref == rb.Ref && ra.Path == rb.Path
}
