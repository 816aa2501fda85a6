package mesh

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

// httpRule is one http rule as it is in force: a rule of a VirtualService, or
// one of a delegate within it.
type httpRule struct {
	*HTTPRoute
	owner *VirtualService // that holds Route
	n     int             // the rule's index there
}

// path is the JSON path of the rule in its owner.
func (r *httpRule) path() string { return r.owner.rulePath("http", r.n) }

func (r *httpRule) reason(field string, message told.Text) Reason {
	return Reason{Ref: r.owner.Ref, Path: r.path() + field}.says("%s", message)
}

// mergeSteps is what it costs to merge two matches.
const mergeSteps = 10

// httpRules returns the http rules of a VirtualService with delegates in their
// place. A delegate that is missing, or not exported to the namespace, leaves
// nothing behind (mergeVirtualServices in Istio's pilot/pkg/model).
func (m *Mesh) httpRules(vs *VirtualService) []httpRule {
	m.Spend(len(vs.HTTP))
	rules := make([]httpRule, 0, len(vs.HTTP))
	for i := range vs.HTTP {
		root := &vs.HTTP[i]
		if root.Delegate == nil || vs.gatewaySemantics() {
			rules = append(rules, httpRule{root, vs, i})
			continue
		}
		d := m.delegate(vs, root.Delegate)
		if d == nil {
			continue
		}
		for j := range d.HTTP {
			m.Spend(mergeSteps * (1 + len(root.Match)) * (1 + len(d.HTTP[j].Match)))
			if merged, ok := mergeRule(root, &d.HTTP[j], vs, d); ok {
				rules = append(rules, httpRule{&merged, d, j})
			}
		}
	}
	return rules
}

// delegate returns the VirtualService that a rule delegates to, if it counts.
func (m *Mesh) delegate(vs *VirtualService, d *Delegate) *VirtualService {
	m.Spend(lookupSteps)
	ref := Ref{Kind: "VirtualService", Namespace: orDefault(d.Namespace, vs.Namespace), Name: d.Name}
	found, ok := m.read(ref).(*VirtualService)
	if !ok || len(found.Hosts) > 0 || m.routeVisibility(found, vs.Namespace) == hidden {
		return nil
	}
	return found
}

// Roots are the VirtualServices for whose hosts the rules of this one are: itself,
// or those that delegate to it.
func (m *Mesh) Roots(vs *VirtualService) iter.Seq[*VirtualService] {
	return func(yield func(*VirtualService) bool) {
		if len(vs.Hosts) > 0 {
			yield(vs)
			return
		}
		for root := range m.delegates.under(vs.Namespace + "/" + vs.Name + sep) {
			if m.Spend(1); !yield(root) {
				return
			}
		}
	}
}

// Leaves are the VirtualServices to which this one delegates.
func (m *Mesh) Leaves(vs *VirtualService) iter.Seq[*VirtualService] {
	return func(yield func(*VirtualService) bool) {
		m.Spend(len(vs.HTTP))
		for i := range vs.HTTP {
			if d := vs.HTTP[i].Delegate; d != nil {
				if leaf := m.delegate(vs, d); leaf != nil && !yield(leaf) {
					return
				}
			}
		}
	}
}

// mergeRule puts a delegate's rule under the root's. The delegate's matches
// must each be a narrower form of one of the root's (mergeHTTPRoute).
func mergeRule(root, leaf *HTTPRoute, rootOwner, leafOwner *VirtualService) (HTTPRoute, bool) {
	out := *leaf
	out.Delegate = nil
	match, ok := mergeMatches(resolveGateways(root.Match, rootOwner), resolveGateways(leaf.Match, leafOwner))
	if !ok {
		return out, false
	}
	out.Match = match
	if out.Rewrite == nil {
		out.Rewrite = root.Rewrite
	}
	if out.DirectResponse == nil {
		out.DirectResponse = root.DirectResponse
	}
	if out.Mirror == nil {
		out.Mirror = root.Mirror
	}
	if out.MirrorPercent == nil {
		out.MirrorPercent = root.MirrorPercent
	}
	if out.MirrorPercents == nil {
		out.MirrorPercents = root.MirrorPercents
	}
	if out.Mirrors == nil {
		out.Mirrors = root.Mirrors
	}
	if out.Headers == nil {
		out.Headers = root.Headers
	}
	return out, true
}

// resolveGateways makes the names of gateways independent of the namespace.
func resolveGateways(matches []HTTPMatch, vs *VirtualService) []HTTPMatch {
	out := slices.Clone(matches)
	for i := range out {
		names := make([]string, len(out[i].Gateways))
		for j, g := range out[i].Gateways {
			names[j] = gatewayRef(g, vs.Namespace)
		}
		out[i].Gateways = names
	}
	return out
}

func mergeMatches(root, leaf []HTTPMatch) ([]HTTPMatch, bool) {
	if len(root) == 0 {
		return leaf, true
	}
	if len(leaf) == 0 {
		return root, true
	}
	var out []HTTPMatch
	for i := range leaf {
		before := len(out)
		for j := range root {
			if !matchConflict(&root[j], &leaf[i]) {
				out = append(out, mergeMatch(&root[j], &leaf[i]))
			}
		}
		if len(out) == before {
			return nil, false
		}
	}
	return out, true
}

func mergeMatch(root, leaf *HTTPMatch) HTTPMatch {
	out := *leaf
	if out.URI == nil {
		out.URI = root.URI
	}
	if out.Scheme == nil {
		out.Scheme = root.Scheme
	}
	if out.Method == nil {
		out.Method = root.Method
	}
	if out.Authority == nil {
		out.Authority = root.Authority
	}
	out.Headers = mergedMap(root.Headers, leaf.Headers)
	out.WithoutHeaders = mergedMap(root.WithoutHeaders, leaf.WithoutHeaders)
	out.QueryParams = mergedMap(root.QueryParams, leaf.QueryParams)
	out.SourceLabels = mergedMap(root.SourceLabels, leaf.SourceLabels)
	if out.Port == 0 {
		out.Port = root.Port
	}
	out.SourceNamespace = orDefault(out.SourceNamespace, root.SourceNamespace)
	if len(out.Gateways) == 0 {
		out.Gateways = root.Gateways
	}
	return out
}

func mergedMap[V any](root, leaf map[string]V) map[string]V {
	if len(root) == 0 {
		return leaf
	}
	out := maps.Clone(root)
	maps.Copy(out, leaf)
	return out
}

// matchConflict reports whether a delegate's match is not a narrower form of
// the root's (hasConflict in Istio's pilot/pkg/model/virtualservice.go).
func matchConflict(root, leaf *HTTPMatch) bool {
	if stringConflict(root.URI, leaf.URI) || stringConflict(root.Scheme, leaf.Scheme) ||
		stringConflict(root.Method, leaf.Method) || stringConflict(root.Authority, leaf.Authority) {
		return true
	}
	if mapConflict(root.Headers, leaf.Headers) || mapConflict(root.WithoutHeaders, leaf.WithoutHeaders) ||
		mapConflict(root.QueryParams, leaf.QueryParams) {
		return true
	}
	if root.IgnoreURICase != leaf.IgnoreURICase || root.Port > 0 && leaf.Port > 0 && root.Port != leaf.Port {
		return true
	}
	if root.SourceNamespace != "" && leaf.SourceNamespace != root.SourceNamespace {
		return true
	}
	for k, v := range leaf.SourceLabels {
		if have, ok := root.SourceLabels[k]; ok && have != v {
			return true
		}
	}
	if len(root.Gateways) > 0 && len(leaf.Gateways) > 0 {
		if len(root.Gateways) < len(leaf.Gateways) {
			return true
		}
		for _, g := range leaf.Gateways {
			if !slices.Contains(root.Gateways, g) {
				return true
			}
		}
	}
	return false
}

func mapConflict(root, leaf map[string]StringMatch) bool {
	for k, v := range leaf {
		if have, ok := root[k]; ok && stringConflict(&have, &v) {
			return true
		}
	}
	return false
}

func stringConflict(root, leaf *StringMatch) bool {
	if root == nil || leaf == nil {
		return false
	}
	rootExact, rootPrefix, rootRegex := root.parts()
	exact, prefix, regex := leaf.parts()
	switch {
	case rootRegex != "" && (exact != "" || prefix != "" || regex != ""):
		return true
	case regex != "" && (rootExact != "" || rootPrefix != ""):
		return true
	case rootExact != "":
		return prefix != "" || exact != rootExact
	case rootPrefix != "" && prefix != "":
		return !strings.HasPrefix(prefix, rootPrefix)
	case rootPrefix != "" && exact != "":
		return !strings.HasPrefix(exact, rootPrefix)
	default:
		return true
	}
}

func (s *StringMatch) parts() (exact, prefix, regex string) {
	return deref(s.Exact), deref(s.Prefix), deref(s.Regex)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
