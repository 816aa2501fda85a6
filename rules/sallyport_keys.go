package rules

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var sallyportKeys = &Rule{
	Name: "sallyport-keys",
	Doc: `labels and annotations of Sallyport's are spelt right

A key under sallyport.io that nobody reads, or a value that says nothing, is
passed over: what it was to ask for does not happen. The label for the mode is
the exception, of which any other value enforces.`,
	Severity: Warn,
	Kinds:    []string{"Namespace", "ServiceEntry", "VirtualService"},
	Check: func(_ context.Context, p *Pass) error {
		if p.Reserved {
			return nil
		}
		meta := p.Subject.Metadata()
		for _, k := range ownKeys {
			if k.kind != meta.Kind || k.values == nil {
				continue
			}
			if v, ok := k.of(meta)[k.key]; ok && !slices.Contains(k.values, v) {
				p.Report(Finding{
					Path:    k.path(),
					Told:    told.F("%s %s is %q, which says nothing", told.Plain(k.where), told.Plain(k.key), v),
					ToldFix: told.F("Write one of %s, or leave it out.\n", told.Plain(strings.Join(k.values, ", "))),
				})
			}
		}
		for _, where := range []string{"label", "annotation"} {
			set := ownKey{where: where}.of(meta)
			p.Spend(hostSteps * 3 * len(set))
			for _, key := range slices.Sorted(maps.Keys(set)) {
				if strings.HasPrefix(key, "sallyport.io/") && !knownKey(meta.Kind, where, key) {
					p.Report(Finding{
						Path:    ownKey{where: where, key: key}.path(),
						Told:    told.F("nobody reads the %s %s of a %s", told.Plain(where), key, told.Plain(meta.Kind)),
						ToldFix: told.F("There are %s.\n", told.Plain(keysOf(meta.Kind))),
					})
				}
			}
		}
		return nil
	},
}

// ownKey is a label or annotation that Sallyport reads, or writes itself.
type ownKey struct {
	kind, where, key string
	values           []string // nil: any
}

var (
	yesOrNo = []string{"true", "false"}
	ownKeys = []ownKey{
		{"Namespace", "label", mesh.ModeLabel, []string{"enforce", "warn", "off"}},
		{"Namespace", "label", mesh.InjectionLabel, []string{"enabled", "disabled"}},
		{"Namespace", "label", mesh.NetworkPolicyLabel, []string{"enabled", "staged", "disabled"}},
		{"Namespace", "label", mesh.GatewayLabel, nil},
		{"Namespace", "annotation", mesh.PeersAnnotation, nil},
		{"ServiceEntry", "annotation", mesh.ExportAnnotation, nil}, // tenant-export judges the value
		{"ServiceEntry", "annotation", mesh.OriginateTLSAnnotation, yesOrNo},
		{"ServiceEntry", "annotation", mesh.ClientCertificateAnnotation, nil},
		{"ServiceEntry", "annotation", mesh.ServiceAccountsAnnotation, nil},
		{"ServiceEntry", "annotation", mesh.IssuerAnnotation, nil},
		{"ServiceEntry", "annotation", mesh.InjectionAnnotation, []string{"enabled"}},
		{"ServiceEntry", "annotation", mesh.SpareAnnotation, yesOrNo},
		{"ServiceEntry", "annotation", mesh.StatusAnnotation, nil},
		{"VirtualService", "annotation", mesh.RewriteAnnotation, yesOrNo},
	}
)

func (k ownKey) of(m *mesh.Meta) map[string]string {
	if k.where == "label" {
		return m.Labels
	}
	return m.Annotations
}

func (k ownKey) path() string { return fmt.Sprintf("metadata.%ss[%q]", k.where, k.key) }

func knownKey(kind, where, key string) bool {
	return slices.ContainsFunc(ownKeys, func(k ownKey) bool { return k.kind == kind && k.where == where && k.key == key })
}

// keysOf names the keys of a kind for a message.
func keysOf(kind string) string {
	var names []string
	for _, k := range ownKeys {
		if k.kind == kind && k.key != mesh.StatusAnnotation {
			names = append(names, k.where+" "+k.key)
		}
	}
	return strings.Join(names, ", ")
}
