package istio_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/gen"
	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/manifest/crdtest"
	"github.com/sallyport-io/sallyport/internal/schema"
)

var objectsF = flag.Int("objects", 1500, "how many random objects to put to both validations")

// validations are Istio's and ours.
type validations struct {
	t      *testing.T
	server *crdtest.Server
}

// istio returns why an object would not get into a cluster: because of the definition of its
// kind, or of istiod's webhook.
func (v validations) istio(raw []byte) error {
	var o crd.IstioKind
	if err := json.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if msgs := validation.IsDNS1123Subdomain(o.Name); len(msgs) > 0 {
		return fmt.Errorf("server: metadata.name: %s", msgs[0])
	}
	if !v.server.Knows(o.APIVersion, o.Kind) {
		return fmt.Errorf("server: no kind %s %s", o.APIVersion, o.Kind)
	}
	if err := v.server.Refuses(o.APIVersion, o.Kind, raw); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	gvk := o.GroupVersionKind()
	s, ok := collections.All.FindByGroupKind(resource.FromKubernetesGVK(&gvk))
	if !ok {
		return fmt.Errorf("webhook: unrecognized type %v", gvk)
	}
	c, err := crd.ConvertObject(s, &o, "cluster.local")
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	if _, err := s.ValidateConfig(*c); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// ours returns what we read, and the first thing that is wrong with it.
func (v validations) ours(raw []byte) ([]byte, error) {
	objects, err := manifest.Reader{Stdin: bytes.NewReader(raw)}.Read(v.t.Context(), "-")
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%d objects", len(objects))
	}
	o := objects[0]
	if k, ok := schema.Find(o.APIVersion, o.Kind); ok {
		for _, s := range k.Strays(o.Raw, 1) {
			if s.Why == "" { // rule unknown-field says so
				return nil, fmt.Errorf("-: %s: unknown field", s.Path)
			}
		}
	}
	return o.Raw, nil
}

// exceptions are what we let pass and Istio does not: each puts something that is right in
// place of what we do not look at, if there is any.
var exceptions = map[string]struct {
	why  string
	mend func(spec gen.Object)
}{
	"EnvoyFilter": {"what the value of a patch may be is Envoy's API, hundreds of messages of it; every EnvoyFilter gets a finding for what it may do", func(spec gen.Object) {
		for _, p := range items(spec["configPatches"]) {
			if patch, ok := p["patch"].(gen.Object); ok && patch["value"] != nil {
				patch["value"] = gen.Object{}
			}
		}
	}},
	"Telemetry": {"the expression by which requests are chosen for the access log is in CEL, which nothing else of the command line reads", func(spec gen.Object) {
		for _, l := range items(spec["accessLogging"]) {
			if f, ok := l["filter"].(gen.Object); ok && f["expression"] != nil {
				f["expression"] = "true"
			}
		}
	}},
	"RequestAuthentication": {"whether the keys of a set in JSON are keys is for a library of cryptography to say", func(spec gen.Object) {
		for _, r := range items(spec["jwtRules"]) {
			if s, ok := r["jwks"].(string); ok && json.Valid([]byte(s)) {
				r["jwks"] = `{"keys":[]}`
			}
		}
	}},
}

func items(list any) []gen.Object {
	var out []gen.Object
	all, _ := list.([]any)
	for _, i := range all {
		if o, ok := i.(gen.Object); ok {
			out = append(out, o)
		}
	}
	return out
}

// verdict is how an object fares: "agreed", or who is wrong and about what.
func (v validations) verdict(o gen.Object) (sort string, why error) {
	raw, err := json.Marshal(o)
	if err != nil {
		v.t.Fatal(err)
	}
	theirs := v.istio(raw)
	read, ours := v.ours(raw)
	switch {
	case ours == nil && theirs != nil:
		// A form of another day is read, noted, and given its own: is that fine?
		if theirs = v.istio(read); theirs == nil {
			return "agreed: legacy", nil
		}
		if e, ok := exceptions[o["kind"].(string)]; ok {
			mended := clone(o).(gen.Object)
			if spec, ok := mended["spec"].(gen.Object); ok {
				e.mend(spec)
			}
			if raw, err := json.Marshal(mended); err == nil {
				if read, ours := v.ours(raw); ours == nil && v.istio(read) == nil {
					return "agreed: exception " + o["kind"].(string), nil
				}
			}
		}
		sort, why = "admitted", theirs
	case ours != nil && theirs == nil:
		sort, why = "refused", ours
	case ours != nil:
		return "agreed: both refuse", nil
	default:
		return "agreed: both take", nil
	}
	for range 20 { // some of Istio's checks follow the order of a map
		if (v.istio(raw) == nil) != (theirs == nil) {
			return "agreed: Istio is of two minds", nil
		}
	}
	return sort, why
}

// numbers and quoted values tell no two contradictions apart.
var particular = regexp.MustCompile(`"[^"]*"|'[^']*'|\d+|\[[^\]]*\]`)

// TestValidation puts random objects of Istio's kinds to the definitions of the kinds and
// istiod's webhook, and to the reader of the command line: what they refuse is not admitted
// as fine, and what they take is not called malformed.
func TestValidation(t *testing.T) {
	v, g := validations{t, crdtest.New(t)}, newObjects(t, *seed)
	counts, examples := map[string]int{}, map[string]gen.Object{}
	kinds := map[string]int{}
	for range *objectsF {
		o := g.next()
		if name, _ := o["metadata"].(gen.Object)["name"].(string); name == "" {
			o["metadata"].(gen.Object)["name"] = "a"
		}
		sort, why := v.verdict(o)
		counts[sort]++
		kinds[fmt.Sprint(o["kind"])]++
		if why == nil {
			continue
		}
		about := sort + " " + fmt.Sprint(o["kind"]) + ": " + particular.ReplaceAllString(firstLine(why), "_")
		if counts[about]++; counts[about] == 1 {
			examples[about] = o
		}
	}
	t.Logf("%d objects of %d kinds", *objectsF, len(kinds))
	for _, sort := range slices.Sorted(maps.Keys(counts)) {
		if strings.HasPrefix(sort, "agreed") {
			t.Logf("%s: %d", sort, counts[sort])
		}
	}
	for _, about := range slices.Sorted(maps.Keys(examples)) {
		sort, _, _ := strings.Cut(about, " ")
		small := gen.Shrink(gen.Mesh{examples[about]}, func(m gen.Mesh) bool {
			if len(m) == 0 {
				return false
			}
			again, why := v.verdict(m[0])
			return again == sort && sort+" "+fmt.Sprint(m[0]["kind"])+": "+particular.ReplaceAllString(firstLine(why), "_") == about
		})
		_, why := v.verdict(small[0])
		written, err := yaml.Marshal(small[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("%d like this are %s by us alone: %v\n%s", counts[about], sort, why, written)
	}
	for _, kind := range []string{"VirtualService", "Telemetry", "EnvoyFilter", "TrafficExtension"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s is among them", kind)
		}
	}
}

// firstLine is the first line of an error that joins several.
func firstLine(err error) string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) > 0 {
		err = joined.Unwrap()[0]
	}
	line, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(err.Error(), "1 error occurred:")), "\n")
	return line
}
