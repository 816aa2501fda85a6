package mesh

import (
	"fmt"
	"strconv"
	"strings"
)

// BundleVersion is the release of the Gateway API that a cluster has the
// definitions of. The zero value stands for one that nobody has named.
type BundleVersion struct{ Major, Minor int }

// bundleAnnotation is the annotation of a CustomResourceDefinition that names its
// release.
const bundleAnnotation = "gateway.networking.k8s.io/bundle-version"

// ParseBundleVersion reads "1.5", "v1.5.1" or "v1.6.0-rc.1", which counts as 1.6,
// as with Istio.
func ParseBundleVersion(s string) (BundleVersion, error) {
	number, _, _ := strings.Cut(strings.TrimPrefix(s, "v"), "-")
	parts := strings.Split(number, ".")
	var v BundleVersion
	err := fmt.Errorf("%q is not a version of the Gateway API, such as 1.5 or v1.5.1", s)
	if len(parts) < 2 || len(parts) > 3 {
		return v, err
	}
	for i, p := range parts {
		n, perr := strconv.ParseUint(p, 10, 16)
		switch {
		case perr != nil:
			return BundleVersion{}, err
		case i == 0:
			v.Major = int(n)
		case i == 1:
			v.Minor = int(n)
		}
	}
	if v == (BundleVersion{}) {
		return v, err
	}
	return v, nil
}

// String is "1.5".
func (v BundleVersion) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v BundleVersion) before(other BundleVersion) bool {
	return v.Major < other.Major || v.Major == other.Major && v.Minor < other.Minor
}

// minimums are the releases of the Gateway API below which istiod does not read a
// kind (pkg/config/schema/gatewayapi/minimumversions.go).
var minimums = []struct {
	kind, resource string
	since          int // the minor release of Istio from which any release does no longer
	bundle         BundleVersion
}{
	{"BackendTLSPolicy", "backendtlspolicies", 0, BundleVersion{1, 4}},
	{"GRPCRoute", "grpcroutes", 0, BundleVersion{1, 1}},
	{"TCPRoute", "tcproutes", 31, BundleVersion{1, 6}},
	{"TLSRoute", "tlsroutes", 0, BundleVersion{1, 5}},
}

// VersionedKinds are the kinds of which istiod asks for a release of the Gateway
// API, sorted.
func VersionedKinds() []string {
	kinds := make([]string, len(minimums))
	for i, m := range minimums {
		kinds[i] = m.kind
	}
	return kinds
}

// definitionKind is the kind of a [Definition].
const definitionKind = "CustomResourceDefinition"

// DefinitionOf is the definition of one of [VersionedKinds].
func DefinitionOf(kind string) Ref {
	for _, m := range minimums {
		if m.kind == kind {
			return Ref{Kind: definitionKind, Name: m.resource + "." + groupGateway}
		}
	}
	return Ref{}
}

// Versioned reports whether it is the definition of one of [VersionedKinds].
func (d *Definition) Versioned() bool {
	for _, m := range minimums {
		if d.Ref == DefinitionOf(m.kind) {
			return true
		}
	}
	return false
}

// Bundle is the release that the definition is of; zero where it names none that
// can be read.
func (d *Definition) Bundle() BundleVersion {
	v, err := ParseBundleVersion(d.Annotations[bundleAnnotation])
	if err != nil {
		return BundleVersion{}
	}
	return v
}

// Bundle says of which release of the Gateway API the definition of a kind is.
type Bundle struct {
	// Named is what says so, empty where nothing does: istiod is then believed to
	// read the kind.
	Named string
	// Have is what is named; it is zero for a definition without a version, which
	// istiod does not read.
	Have, Want BundleVersion
	// Istio is the version of the control plane that wants it.
	Istio IstioVersion
}

// TooOld reports whether istiod passes over every object of the kind.
func (b Bundle) TooOld() bool { return b.Named != "" && b.Have.before(b.Want) }

// Bundle looks for the release of a kind's definition: in the settings, and else
// in the definition itself, where the mesh has it. Of several control planes the
// one counts that wants the latest.
func (m *Mesh) Bundle(kind string) Bundle {
	var b Bundle
	for _, min := range minimums {
		if min.kind != kind {
			continue
		}
		for _, v := range m.settings.istios() {
			if v.AtLeast(min.since) {
				b.Istio, b.Want = v, min.bundle
			}
		}
	}
	if b.Want == (BundleVersion{}) {
		return Bundle{}
	}
	m.Spend(lookupSteps)
	if m.settings.GatewayAPI != (BundleVersion{}) {
		b.Named, b.Have = "the configuration", m.settings.GatewayAPI
	} else if d, ok := m.Get(DefinitionOf(kind)).(*Definition); ok {
		b.Named, b.Have = "its CustomResourceDefinition", d.Bundle()
	}
	return b
}

// unreadKinds are notes about kinds of which istiod reads none of the objects that there
// are, for their definition is too old: it has been put back, say, or istiod has come to
// want another. Who relied on one of those goes straight out, and wrote nothing that
// anybody could have refused.
func (m *Mesh) unreadKinds() []Note {
	var notes []Note
	for _, kind := range VersionedKinds() {
		b := m.Bundle(kind)
		if !b.TooOld() {
			continue
		}
		n := 0
		for range m.All(kind) {
			n++
		}
		if n == 0 {
			continue
		}
		have := "of Gateway API " + b.Have.String()
		if b.Have == (BundleVersion{}) {
			have = "without a version"
		}
		notes = append(notes, Note{NoteUnread, FieldGatewayAPI, DefinitionOf(kind), fmt.Sprintf(
			"istiod reads no %s: by %s the kind is %s, and Istio %s wants %s; the objects of it do not count, of which there are %d: who relied on one goes straight out",
			kind, b.Named, have, b.Istio, b.Want, n)})
	}
	return notes
}
