package istio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// row is one client and egress point, with Istio's verdict and ours.
type row struct {
	client, host string
	port         int
	istio        oracle.Verdict
	ours         mesh.Verdict
	istioWhy     string
	oursWhy      string
	passed       bool // as [mesh.Path.Passed]
	sidecar      bool // the client has sidecars
}

func (r row) String() string {
	return fmt.Sprintf("%-17s %s:%d  istio %-8s ours %s", r.client, r.host, r.port, r.istio, r.ours)
}

// disagree reports whether the two verdicts contradict each other about
// direct or about via. An undetermined path is no contradiction.
func (r row) disagree() bool {
	if r.ours == mesh.Undetermined {
		return false
	}
	return (r.istio == oracle.Direct) != (r.ours == mesh.Direct) || (r.istio == oracle.Via) != (r.ours == mesh.Via)
}

// answers are both judges' answers about one set of manifests.
type answers struct {
	rows []row
	// leaks are Istio's ways out of each client namespace past the gateway,
	// whatever they are for; open are the namespaces that let out traffic
	// for unknown destinations.
	leaks map[string][]string
	open  []string
	// denials are the rules that deny an object of the set, first where the
	// platform owns every namespace, then where it owns the gateway's only.
	platform, tenant []string
	// ambient is true of a mesh with namespaces in ambient mode; detours are the
	// ways at its waypoints that lead to another host than the one called.
	ambient bool
	detours []string
}

// ask puts the manifests to both judges. A namespace's verdict is the worst of
// all its workloads', as that of [mesh.Mesh.Paths].
func ask(manifests string) (answers, error) {
	out := answers{leaks: map[string][]string{}}
	clients, err := oracle.Clients(manifests)
	if err != nil {
		return out, err
	}
	world, err := oracle.Ask(manifests, clients...)
	if err != nil {
		return out, err
	}
	m, err := load(mesh.DefaultSettings(), manifests)
	if err != nil {
		return out, err
	}
	index := map[string]int{}
	for _, c := range world.Clients {
		name := c.Namespace
		if name == oracle.Nobody {
			name = mesh.AnyClient
		}
		if leaks := c.Leaks(); len(leaks) > 0 {
			out.leaks[name] = append(out.leaks[name], leaks...)
		}
		if c.Passthrough() && !slices.Contains(out.open, name) {
			out.open = append(out.open, name)
		}
		for _, p := range world.Points() {
			verdict, why := world.Verdict(c, p)
			if verdict == oracle.Blocked && c.Passthrough() {
				verdict, why = oracle.Direct, "the client's proxy lets everything else out"
			}
			key := fmt.Sprintf("%s %s:%d", name, p.Host, p.Port)
			at, seen := index[key]
			if !seen {
				ours := m.Paths(name, p.Host, int(p.Port))
				index[key] = len(out.rows)
				out.rows = append(out.rows, row{
					client: name, host: p.Host, port: int(p.Port),
					istio: verdict, istioWhy: why, ours: ours.Verdict, oursWhy: because(ours),
				})
				continue
			}
			if r := &out.rows[at]; severity(verdict) > severity(r.istio) {
				r.istio, r.istioWhy = verdict, why
			}
		}
	}
	if out.platform, err = denials(manifests, namespacesOf(clients)); err != nil {
		return out, err
	}
	out.tenant, err = denials(manifests, []string{oracle.RootNamespace})
	return out, err
}

// denials returns the rules by which a review of the whole set, without
// companions, denies an object of it.
func denials(manifests string, platform []string) ([]string, error) {
	settings := mesh.DefaultSettings()
	settings.PlatformNamespaces, settings.InjectionOverride, settings.Injection = platform, new(bool), mesh.InjectNone
	objects, err := documents(manifests)
	if err != nil {
		return nil, err
	}
	judge := review.Judge{Rules: rules.All}
	batch, err := judge.ReviewAll(context.Background(), mesh.New(settings), objects)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, o := range batch.Outcomes {
		for _, f := range o.Findings {
			if f.Severity == rules.Deny {
				out = append(out, f.Rule)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func namespacesOf(clients []oracle.Client) []string {
	out := []string{oracle.RootNamespace}
	for _, c := range clients {
		out = append(out, c.Namespace)
	}
	return out
}

func severity(v oracle.Verdict) int {
	return slices.Index([]oracle.Verdict{oracle.Via, oracle.Blocked, oracle.Broken, oracle.Direct}, v)
}

func because(p mesh.Path) string {
	var reasons []string
	for _, r := range p.Because {
		reasons = append(reasons, fmt.Sprintf("%s %s: %s", r.Ref, r.Path, r.Message))
	}
	return strings.Join(reasons, "; ")
}

// load reads the manifests into our model.
func load(settings mesh.Settings, manifests string) (*mesh.Mesh, error) {
	docs, err := documents(manifests)
	if err != nil {
		return nil, err
	}
	var objects []mesh.Object
	for _, raw := range docs {
		o, err := mesh.Decode(raw)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return mesh.New(settings, objects...), nil
}

// documents returns the JSON of every object of the mesh, in the namespace
// default where it names none.
func documents(manifests string) ([][]byte, error) {
	var out [][]byte
	for _, doc := range strings.Split("\n"+manifests, "\n---") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
			return nil, err
		}
		if len(object) == 0 {
			continue
		}
		if meta, ok := object["metadata"].(map[string]any); ok && meta["namespace"] == nil {
			meta["namespace"] = "default"
		}
		raw, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	return out, nil
}
