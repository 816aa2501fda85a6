package review_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/gen"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestEveryFixFixes denies random meshes and applies all YAML that the denials
// print, as it stands. Then those denials are gone, every other path is what it was
// or leads through a gateway as well, and nothing of what users wrote is lost.
func TestEveryFixFixes(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 60
	}
	routing, mended := 0, 0
	for seed := range seeds {
		objects := gen.New(seed + 1)
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
			continue // what cannot be judged is refused
		}
		fix := fixesOf(t, before)
		if fix.routing() {
			routing++
		}
		if len(fix.objects) == 0 {
			continue
		}
		for ref, raw := range fix.objects {
			i := slices.IndexFunc(before.Outcomes, func(o review.Outcome) bool { return o.Ref == ref })
			if i < 0 {
				all = append(all, raw)
				continue
			}
			if lost := lostOf(t, all[i], raw); lost != "" {
				t.Errorf("seed %d: the fix of %s loses %s:\n%s", seed+1, ref, lost, raw)
			}
			all[i] = raw
		}
		after, err := judge.ReviewAll(t.Context(), mesh.New(s), all)
		if err != nil {
			t.Errorf("seed %d: with the fixes applied: %v", seed+1, err)
			continue
		}
		left := fixesOf(t, after)
		for host := range fix.hosts {
			if left.denied[host] && !fix.words[host] {
				t.Errorf("seed %d: the way to %s is still denied", seed+1, host)
			}
		}
		if fix.routing() && len(left.denied) == 0 {
			mended++
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
			if !ok && p.Host != mesh.CanonicalHost(p.Host) {
				continue
			}
			ok = is == p.Verdict || is == mesh.Via && (p.Verdict == mesh.Direct || fix.hosts[p.Host] && p.Verdict != mesh.Blocked)
			if !ok {
				t.Errorf("seed %d: the way from %s to %s:%d was %s and is %s", seed+1, p.Client, p.Host, p.Port, p.Verdict, is)
			}
		}
	}
	t.Logf("%d of %d meshes that are denied for their routes alone are mended by the YAML", mended, routing)
	if mended*100 < 80*routing {
		t.Errorf("YAML mends %d of %d meshes that are denied for their routes alone", mended, routing)
	}
}

// fixes are what the denials of a batch say.
type fixes struct {
	objects map[mesh.Ref][]byte // by the YAML
	hosts   map[string]bool     // for which there is some
	words   map[string]bool     // for which there are words
	denied  map[string]bool
	others  bool // there are denials of what YAML cannot mend
}

// routing reports whether nothing is denied but ways to hosts that routes can lead:
// the names behind a wildcard cannot be dialled, nor can a copy be led.
func (f fixes) routing() bool { return len(f.denied) > 0 && !f.others }

func fixesOf(t *testing.T, b review.Batch) fixes {
	t.Helper()
	f := fixes{objects: map[mesh.Ref][]byte{}, hosts: map[string]bool{}, words: map[string]bool{}, denied: map[string]bool{}}
	for _, o := range b.Outcomes {
		for _, finding := range o.Findings {
			if finding.Severity != rules.Deny {
				continue
			}
			if finding.Host == "" || mesh.IsWildcard(finding.Host) || strings.Contains(finding.Path, "mirror") {
				f.others = true
				continue
			}
			f.denied[finding.Host] = true
			objects := yamlOf(t, finding.Fix)
			if len(objects) == 0 {
				f.words[finding.Host] = true
				continue
			}
			f.hosts[finding.Host] = true
			maps.Copy(f.objects, objects)
		}
	}
	return f
}

// yamlOf are the objects of a fix, none where it is words.
func yamlOf(t *testing.T, fix string) map[mesh.Ref][]byte {
	t.Helper()
	out := map[mesh.Ref][]byte{}
	if !strings.Contains(fix, "\napiVersion:") && !strings.HasPrefix(fix, "apiVersion:") {
		return nil
	}
	for doc := range strings.SplitSeq(fix, "\n---\n") {
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatalf("%v in the fix:\n%s", err, fix)
		}
		if string(raw) == "null" {
			continue
		}
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatalf("%v in the fix:\n%s", err, fix)
		}
		out[o.Metadata().Ref] = raw
	}
	return out
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
		case "resolution":
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
