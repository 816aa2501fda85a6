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

// minimumBundles are the releases of the Gateway API below which istiod does not
// read a kind (pkg/config/schema/gatewayapi/minimumversions.go), by the name of its
// definition.
func (v IstioVersion) minimumBundle(kind string) (definition string, minimum BundleVersion) {
	switch kind {
	case "GRPCRoute":
		return "grpcroutes." + groupGateway, BundleVersion{1, 1}
	case "BackendTLSPolicy":
		return "backendtlspolicies." + groupGateway, BundleVersion{1, 4}
	case "TLSRoute":
		return "tlsroutes." + groupGateway, BundleVersion{1, 5}
	case "TCPRoute":
		if v.AtLeast(31) { // before, any release would do
			return "tcproutes." + groupGateway, BundleVersion{1, 6}
		}
	}
	return "", BundleVersion{}
}

// Bundle says of which release of the Gateway API the definition of a kind is.
type Bundle struct {
	// Named is what says so, empty where nothing does: istiod is then believed to
	// read the kind.
	Named string
	// Have is what is named; it is zero for a definition without a version, which
	// istiod does not read.
	Have, Want BundleVersion
}

// TooOld reports whether istiod passes over every object of the kind.
func (b Bundle) TooOld() bool { return b.Named != "" && b.Have.before(b.Want) }

// Bundle looks for the release of a kind's definition: in the definition itself,
// where the mesh has it, and else in the settings.
func (m *Mesh) Bundle(kind string) Bundle {
	definition, want := m.settings.Istio.minimumBundle(kind)
	if definition == "" {
		return Bundle{}
	}
	b := Bundle{Want: want}
	m.Spend(lookupSteps)
	if d, ok := m.Get(Ref{Kind: "CustomResourceDefinition", Name: definition}).(*Definition); ok {
		b.Named = "its CustomResourceDefinition"
		b.Have, _ = ParseBundleVersion(d.Annotations[bundleAnnotation])
	} else if m.settings.GatewayAPI != (BundleVersion{}) {
		b.Named, b.Have = "the configuration", m.settings.GatewayAPI
	}
	return b
}
