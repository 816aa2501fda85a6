package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var egressPaths = &Check{
	Name:  "egress-paths",
	Group: groupMesh,
	Doc: `every registered host is reached through the gateway, from everywhere

Of every host and port that a ServiceEntry registers, the path of every namespace
is computed as Istio would route it. A direct path leaves without the gateway. A
broken one leads into an error: what the task page looks for with curl, openssl
and the gateway's statistics.`,
	Sources: []string{taskPage + "#troubleshooting", taskPage},
	Steps:   []int{3},
	Check: func(e *Exam) {
		if !e.need(paths...) {
			return
		}
		m := e.Mesh()
		n, mark := 0, e.mark()
		passed := map[string]passing{}
		for p := range m.AllPoints() {
			for _, client := range append(m.Clients(p.Host), mesh.AnyClient) {
				if e.Settings.GatewayNamespace(client) {
					continue // what the gateway itself sends is on its way out
				}
				n++
				path := m.Paths(client, p.Host, p.Port)
				if path.Passed && path.Verdict == mesh.Direct {
					known, ok := passed[client]
					if !ok {
						known.first = path
					}
					known.points++
					passed[client] = known
					continue
				}
				e.path(path)
			}
		}
		for _, client := range slices.Sorted(maps.Keys(passed)) {
			e.passing(passed[client])
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "path"))
	},
}

// passing is what a client's own proxies let through.
type passing struct {
	points int
	first  mesh.Path
}

// passing reports once what is no host's doing, and is so for every host that the
// client does not see, registered or not.
func (e *Exam) passing(c passing) {
	p := c.first
	why := mesh.Reason{Ref: p.Entry}
	if n := len(p.Because); n > 0 {
		why = p.Because[n-1]
	}
	explain := fmt.Sprintf("%s\nsallyport explain %s:%d --client %s cluster.yaml", dump, p.Host, p.Port, strings.ReplaceAll(p.Client, "*", "'*'"))
	e.fail(why.Ref, why.Path, explain, "from %s %s is direct, %s:%d for one: %s", clientText(p.Client), count(c.points, "registered port"), p.Host, p.Port, why.Message)
}

// path reports a path that is not as it should be.
func (e *Exam) path(p mesh.Path) {
	if p.Verdict == mesh.Via || p.Verdict == mesh.Blocked {
		return
	}
	var why mesh.Reason
	if len(p.Because) > 0 {
		why = p.Because[0]
	}
	if why.Ref == (mesh.Ref{}) {
		why.Ref = p.Entry
	}
	explain := fmt.Sprintf("%s\nsallyport explain %s:%d --client %s cluster.yaml", dump, p.Host, p.Port, strings.ReplaceAll(p.Client, "*", "'*'"))
	report := e.fail
	if p.Verdict == mesh.Undetermined {
		report = e.unknown
	}
	report(why.Ref, why.Path, explain, "%s:%d from %s is %s: %s", p.Host, p.Port, clientText(p.Client), p.Verdict, why.Message)
}

// dump writes down what the command line reads.
const dump = "sallyport dump --file cluster.yaml"

func clientText(client string) string {
	if client == mesh.AnyClient {
		return "every other namespace"
	}
	return "namespace " + client
}

var heldEntries = &Check{
	Name:  "held-entries",
	Group: groupMesh,
	Doc: `no ServiceEntry waits for its path

Sallyport holds a new ServiceEntry back (exportTo ["~"]) until its companions lead
every path through the gateway, which takes a moment. One that still waits after
five minutes waits for something: the server's leader is away, or a companion
cannot be written.`,
	Sources: []string{"docs/companions.md"},
	Check: func(e *Exam) {
		if !e.need(kinds("ServiceEntry", "Namespace")...) {
			return
		}
		n, mark := 0, e.mark()
		for o := range e.Mesh().All("ServiceEntry") {
			se := o.(*mesh.ServiceEntry)
			n++
			if se.Held() && !se.Created.IsZero() && e.Now.Sub(se.Created) > 5*time.Minute {
				seen := "no sidecar sees it"
				if e.Mesh().Namespace(se.Namespace).Ambient() {
					seen = "no waypoint leads out to it"
				}
				e.fail(se.Ref, "spec.exportTo", kubectl("-n %s events --for serviceentry/%s", se.Namespace, se.Name)+"\n"+kubectl("-n %s logs -l app.kubernetes.io/name=%s --tail=100 | grep companions", e.Namespace, e.Account),
					"%s: Sallyport holds it back since %s", seen, se.Created.UTC().Format(time.RFC3339))
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s, none held back", entries(n))
	},
}

func entries(n int) string {
	if n == 1 {
		return "1 ServiceEntry"
	}
	return fmt.Sprint(n, " ServiceEntries")
}

var sidecarOutbound = &Check{
	Name:  "sidecar-outbound",
	Group: groupMesh,
	Doc: `no Sidecar opens what the mesh keeps closed

outboundTrafficPolicy of a Sidecar overrides the mesh configuration for its
namespace, that of a Sidecar in the root namespace for all. The rule
sidecar-outbound judges, as at admission.`,
	Sources: []string{"https://istio.io/latest/docs/reference/config/networking/sidecar/#OutboundTrafficPolicy"},
	Check: func(e *Exam) {
		if !e.need(kinds("Sidecar", "Namespace")...) {
			return
		}
		n, mark := 0, e.mark()
		for o := range e.Mesh().All("Sidecar") {
			n++
			at := o.Metadata().Ref
			for _, f := range e.judged(o, "sidecar-outbound") {
				e.fail(at, f.Path, kubectl("-n %s edit sidecar %s", at.Namespace, at.Name)+"\n"+f.Fix, "%s", f.Message)
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "Sidecar"))
	},
}
