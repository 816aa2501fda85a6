package mesh

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Ownership says whose the external hosts are. A nil Ownership says of none.
type Ownership struct {
	owners  []Owner
	byHost  map[string][]int // canonical host or pattern: indices of owners
	contact string
	trusted Subjects
}

// Owner are namespaces that own hosts together.
type Owner struct {
	// Hosts are canonical: names, and "*." and a domain for every name below it.
	Hosts []string
	// Namespaces own the hosts by their name, and so do those that have all of
	// the labels, where there are any.
	Namespaces []string
	Labels     map[string]string
	// Contact is whom others ask for the hosts.
	Contact string
}

// Subjects are users by their names and their groups.
type Subjects struct {
	Users, Groups []string
}

// Has reports whether a user is one of them.
func (s Subjects) Has(user string, groups []string) bool {
	return slices.Contains(s.Users, user) ||
		slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(s.Groups, g) })
}

// NewOwnership returns the ownership that the administrators lay down. Contact
// is whom to ask about everything else; trusted may give namespaces the labels
// by which they own hosts.
func NewOwnership(owners []Owner, contact string, trusted Subjects) *Ownership {
	o := &Ownership{owners: owners, contact: contact, trusted: trusted, byHost: make(map[string][]int)}
	for i, owner := range owners {
		for _, host := range owner.Hosts {
			o.byHost[host] = append(o.byHost[host], i)
		}
	}
	return o
}

// Equal reports whether two say the same.
func (o *Ownership) Equal(other *Ownership) bool {
	return o == other || o != nil && other != nil &&
		reflect.DeepEqual(o.owners, other.owners) && o.contact == other.contact && reflect.DeepEqual(o.trusted, other.trusted)
}

// Trusted are those who may label namespaces as owners.
func (o *Ownership) Trusted() Subjects {
	if o == nil {
		return Subjects{}
	}
	return o.trusted
}

// rule returns the most specific rule for a name or pattern, which covers all
// of it; false where there is none. A name itself goes before every domain, and
// a domain before those that it is below.
func (o *Ownership) rule(host string) (string, bool) {
	if _, ok := o.byHost[host]; ok {
		return host, true
	}
	name := strings.TrimPrefix(host, "*")
	for at := strings.IndexByte(name, '.'); at >= 0; {
		if at > 0 { // of "*.a.b" the part ".a.b" is the pattern itself, which was looked for
			if _, ok := o.byHost["*"+name[at:]]; ok {
				return "*" + name[at:], true
			}
		}
		next := strings.IndexByte(name[at+1:], '.')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return "", false
}

// rules returns every rule that has a say about a canonical host: one for a
// name; for a pattern also those for names that it stands for.
func (o *Ownership) rules(host string, spend func(int)) []string {
	if o == nil {
		return nil
	}
	var found []string
	if r, ok := o.rule(host); ok {
		found = append(found, r)
	}
	if !IsWildcard(host) {
		return found
	}
	spend(len(o.byHost))
	for r := range maps.Keys(o.byHost) {
		if r != host && HostCovers(host, r) {
			found = append(found, r)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Title is what a namespace has to say about a host.
type Title int

// The titles.
const (
	Unowned  Title = iota // the configuration names no owner
	Stranger              // the configuration names others
	Holder                // the namespace is an owner
)

// Title is that of a namespace towards a canonical host. To hold a pattern a
// namespace has to own every name of it that has an owner.
func (m *Mesh) Title(namespace, host string) Title {
	title := Unowned
	o := m.settings.Ownership
	for _, r := range o.rules(host, m.Spend) {
		if !m.owns(namespace, o.byHost[r]) {
			return Stranger
		}
		if HostCovers(r, host) {
			title = Holder
		}
	}
	return title
}

// owns reports whether a namespace is one of some owners.
func (m *Mesh) owns(namespace string, owners []int) bool {
	return slices.ContainsFunc(owners, func(i int) bool {
		owner := m.settings.Ownership.owners[i]
		if slices.Contains(owner.Namespaces, namespace) {
			return true
		}
		ns := m.Namespace(namespace)
		return ns != nil && owner.labelled(ns.Labels)
	})
}

func (o Owner) labelled(labels map[string]string) bool {
	if len(o.Labels) == 0 {
		return false
	}
	for k, v := range o.Labels {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Contact is whom a namespace asks about a canonical host: the contact of an
// owner, that of the configuration, or "your platform team".
func (m *Mesh) Contact(namespace, host string) string {
	o := m.settings.Ownership
	for _, r := range o.rules(host, m.Spend) {
		if m.owns(namespace, o.byHost[r]) {
			continue
		}
		for _, i := range o.byHost[r] {
			if c := o.owners[i].Contact; c != "" {
				return c
			}
		}
	}
	if o != nil && o.contact != "" {
		return o.contact
	}
	return "your platform team"
}

// Bestowed returns the labels, of those that a namespace has after a write, by
// which it comes to own hosts that it did not own by the labels before; nil
// where there are none.
func (o *Ownership) Bestowed(before, after map[string]string) map[string]string {
	if o == nil {
		return nil
	}
	var all map[string]string
	for _, owner := range o.owners {
		if owner.labelled(after) && !owner.labelled(before) {
			if all == nil {
				all = make(map[string]string)
			}
			maps.Copy(all, owner.Labels)
		}
	}
	return all
}
