package istio_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// The sorts of contradiction about the fixes that the denials of a mesh print.
const (
	fixFails  = "fix-fails"  // with all of them applied Istio still lets traffic for a host out that they are for
	fixBreaks = "fix-breaks" // with all of them applied Istio has another way for something else
)

// askFixed applies the fixes that the denials of a mesh print, of which Istio has been
// asked, and asks it again. Why says what it has against them.
func askFixed(manifests string, before answers) (sort, why string, err error) {
	fixed, hosts, err := applyFixes(manifests)
	if err != nil || fixed == "" {
		return "", "", err
	}
	after, err := ask(fixed)
	if err != nil {
		return fixBreaks, err.Error(), nil // of what Istio refuses, too
	}
	was := map[string]row{}
	for _, r := range before.rows {
		was[fmt.Sprintf("%s %s:%d", r.client, r.host, r.port)] = r
	}
	for _, is := range after.rows {
		was, ok := was[fmt.Sprintf("%s %s:%d", is.client, is.host, is.port)]
		switch {
		case is.istio == oracle.Direct && (!ok || was.istio != oracle.Direct):
			return fixBreaks, is.String() + ": " + is.istioWhy, nil
		case is.istio == oracle.Direct && hosts[is.host]:
			return fixFails, is.String() + ": " + is.istioWhy, nil
		case ok && was.istio == oracle.Via && is.istio != oracle.Via:
			return fixBreaks, was.String() + ", and now " + is.String() + ": " + is.istioWhy, nil
		}
	}
	return "", "", nil
}

// applyFixes returns the manifests with all YAML applied that the denials of a review
// print, empty where there is none, and the hosts for which that is all they print.
func applyFixes(manifests string) (string, map[string]bool, error) {
	settings := mesh.DefaultSettings()
	settings.PlatformNamespaces, settings.InjectionOverride = []string{oracle.RootNamespace}, new(bool)
	objects, err := documents(manifests)
	if err != nil {
		return "", nil, err
	}
	judge := review.Judge{Rules: rules.All}
	batch, err := judge.ReviewAll(context.Background(), mesh.New(settings), objects)
	if err != nil {
		return "", nil, err
	}
	hosts, words := map[string]bool{}, map[string]bool{}
	given := slices.Clone(objects)
	for i, o := range batch.Outcomes {
		for _, f := range o.Findings {
			if f.Severity != rules.Deny {
				continue
			}
			fixed := rules.Fixed(f.Fix, given[i])
			hosts[f.Host] = hosts[f.Host] || len(fixed) > 0
			words[f.Host] = words[f.Host] || len(fixed) == 0
			for _, a := range fixed {
				at := slices.IndexFunc(batch.Outcomes, func(o review.Outcome) bool { return o.Ref == a.Object.Metadata().Ref })
				if at >= 0 {
					objects[at] = a.Raw
				} else if !slices.ContainsFunc(objects[len(given):], func(raw []byte) bool { return string(raw) == string(a.Raw) }) {
					objects = append(objects, a.Raw)
				}
			}
		}
	}
	for host := range hosts {
		hosts[host] = hosts[host] && !words[host]
	}
	if !slices.ContainsFunc(objects, func(raw []byte) bool {
		return !slices.ContainsFunc(given, func(g []byte) bool { return string(g) == string(raw) })
	}) {
		return "", nil, nil
	}
	var docs []string
	for _, raw := range objects {
		doc, err := yaml.JSONToYAML(raw)
		if err != nil {
			return "", nil, err
		}
		docs = append(docs, string(doc))
	}
	return strings.Join(docs, "---\n"), hosts, nil
}
