package mesh

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// IstioVersion is a version of Istio's control plane. The zero value stands for
// the newest that the model knows.
type IstioVersion struct{ Minor, Patch int } // of 1

// The versions whose behaviour the model has. They differ where
// [IstioVersion.AtLeast] is asked.
const (
	OldestIstio = 30
	NewestIstio = 32
)

// ParseIstioVersion reads "1.31", "1.31.2" or "1.31.2-distroless", with or
// without a v in front.
func ParseIstioVersion(s string) (IstioVersion, error) {
	number, _, _ := strings.Cut(strings.TrimPrefix(s, "v"), "-")
	number, _, _ = strings.Cut(number, "+")
	parts := strings.Split(number, ".")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "1" {
		return IstioVersion{}, fmt.Errorf("%q is not a version of Istio, such as 1.31 or 1.31.2", s)
	}
	var v IstioVersion
	for i, into := range []*int{&v.Minor, &v.Patch}[:len(parts)-1] {
		n, err := strconv.Atoi(parts[i+1])
		if err != nil || n < 0 || parts[i+1][0] == '+' {
			return IstioVersion{}, fmt.Errorf("%q is not a version of Istio, such as 1.31 or 1.31.2", s)
		}
		*into = n
	}
	if v == (IstioVersion{}) {
		return v, fmt.Errorf("%q is not a version of Istio, such as 1.31 or 1.31.2", s)
	}
	return v, nil
}

// String is "1.31.2".
func (v IstioVersion) String() string {
	if v == (IstioVersion{}) {
		return fmt.Sprintf("1.%d", NewestIstio)
	}
	return fmt.Sprintf("1.%d.%d", v.Minor, v.Patch)
}

// FailsOpen reports whether a proxy speaks plain text where the authorities of a
// BackendTLSPolicy are not found (GHSA-qm8v-g4f9-qhjx). The newest release does not.
func (v IstioVersion) FailsOpen() bool {
	switch v.Minor {
	case 30:
		return v.Patch < 4
	case 31:
		return v.Patch < 1
	default:
		return v != (IstioVersion{}) && v.Minor < 30
	}
}

// AtLeast reports whether the version is that minor release of Istio 1, or a
// later one.
func (v IstioVersion) AtLeast(minor int) bool {
	return v == (IstioVersion{}) || v.Minor >= minor
}

// Contradicts reports whether a version that is given, "1.31" or "1.31.2", is not
// the one that runs.
func (v IstioVersion) Contradicts(runs IstioVersion) bool {
	return v != (IstioVersion{}) && (v.Minor != runs.Minor || v.Patch != 0 && v.Patch != runs.Patch)
}

func (v IstioVersion) compare(other IstioVersion) int {
	return cmp.Or(cmp.Compare(v.Minor, other.Minor), cmp.Compare(v.Patch, other.Patch))
}
