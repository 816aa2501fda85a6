package netpol

import (
	"fmt"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// EachCalicoOpening calls yield for each place at which Calico's NetworkPolicy lets
// pods go further than the wall. Calico asks its policies in their order, its own
// before those of Kubernetes where they say so, and in tiers; the first rule with
// Allow is the answer, and Pass asks nobody else in the tier
// (https://docs.tigera.io/calico/latest/reference/resources/networkpolicy).
// Whatever its order, such a rule takes from the wall what it allows: it is an
// opening unless its destination is, by a selector alone, pods of the policy's own
// namespace. Deny and Log open nothing.
func EachCalicoOpening(m *mesh.Mesh, ref mesh.Ref, raw []byte, yield func(Opening)) error {
	walled := Walled(m, ref.Namespace)
	r := &reader{m: m, ref: ref, yield: yield}
	return r.calico(raw, func(spec members) error {
		for _, name := range []string{"selector", "serviceAccountSelector"} {
			var text string
			if err := r.read("spec."+name, spec[name], &text); err != nil {
				return err
			}
			if m.Spend(len(text)); !balanced(text) && (walled || AnyWalled(m)) {
				r.open("spec."+name, spec[name], "is for pods of other namespaces, too: its brackets or quotes do not match")
			}
		}
		return nil
	}, func(at string, rule members) error {
		if !walled {
			return nil
		}
		var to members
		if err := r.read(at+".destination", rule["destination"], &to); err != nil {
			return err
		}
		var selector string
		if err := r.read(at+".destination.selector", to["selector"], &selector); err != nil {
			return err
		}
		for _, name := range to.names() {
			if !calicoDestination[name] {
				r.open(at+".destination."+mesh.Short(name), to[name], "allows what %s names, wherever that is", mesh.Short(name))
				return nil
			}
		}
		switch m.Spend(len(selector)); {
		case strings.TrimSpace(selector) == "":
			r.open(at, rule.text(), "allows every destination: there is no selector of pods")
		case !balanced(selector):
			r.open(at+".destination.selector", to["selector"], "allows more than pods of the namespace: its brackets or quotes do not match")
		}
		return nil
	})
}

// calicoDestination are the members of a destination that keep it to pods of the
// namespace, the selector, and those that narrow it beside that.
var calicoDestination = map[string]bool{
	"selector": true, "ports": true, "notPorts": true, "notNets": true, "notSelector": true, "serviceAccounts": true,
}

// EachCalicoGlobalOpening does so for a GlobalNetworkPolicy, of which every rule
// with Allow or Pass is one, as it bears on pods of all walled namespaces.
func EachCalicoGlobalOpening(m *mesh.Mesh, ref mesh.Ref, raw []byte, yield func(Opening)) error {
	if !AnyWalled(m) {
		return nil
	}
	r := &reader{m: m, ref: ref, yield: yield}
	return r.calico(raw, func(members) error { return nil }, func(at string, rule members) error {
		r.open(at, rule.text(), "allows pods what the wall of their namespace may close")
		return nil
	})
}

// calico calls policy for a policy with rules for what goes out that may open
// something, and then rule for each of these.
func (r *reader) calico(raw []byte, policy func(spec members) error, rule func(at string, rule members) error) error {
	spec, err := r.spec(raw)
	if err != nil {
		return err
	}
	var rules []members
	if err := r.read("spec.egress", spec["egress"], &rules); err != nil {
		return err
	}
	first := true
	for i, o := range rules {
		r.m.Spend(1 + len(o))
		at := fmt.Sprintf("spec.egress[%d]", i)
		var action string
		if err := r.read(at+".action", o["action"], &action); err != nil {
			return err
		}
		// Calico takes either case where nobody has checked the object.
		if strings.EqualFold(action, "Deny") || strings.EqualFold(action, "Log") {
			continue
		}
		if first {
			if err := policy(spec); err != nil {
				return err
			}
		}
		first = false
		if err := rule(at, o); err != nil {
			return err
		}
	}
	return nil
}

// balanced reports whether a selector is closed in itself. Calico puts it in
// brackets, and the namespace beside it: what closes a bracket that it has not
// opened leaves the namespace.
func balanced(selector string) bool {
	depth, quote := 0, byte(0)
	for i := range len(selector) {
		switch b := selector[i]; {
		case quote != 0:
			if b == quote {
				quote = 0
			}
		case b == '\'' || b == '"':
			quote = b
		case b == '(':
			depth++
		case b == ')':
			if depth--; depth < 0 {
				return false
			}
		}
	}
	return depth == 0 && quote == 0
}

// CalicoSet reports whether a NetworkSet has addresses or names: a policy of the
// namespace whose selector matches its labels allows them like pods.
func CalicoSet(m *mesh.Mesh, ref mesh.Ref, raw []byte) (bool, error) {
	r := &reader{m: m, ref: ref}
	spec, err := r.spec(raw)
	return len(spec.names()) > 0, err
}
