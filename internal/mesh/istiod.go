package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// Istiod is what a pod of istiod, or the template of one, tells of its version.
type Istiod struct {
	Version IstioVersion // zero where nothing tells
	Image   string       // of its container
}

const (
	// istiodLabel and istiodApp mark the pods of Istio's control plane, whatever
	// their revision is (the charts of Istio).
	istiodLabel = "app"
	istiodApp   = "istiod"
	// istiodContainer is the container of istiod in them.
	istiodContainer = "discovery"
	// istiodVersion is the label by which they have their version where the tag of
	// the image is none, as with a digest or with tags of one's own.
	istiodVersion = "app.kubernetes.io/version"
)

// IstiodSelector selects the pods of Istio's control plane.
const IstiodSelector = istiodLabel + "=" + istiodApp

// istiod reads the pod as one of istiod's; nil where it is none.
func (p *wirePod) istiod(labels map[string]string) *Istiod {
	if labels[istiodLabel] != istiodApp {
		return nil
	}
	out := &Istiod{}
	for _, c := range p.Containers {
		if c.Name == istiodContainer {
			out.Image, _ = rawjson.Plain(c.Image)
		}
	}
	if v, err := versionOfImage(out.Image); err == nil {
		out.Version = v
	} else if v, err := ParseIstioVersion(labels[istiodVersion]); err == nil {
		out.Version = v
	}
	return out
}

// versionOfImage reads the tag of an image.
func versionOfImage(image string) (IstioVersion, error) {
	image, _, _ = strings.Cut(image, "@")
	return ParseIstioVersion(image[strings.LastIndexByte(image, ':')+1:])
}

// istiodKinds are the kinds by which istiod is found: its pods, and the templates
// of those that are to come, which the server does not read.
var istiodKinds = []string{"Deployment", "Pod"}

// IsIstiod reports whether the workload is one of the control plane's.
func (s Settings) IsIstiod(w *Workload) bool {
	return w.Istiod != nil && w.Namespace == s.IstioNamespace && slices.Contains(istiodKinds, w.Kind)
}

// istiods are the pods of the control plane, and their templates.
func (x *index) istiods() []*Workload {
	var out []*Workload
	for _, kind := range istiodKinds {
		for o := range x.objects.under(kind + sep + x.given.IstioNamespace + sep) {
			if w, ok := o.(*Workload); ok && x.given.IsIstiod(w) {
				out = append(out, w)
			}
		}
	}
	return out
}

// movesIstiod reports whether a change of an object may change which versions of
// Istio there are. Either may be nil.
func (x *index) movesIstiod(before, after Object) bool {
	told := func(o Object) Istiod {
		if w, ok := o.(*Workload); ok && x.given.IsIstiod(w) {
			return Istiod{w.Istiod.Version, cmp.Or(w.Istiod.Image, "none")}
		}
		return Istiod{}
	}
	return told(before) != told(after)
}

// settleVersions takes the versions of Istio from the mesh's istiods, but for one
// that is given, and says what is to be said of them and of the definitions.
func (x *index) settleVersions(s *Settings, note func(kind NoteKind, field string, ref Ref, format string, args ...any)) {
	var versions []IstioVersion
	of := map[IstioVersion]Ref{}
	for _, w := range x.istiods() {
		v := w.Istiod.Version
		switch {
		case v == (IstioVersion{}):
			note(NoteUnknown, FieldIstio, w.Ref, "the version of istiod is not to be seen in its image %q nor in the label %s: what Sallyport's configuration says counts, or Istio %s", w.Istiod.Image, istiodVersion, IstioVersion{})
			continue
		case x.given.Istio.Contradicts(v):
			note(NoteOverridden, FieldIstio, w.Ref, "Sallyport's configuration has Istio %s, and istiod is of %s: the configuration counts", x.given.Istio, v)
		}
		if _, ok := of[v]; !ok {
			of[v], versions = w.Ref, append(versions, v)
		}
	}
	slices.SortFunc(versions, IstioVersion.compare)
	if len(versions) > 1 {
		var each []string
		for _, v := range versions {
			each = append(each, fmt.Sprintf("%s in %s", v, of[v]))
		}
		note(NoteDifferent, FieldIstio, Ref{}, "the control planes are of several versions: %s; of these counts what is the worse", strings.Join(each, "; "))
	}
	if x.given.Istio == (IstioVersion{}) && len(versions) > 0 {
		s.Istio, s.LaterIstios = versions[0], versions[1:]
	}
	for _, kind := range VersionedKinds() {
		d, ok := x.definition(DefinitionOf(kind))
		if !ok {
			continue
		}
		if given := x.given.GatewayAPI; given != (BundleVersion{}) && given != d.Bundle() {
			note(NoteOverridden, FieldGatewayAPI, d.Ref, "Sallyport's configuration has Gateway API %s, and the definition is of %s: the configuration counts", given, d.Bundle())
		}
	}
}

func (x *index) definition(r Ref) (*Definition, bool) {
	o, _ := x.get(r)
	d, ok := o.(*Definition)
	return d, ok
}

// istios are the versions that count.
func (s *Settings) istios() []IstioVersion {
	return append([]IstioVersion{s.Istio}, s.LaterIstios...)
}

// anyIstio reports whether a control plane is of that minor release of Istio 1, or
// a later one.
func (s *Settings) anyIstio(minor int) bool {
	return slices.ContainsFunc(s.istios(), func(v IstioVersion) bool { return v.AtLeast(minor) })
}

// FailsOpen returns the first version of those that count that fails open; see
// [IstioVersion.FailsOpen].
func (s Settings) FailsOpen() (IstioVersion, bool) {
	for _, v := range s.istios() {
		if v.FailsOpen() {
			return v, true
		}
	}
	return IstioVersion{}, false
}
