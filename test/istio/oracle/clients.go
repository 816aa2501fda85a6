package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Nobody is a namespace that no manifest names.
const Nobody = "nobody-names-this"

// Namespaces returns, sorted, every namespace that the manifests put an object
// in or refer to by a field called namespace.
func Namespaces(manifests string) ([]string, error) {
	n, err := mentionsIn(manifests)
	return slices.Sorted(maps.Keys(n.namespaces)), err
}

// Clients returns the clients whose traffic Istio may treat differently: every
// namespace that the manifests mention in any way, default and [Nobody], each
// with every set of workload labels that the manifests select, and without
// labels. The gateway's own namespace is left out.
func Clients(manifests string) ([]Client, error) {
	m, err := mentionsIn(manifests)
	if err != nil {
		return nil, err
	}
	namespaces := maps.Clone(m.namespaces)
	maps.Copy(namespaces, m.sources)
	delete(namespaces, RootNamespace)
	namespaces["default"], namespaces[Nobody] = true, true

	var out []Client
	for _, ns := range slices.Sorted(maps.Keys(namespaces)) {
		out = append(out, Client{Namespace: ns})
		for _, key := range slices.Sorted(maps.Keys(m.labels)) {
			out = append(out, Client{Namespace: ns, Labels: m.labels[key]})
		}
	}
	return out, nil
}

// mentions is what manifests say about who their clients are.
type mentions struct {
	namespaces map[string]bool
	sources    map[string]bool // sourceNamespace and exportTo
	labels     map[string]map[string]string
}

func mentionsIn(manifests string) (mentions, error) {
	m := mentions{map[string]bool{}, map[string]bool{}, map[string]map[string]string{}}
	for _, doc := range documents(manifests) {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
			return m, fmt.Errorf("read manifest: %w", err)
		}
		if meta, ok := object["metadata"].(map[string]any); ok && meta["namespace"] == nil {
			m.namespaces["default"] = true
		}
		m.collect(object)
	}
	return m, nil
}

func (m mentions) collect(value any) {
	switch v := value.(type) {
	case map[string]any:
		if ns, ok := v["namespace"].(string); ok {
			m.namespaces[ns] = true
		}
		if ns, ok := v["sourceNamespace"].(string); ok {
			m.sources[ns] = true
		}
		if list, ok := v["exportTo"].([]any); ok {
			for _, ns := range list {
				m.exported(ns)
			}
		}
		if list, ok := v["networking.istio.io/exportTo"].(string); ok {
			for ns := range strings.SplitSeq(list, ",") {
				m.exported(strings.TrimSpace(ns))
			}
		}
		m.selected(v["sourceLabels"])
		if selector, ok := v["workloadSelector"].(map[string]any); ok {
			m.selected(selector["labels"])
			m.selected(selector["matchLabels"])
		}
		for _, child := range v {
			m.collect(child)
		}
	case []any:
		for _, child := range v {
			m.collect(child)
		}
	}
}

func (m mentions) exported(to any) {
	if ns, ok := to.(string); ok && ns != "." && ns != "*" && ns != "~" {
		m.sources[ns] = true
	}
}

func (m mentions) selected(labels any) {
	v, ok := labels.(map[string]any)
	if !ok || len(v) == 0 {
		return
	}
	set := map[string]string{}
	for k, value := range v {
		set[k] = fmt.Sprint(value)
	}
	m.labels[Client{Labels: set}.String()] = set
}
