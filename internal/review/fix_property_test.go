package review_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport-io/sallyport/internal/gen"
	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

var fixSeeds = flag.Int("fix-seeds", 250, "how many random meshes to mend, of each range of seeds")

// TestEveryFixFixes denies random meshes and applies all YAML that the denials print,
// as it stands. Then those denials are gone, every other path is what it was or leads
// through a gateway as well, and nothing of what users wrote is lost but what lets
// traffic out. Of a hundred denied meshes, whatever
// they are denied for, 95 are mended by YAML alone. Not counted are those with an entry
// that has no host but one that nobody may register, such as the gateway's own name:
// what ends that is its deletion, which no YAML that is applied can say.
func TestEveryFixFixes(t *testing.T) {
	var denied, mended, unwanted atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for _, first := range []uint64{1, 100_001, 200_001} {
			t.Run(fmt.Sprint(first), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(*fixSeeds) {
					switch mendMesh(t, first+seed) {
					case isMended:
						mended.Add(1)
						denied.Add(1)
					case isDenied:
						denied.Add(1)
					case isUnwanted:
						unwanted.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d of %d denied meshes are mended by the YAML alone; %d more have an entry that nobody may write", mended.Load(), denied.Load(), unwanted.Load())
	if mended.Load()*100 < 95*denied.Load() {
		t.Errorf("YAML mends %d of %d denied meshes", mended.Load(), denied.Load())
	}
	if unwanted.Load()*8 > denied.Load() {
		t.Errorf("%d meshes have an entry that nobody may write, beside %d others that are denied", unwanted.Load(), denied.Load())
	}
}

// outcome is what becomes of a mesh by the fixes of its denials.
type outcome int

const (
	isAdmitted outcome = iota // there is none
	isDenied                  // some of what is denied is left
	isMended
	isUnwanted // some of what is denied can only be deleted
)

// mendMesh applies the fixes of the mesh of a seed.
func mendMesh(t *testing.T, seed uint64) outcome {
	objects := gen.New(seed)
	decorate(objects)
	var all [][]byte
	for _, o := range objects {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw)
	}
	s := mesh.DefaultSettings()
	s.PlatformNamespaces = []string{"istio-system"}
	s.InjectionOverride = new(bool)
	judge := &review.Judge{Rules: rules.All}
	before, err := judge.ReviewAll(t.Context(), mesh.New(s), all)
	if err != nil {
		return isAdmitted // what cannot be judged is refused
	}
	fix := fixesOf(before, all)
	denied := isAdmitted
	switch {
	case fix.unwanted:
		denied = isUnwanted
	case len(fix.denied) > 0:
		denied = isDenied
	}
	if len(fix.objects) == 0 {
		return denied
	}
	for _, ref := range fix.order {
		raw := fix.objects[ref]
		i := slices.IndexFunc(before.Outcomes, func(o review.Outcome) bool { return o.Ref == ref })
		if problem := malformed(t, raw); problem != nil && (i < 0 || malformed(t, all[i]) == nil) {
			t.Errorf("seed %d: the fix of %s is one that Istio refuses: %v\n%s", seed, ref, problem, raw)
		}
		if i < 0 {
			all = append(all, raw)
			continue
		}
		if fix.shuts[ref] { // what it takes away, it says
			if !reflect.DeepEqual(annotationsOf(t, all[i]), annotationsOf(t, raw)) {
				t.Errorf("seed %d: the fix of %s loses annotations:\n%s", seed, ref, raw)
			}
		} else if lost := lostOf(t, all[i], raw); lost != "" {
			t.Errorf("seed %d: the fix of %s loses %s:\n%s", seed, ref, lost, raw)
		}
		all[i] = raw
	}
	after, err := judge.ReviewAll(t.Context(), mesh.New(s), all)
	if err != nil {
		t.Errorf("seed %d: with the fixes applied: %v", seed, err)
		return denied
	}
	left := fixesOf(after, all)
	for what := range left.denied {
		if fix.yaml[what] && !fix.words[what] {
			t.Errorf("seed %d: there is still a denial of %s", seed, what)
		}
	}
	type key struct {
		host, client string
		port         int
	}
	now := map[key]mesh.Verdict{}
	for _, p := range after.Paths {
		now[key{p.Host, p.Client, p.Port}] = p.Verdict
	}
	for _, p := range before.Paths {
		is, ok := now[key{p.Host, p.Client, p.Port}]
		if !ok {
			if p.Host != mesh.CanonicalHost(p.Host) {
				continue
			}
			is = mesh.Blocked // such paths are not listed
		}
		if is == p.Verdict || p.Verdict == mesh.Direct && (is == mesh.Via || is == mesh.Blocked) || is == mesh.Via && (fix.hosts[p.Host] || p.Verdict == mesh.Broken) || is == mesh.Blocked && p.Verdict == mesh.Broken {
			continue
		}
		t.Errorf("seed %d: the way from %s to %s:%d was %s and is %s", seed, p.Client, p.Host, p.Port, p.Verdict, is)
	}
	if denied == isDenied && len(left.denied) == 0 {
		return isMended
	}
	return denied
}

// malformed is what the API server or Istio has against an object.
func malformed(t *testing.T, raw []byte) error {
	_, err := manifest.Reader{}.Parse(t.Context(), "fix.yaml", raw)
	return err
}

// fixes are what the denials of a batch say.
type fixes struct {
	objects map[mesh.Ref][]byte // by the YAML
	order   []mesh.Ref          // in which they are printed first
	shuts   map[mesh.Ref]bool   // of which a fix takes something away
	hosts   map[string]bool     // for which there is some
	// What is denied, by the host or, of what is about none, by rule and object; what
	// of it has YAML, and what has words.
	denied, yaml, words map[string]bool
	unwanted            bool // an entry has no host but such as nobody may register
}

func fixesOf(b review.Batch, raw [][]byte) fixes {
	f := fixes{
		objects: map[mesh.Ref][]byte{}, shuts: map[mesh.Ref]bool{}, hosts: map[string]bool{},
		denied: map[string]bool{}, yaml: map[string]bool{}, words: map[string]bool{},
	}
	for i, o := range b.Outcomes {
		for _, finding := range o.Findings {
			if finding.Severity != rules.Deny {
				continue
			}
			what := cmp.Or(finding.Host, finding.Rule+" "+o.Ref.String())
			f.denied[what] = true
			objects := rules.Fixed(finding.Fix, raw[i])
			if len(objects) == 0 {
				f.unwanted = f.unwanted || slices.Contains([]string{"gateway-host-hijack", "wildcard-host", "metadata-service"}, finding.Rule) && onlyHost(raw[i])
				f.words[what] = true
				continue
			}
			f.yaml[what] = true
			f.hosts[finding.Host] = true
			for _, a := range objects {
				ref := a.Object.Metadata().Ref
				if f.objects[ref] == nil {
					f.order = append(f.order, ref)
				}
				f.objects[ref] = a.Raw
				f.shuts[ref] = f.shuts[ref] || strings.Contains(finding.Fix, "# Until then,") || finding.Host == ""
			}
		}
	}
	return f
}

// onlyHost reports whether an entry has one host.
func onlyHost(raw []byte) bool {
	o, err := mesh.Decode(raw)
	se, ok := o.(*mesh.ServiceEntry)
	return err == nil && ok && len(se.Hosts) == 1
}

// decorate adds to the routes what the model does not look at.
func decorate(objects gen.Mesh) {
	for i, o := range objects {
		meta := o["metadata"].(gen.Object)
		meta["annotations"] = gen.Object{"team": fmt.Sprint("t", i)}
		spec, _ := o["spec"].(gen.Object)
		list, _ := spec["http"].([]any)
		for j, rule := range list {
			rule, ok := rule.(gen.Object)
			if !ok || o["kind"] != "VirtualService" {
				continue
			}
			rule["name"] = fmt.Sprint("rule-", j)
			rule["timeout"] = fmt.Sprintf("%ds", j+1)
			rule["retries"] = gen.Object{"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx,reset"}
			rule["corsPolicy"] = gen.Object{"maxAge": "24h"}
		}
	}
}

func annotationsOf(t *testing.T, raw []byte) any {
	t.Helper()
	var o struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	return o.Metadata.Annotations
}

// lostOf names what an object said before and does not any more. Where traffic goes,
// and for which gateway and port a rule is, a fix may say anew.
func lostOf(t *testing.T, before, after []byte) string {
	t.Helper()
	var was, is map[string]any
	if err := json.Unmarshal(before, &was); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(after, &is); err != nil {
		t.Fatal(err)
	}
	delete(was["metadata"].(map[string]any), "creationTimestamp")
	if !reflect.DeepEqual(was["metadata"], is["metadata"]) {
		return "metadata"
	}
	old, now := was["spec"].(map[string]any), is["spec"].(map[string]any)
	for field, value := range old {
		switch field {
		case "resolution", "outboundTrafficPolicy":
		case "egress":
			for i, listener := range value.([]any) {
				is := now[field].([]any)[i].(map[string]any)["hosts"].([]any)
				for _, host := range listener.(map[string]any)["hosts"].([]any) {
					if !slices.Contains(is, host) {
						return fmt.Sprint("an import: ", host)
					}
				}
			}
		case "hosts", "exportTo", "gateways":
			for _, item := range value.([]any) {
				if !slices.ContainsFunc(now[field].([]any), func(other any) bool { return strings.EqualFold(item.(string), other.(string)) }) {
					return fmt.Sprint(field, ": ", item)
				}
			}
		case "http", "tls", "tcp", "ports":
			list, _ := now[field].([]any)
			for _, item := range value.([]any) {
				bare := bareOf(item)
				if !slices.ContainsFunc(list, func(other any) bool { return reflect.DeepEqual(bare, bareOf(other)) }) {
					return fmt.Sprint(field, ": ", item)
				}
			}
		default:
			if !reflect.DeepEqual(value, now[field]) {
				return field
			}
		}
	}
	return ""
}

// bareOf is a rule without where its traffic goes and what it is for, or a port
// without its protocol.
func bareOf(item any) any {
	raw, err := json.Marshal(item)
	if err != nil {
		panic(err) // it was JSON
	}
	var rule map[string]any
	if err := json.Unmarshal(raw, &rule); err != nil {
		panic(err)
	}
	delete(rule, "protocol")
	matches, _ := rule["match"].([]any)
	for i, m := range matches {
		m := m.(map[string]any)
		delete(m, "gateways")
		delete(m, "port")
		if len(m) == 0 && len(matches) == 1 {
			delete(rule, "match")
		}
		matches[i] = m
	}
	routes, _ := rule["route"].([]any)
	for _, r := range routes {
		delete(r.(map[string]any), "destination")
		delete(r.(map[string]any), "headers")
	}
	return rule
}
