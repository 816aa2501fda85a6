package istio_test

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
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
	return out, nil
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
	var objects []mesh.Object
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
		raw, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		if raw, err = yaml.YAMLToJSON(raw); err != nil {
			return nil, err
		}
		o, err := mesh.Decode(raw)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return mesh.New(settings, objects...), nil
}
