package mesh

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// The DestinationRules of one host and namespace fall into groups that Istio
// merges: those with the same exportTo and the same workload selector
// (mergeDestinationRule in its pilot/pkg/model). A companion's subset is one
// of many in such a group, so the index finds a subset without reading the
// group.

func (x *index) visitPolicy(dr *DestinationRule, i indexer) {
	host := ResolveHost(dr.Host, dr.Namespace, x.settings.ClusterDomain)
	key := dr.Namespace + sep + policyGroup(dr) + sep
	age := ageKey(&dr.Meta)
	putHost(i, &x.policies, host, key+age, dr)
	for j := range dr.Subsets {
		putBelow(i, &x.subsets, dr, host, key, dr.Subsets[j].Name, sep, age)
	}
	if dr.TrafficPolicy != nil {
		putBelow(i, &x.subsets, dr, host, key, sep, age)
	}
}

// selectorGroup marks the groups of rules with a workload selector.
const selectorGroup = "\x01"

func policyGroup(dr *DestinationRule) string {
	if s := dr.WorkloadSelector; s != nil {
		var b strings.Builder
		b.WriteString(selectorGroup)
		for _, k := range slices.Sorted(maps.Keys(s.MatchLabels)) {
			b.WriteString(k)
			b.WriteByte('=')
			b.WriteString(s.MatchLabels[k])
			b.WriteByte(',')
		}
		return b.String()
	}
	switch len(dr.ExportTo) {
	case 0:
		return ""
	case 1:
		return dr.ExportTo[0]
	}
	to := slices.Clone(dr.ExportTo)
	slices.Sort(to)
	return strings.Join(slices.Compact(to), ",")
}

// policyPool is which DestinationRules of a namespace are looked at
// (setDestinationRules in Istio's pilot/pkg/model).
type policyPool int

const (
	localPool    policyPool = iota // for clients in the namespace
	exportedPool                   // for clients elsewhere
	privatePool                    // for clients in the root namespace, from there
)

// SeenAtHome reports whether the sidecars of a DestinationRule's own namespace look at it.
func (m *Mesh) SeenAtHome(dr *DestinationRule) bool { return m.holds(localPool, dr) }

// holds reports whether a rule is looked at in the pool.
func (m *Mesh) holds(p policyPool, dr *DestinationRule) bool {
	to := dr.ExportTo
	if dr.WorkloadSelector != nil {
		to = []string{"."}
	}
	privateOnly := len(to) > 0 && (to[0] == "." || to[0] == dr.Namespace) ||
		len(to) == 0 && slices.Contains(m.settings.DefaultExports.DestinationRules, ".")
	for _, other := range to {
		privateOnly = privateOnly && other == to[0]
	}
	switch p {
	case localPool:
		return len(to) == 0 || slices.Contains(to, "*") || slices.Contains(to, ".") || slices.Contains(to, dr.Namespace)
	case exportedPool:
		return !privateOnly
	default:
		return privateOnly
	}
}

// policy is the DestinationRule that a proxy applies to a host: a group.
type policy struct {
	m     *Mesh
	key   string             // of the group in the index of subsets
	first *DestinationRule   // the oldest of the group
	maybe []*DestinationRule // rules for some workloads only, which may shadow the group
}

// policy finds the DestinationRule for a service: from the client's namespace,
// else from the service's, else from the root namespace (destinationRule in
// Istio's pilot/pkg/model/push_context.go). It is nil where there is none.
func (c *client) policy(host, serviceNamespace string) *policy {
	root := c.m.settings.RootNamespace
	if c.namespace == root {
		if p := c.policyIn(privatePool, root, host); p != nil {
			return p
		}
	} else if c.namespace != "" {
		if p := c.policyIn(localPool, c.namespace, host); p != nil {
			return p
		}
	}
	if p := c.policyIn(exportedPool, serviceNamespace, host); p != nil {
		return p
	}
	return c.policyIn(exportedPool, root, host)
}

func (c *client) policyIn(pool policyPool, namespace, host string) *policy {
	if p, found := c.policyFor(pool, namespace, host); found {
		return p
	}
	for pattern := range c.m.policies.patterns(host) {
		if p, found := c.policyFor(pool, namespace, pattern); found {
			return p
		}
	}
	return nil
}

// groupKey is the key of a rule's group in the index of subsets, below the host
// and the namespace.
func groupKey(below []byte, dr *DestinationRule) string { return string(below) + policyGroup(dr) + sep }

// groupSteps is what it costs to come to the next group.
const groupSteps = 10

// policyFor looks at the rules of exactly one host. It reports found where
// there are any in the pool, even if none of them is for this client: Istio
// looks no further.
func (c *client) policyFor(pool policyPool, namespace, ruleHost string) (p *policy, found bool) {
	var buf [keySize]byte
	start := joined(appendHost(buf[:0], ruleHost), namespace, sep)
	prefix := len(start)
	for {
		dr, ok := c.m.policies.next(borrowed(start), borrowed(start[:prefix]))
		if !ok {
			return p, found
		}
		start = joined(start[:prefix], policyGroup(dr), "\x01") // beyond the group
		c.m.Spend(groupSteps + len(dr.ExportTo))
		if !c.m.holds(pool, dr) {
			continue
		}
		found = true
		if dr.WorkloadSelector != nil {
			// Applies to some of the workloads of its own namespace.
			if dr.Namespace != c.namespace {
				continue
			}
			if len(dr.WorkloadSelector.MatchLabels) == 0 {
				return &policy{m: c.m, first: dr, key: groupKey(start[:prefix], dr)}, true // to all of them, before any other rule
			}
			if p == nil {
				p = &policy{m: c.m}
			}
			p.maybe = append(p.maybe, dr)
			continue
		}
		if pool == exportedPool && !exportedTo(dr.ExportTo, c.namespace) {
			continue
		}
		if p == nil {
			p = &policy{m: c.m}
		}
		// Of several groups the last one is in force, in the order of their
		// oldest rules (SidecarScope.DestinationRule).
		if p.first == nil || compareAge(&p.first.Meta, &dr.Meta) < 0 {
			p.first, p.key = dr, groupKey(start[:prefix], dr)
		}
	}
}

func exportedTo(to []string, namespace string) bool {
	return len(to) == 0 || slices.Contains(to, "*") || slices.Contains(to, namespace)
}

// subset returns the rule that declares the subset, and its index there.
func (p *policy) subset(name string) (*DestinationRule, int) {
	if p == nil || p.first == nil {
		return nil, -1
	}
	var buf [keySize]byte
	dr, ok := p.m.subsets.first(borrowed(joined(buf[:0], p.key, name, sep)))
	if !ok {
		return nil, -1
	}
	p.m.Spend(len(dr.Subsets) >> 2)
	return dr, slices.IndexFunc(dr.Subsets, func(s Subset) bool { return s.Name == name })
}

// tls returns the TLS settings that a client uses for a port and what set them;
// nil where nothing does, which means automatic mutual TLS. dr and i are what
// subset has found, and dr is nil for traffic to no subset.
// Port-level settings replace all others for their port, a subset's replace the
// rule's (MergeTrafficPolicy in Istio's pilot/pkg/model/destination_rule.go).
func (p *policy) tls(dr *DestinationRule, i, port int) (*ClientTLS, tlsField) {
	if p == nil || p.first == nil {
		return nil, tlsField{}
	}
	if dr != nil && dr.Subsets[i].TrafficPolicy != nil {
		p.m.Spend(len(dr.Subsets[i].TrafficPolicy.PortLevelSettings) >> 3)
		if t, level, ok := dr.Subsets[i].TrafficPolicy.forPort(port); ok {
			return t, tlsField{dr, i, level}
		}
	}
	var buf [keySize]byte
	if dr, ok := p.m.subsets.first(borrowed(joined(buf[:0], p.key, sep))); ok && dr.TrafficPolicy != nil {
		p.m.Spend(len(dr.TrafficPolicy.PortLevelSettings) >> 3)
		if t, level, ok := dr.TrafficPolicy.forPort(port); ok {
			return t, tlsField{dr, -1, level}
		}
	}
	return nil, tlsField{}
}

// policiesCovering yields one DestinationRule of each group for a host and for the
// wildcards that cover it.
func (m *Mesh) policiesCovering(host string) iter.Seq[*DestinationRule] {
	return func(yield func(*DestinationRule) bool) {
		for _, h := range append([]string{host}, slices.Collect(m.policies.patterns(host))...) {
			prefix := hostPrefix(h)
			for start := prefix; ; {
				dr, ok := m.policies.next(start, prefix)
				if !ok {
					break
				}
				if !yield(dr) {
					return
				}
				start = prefix + dr.Namespace + sep + policyGroup(dr) + "\x01" // beyond the group
			}
		}
	}
}

// Displaced returns the egress points that sidecars reach by a subset of another
// DestinationRule for an approved gateway, which they cannot see beside this one.
// They are no part of [Mesh.Affected], by whose number writes are refused: a rule of
// a tenant's for the gateway's Service displaces, in its namespace, those of every
// host there is.
func (m *Mesh) Displaced(dr *DestinationRule) []Point {
	a := &affected{m: m, limit: MaxAffected}
	pattern := ResolveHost(dr.Host, dr.Namespace, m.settings.ClusterDomain)
	for i := range m.names.gateways {
		gateway, root := m.settings.Gateways[i].Namespace, m.settings.RootNamespace
		if !HostCovers(pattern, m.names.gateways[i]) {
			continue
		}
		for other := range m.policiesCovering(m.names.gateways[i]) {
			m.Spend(groupSteps + len(other.ExportTo))
			host := ResolveHost(other.Host, other.Namespace, m.settings.ClusterDomain)
			if other.Namespace == dr.Namespace {
				if host == pattern && policyGroup(other) == policyGroup(dr) {
					continue // Istio merges them
				}
			} else if dr.Namespace == gateway && other.Namespace != root {
				continue // sidecars look in their own namespace first
			}
			if a.full() {
				break
			}
			a.subsetsOf(hostPrefix(host)+other.Namespace+sep+policyGroup(other)+sep, m.names.gateways[i])
		}
	}
	points := uniquePoints(a.points)
	return points[:min(len(points), a.limit)]
}

// subsetsOf adds the egress points that are led to a host by a subset of a group of
// DestinationRules, which stands below a key of the index of subsets.
func (a *affected) subsetsOf(group, host string) {
	seen := map[*DestinationRule]bool{} // it stands there once for each of its subsets
	for dr := range a.m.subsets.under(group) {
		if a.m.Spend(1); a.full() {
			return
		}
		if seen[dr] {
			continue
		}
		seen[dr] = true
		for i := range dr.Subsets {
			a.routedTo(host, dr.Subsets[i].Name, true)
		}
	}
}

// ClientTLS returns how the sidecars of a namespace speak TLS to a port of a
// host, by the DestinationRule that is in force for them where nothing leads them
// elsewhere, and that rule. It is nil where none says anything.
func (m *Mesh) ClientTLS(namespace, host string, port int) (*ClientTLS, Ref) {
	c := &client{m: m, namespace: namespace}
	p := c.policy(host, namespace)
	t, field := p.tls(nil, -1, port)
	if t == nil && p != nil {
		for _, dr := range p.maybe { // of some workloads: what is theirs is not to be lost either
			if dr.TrafficPolicy == nil {
				continue
			}
			if t, _, ok := dr.TrafficPolicy.forPort(port); ok && t != nil {
				return t, dr.Ref
			}
		}
	}
	if field.rule == nil {
		return t, Ref{}
	}
	return t, field.rule.Ref
}

// tlsField is a field that sets how a client speaks TLS. Its rule is nil where
// there is none.
type tlsField struct {
	rule      *DestinationRule
	subset    int // index in the rule's subsets, -1 for the rule's own policy
	portLevel int // index in portLevelSettings, -1 for the policy for all ports
}

func (f tlsField) reason() Reason {
	if f.rule == nil {
		return Reason{}
	}
	if f.rule.Kind == "BackendTLSPolicy" {
		return Reason{Ref: f.rule.Ref, Path: "spec.validation"}
	}
	path := "spec"
	if f.subset >= 0 {
		path = indexed("spec.subsets", f.subset)
	}
	path += ".trafficPolicy"
	if f.portLevel >= 0 {
		path = indexed(path+".portLevelSettings", f.portLevel)
	}
	return Reason{Ref: f.rule.Ref, Path: path + ".tls"}
}

// forPort returns the TLS settings of the policy for a port, and their index in
// portLevelSettings or -1. ok is false where the policy leaves them to the next
// one.
func (t *TrafficPolicy) forPort(port int) (tls *ClientTLS, level int, ok bool) {
	for i := range t.PortLevelSettings {
		if t.PortLevelSettings[i].Port.Number == port {
			return t.PortLevelSettings[i].TLS, i, true
		}
	}
	return t.TLS, -1, t.TLS != nil
}
