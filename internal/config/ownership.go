package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Ownership says whose the external hosts are. Without it a host belongs to
// whoever registers it first. The platform's namespaces may register any host.
type Ownership struct {
	// Contact is whom to ask about a host that has no owner, or whose owner has
	// no contact: an address, a channel, a page. Refusals name it.
	//
	// Default: your platform team.
	Contact string `json:"contact,omitempty"`
	// Owners own hosts. What is most specific holds: a name before every domain,
	// and a domain before those that it is below. Where several own the same,
	// each does.
	//
	// Default: none.
	Owners []Owner `json:"owners,omitempty"`
	// LabelUsers are the users who may give a Namespace labels by which it comes
	// to own hosts (namespaceSelector): without that, whoever may edit a
	// Namespace could make it an owner. A service account is
	// system:serviceaccount:NAMESPACE:NAME.
	//
	// Default: none.
	LabelUsers []string `json:"labelUsers,omitempty"`
	// LabelGroups are the groups of such users.
	//
	// Default: system:masters.
	LabelGroups []string `json:"labelGroups,omitempty"`
}

// Owner are namespaces to which hosts belong. An entry of another namespace for
// one of the hosts, or for a pattern that covers one, is refused; where one
// stands already, an owner's that contradicts it takes its place.
type Owner struct {
	// Hosts are names, and domains: "*.partner.example" is every name below
	// partner.example, and not that name itself.
	Hosts []string `json:"hosts"`
	// Namespaces own the hosts.
	//
	// Default: none; then namespaceSelector is required.
	Namespaces []string `json:"namespaces,omitempty"`
	// NamespaceSelector has every namespace with all of the labels own the
	// hosts. Only those named under labelUsers and labelGroups may then set them.
	//
	// Default: none.
	NamespaceSelector map[string]string `json:"namespaceSelector,omitempty"`
	// Contact is whom others ask for the hosts.
	//
	// Default: that of ownership.
	Contact string `json:"contact,omitempty"`
}

// maxContact bounds what is printed in every refusal.
const maxContact = 200

func (o Ownership) check(fail failure) {
	checkContact("ownership.contact", o.Contact, fail)
	for i, owner := range o.Owners {
		path := fmt.Sprintf("ownership.owners[%d]", i)
		if len(owner.Hosts) == 0 {
			fail(path+".hosts", "must list the hosts that are owned")
		}
		for j, h := range owner.Hosts {
			name := strings.TrimPrefix(mesh.CanonicalHost(h), "*.")
			for _, msg := range content.IsDNS1123Subdomain(name) {
				fail(fmt.Sprintf("%s.hosts[%d]", path, j), "%q is neither a host nor \"*.\" and a domain: %s", h, msg)
			}
		}
		if len(owner.Namespaces) == 0 && len(owner.NamespaceSelector) == 0 {
			fail(path, "must have namespaces or a namespaceSelector: somebody has to own the hosts")
		}
		for j, ns := range owner.Namespaces {
			for _, msg := range content.IsDNS1123Label(ns) {
				fail(fmt.Sprintf("%s.namespaces[%d]", path, j), "%q is not the name of a namespace: %s", ns, msg)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(owner.NamespaceSelector)) {
			at, value := path+".namespaceSelector."+key, owner.NamespaceSelector[key]
			for _, msg := range content.IsLabelKey(key) {
				fail(at, "%q is not the key of a label: %s", key, msg)
			}
			for _, msg := range content.IsLabelValue(value) {
				fail(at, "%q is not the value of a label: %s", value, msg)
			}
			if key == "kubernetes.io/metadata.name" {
				fail(at, "is the namespace's name; list it under namespaces")
			}
		}
		checkContact(path+".contact", owner.Contact, fail)
	}
	for name, subjects := range map[string][]string{"labelUsers": o.LabelUsers, "labelGroups": o.LabelGroups} {
		for i, s := range subjects {
			if strings.TrimSpace(s) == "" {
				fail(fmt.Sprintf("ownership.%s[%d]", name, i), "must not be empty")
			}
		}
	}
}

func checkContact(path, contact string, fail failure) {
	if len(contact) > maxContact {
		fail(path, "has %d bytes; a contact has at most %d, for every refusal repeats it", len(contact), maxContact)
	}
	if strings.ContainsFunc(contact, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		fail(path, "must be one line without control characters")
	}
}

// settings is the model's view, nil where nothing is laid down.
func (o Ownership) settings() *mesh.Ownership {
	if len(o.Owners) == 0 && o.Contact == "" {
		return nil
	}
	owners := make([]mesh.Owner, len(o.Owners))
	for i, owner := range o.Owners {
		owners[i] = mesh.Owner{Namespaces: owner.Namespaces, Labels: owner.NamespaceSelector, Contact: owner.Contact}
		for _, h := range owner.Hosts {
			owners[i].Hosts = append(owners[i].Hosts, mesh.CanonicalHost(h))
		}
	}
	return mesh.NewOwnership(owners, o.Contact, mesh.Subjects{Users: o.LabelUsers, Groups: o.LabelGroups})
}
