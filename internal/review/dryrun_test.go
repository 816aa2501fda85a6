package review_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestDryRunOfSets has every object of a set tried out, as Flux does, before any of
// it is written, and again after each write. Where the set can be applied in some
// order no dry run of it is denied, at no time: neither by the shape of the entry's
// exportTo, nor because Sallyport keeps companions there.
func TestDryRunOfSets(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(observed, "*", "all.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{ownSet + "two-namespaces", ownSet + "rewrite", ownSet + "workload-in-the-mesh"}
	for _, file := range files {
		if name := filepath.Base(filepath.Dir(file)); !istioSendsDirect(t, file) && hostile[name] == "" {
			names = append(names, name)
		}
	}
	tried := 0
	for _, injection := range []bool{false, true} {
		for _, name := range names {
			for _, exportTo := range []string{"", `["."]`, `["*"]`} {
				set := exported(t, readSet(t, name), exportTo)
				order, ok := applied(t, newCluster(injection), set)
				if !ok {
					continue // no way to apply the set is known: nothing is promised
				}
				tried++
				c := newCluster(injection)
				for step := 0; ; step++ {
					for _, raw := range order[step:] {
						if try := c.dryRun(t, raw); len(try) > 0 {
							t.Errorf("%s, injection %t, exportTo %s: after %d writes a dry run is denied: %v", name, injection, exportTo, step, try)
						}
					}
					if step == len(order) {
						break
					}
					c = c.apply(t, order[step])
				}
				if len(c.denied) > 0 || c.direct() != "" {
					t.Errorf("%s: in the order that is known: %v %s", name, c.denied, c.direct())
				}
			}
		}
	}
	if tried < 150 {
		t.Errorf("%d sets were tried; want most of those observed", tried)
	}
}

// exported returns the set with an exportTo in each entry that has none.
func exported(t *testing.T, set [][]byte, exportTo string) [][]byte {
	t.Helper()
	for i, raw := range set {
		if se, ok := decodeOne(t, raw).(*mesh.ServiceEntry); ok && exportTo != "" && len(se.ExportTo) == 0 {
			set[i] = bytes.Replace(raw, []byte(`"spec":{`), []byte(`"spec":{"exportTo":`+exportTo+`,`), 1)
		}
	}
	return set
}

func decodeOne(t *testing.T, raw []byte) mesh.Object {
	t.Helper()
	o, err := mesh.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// applied looks for an order in which the whole set is admitted: as whoever tries
// again what was denied finds one.
func applied(t *testing.T, c cluster, set [][]byte) (order [][]byte, ok bool) {
	t.Helper()
	left := slices.Clone(set)
	for progress := true; progress && len(left) > 0; {
		progress = false
		for i, raw := range left {
			if next := c.apply(t, raw); len(next.denied) == 0 {
				c, order, progress = next, append(order, raw), true
				left = slices.Delete(left, i, i+1)
				break
			}
		}
	}
	return order, len(left) == 0
}

// dryRun returns what a dry run of a new object is denied for.
func (c cluster) dryRun(t *testing.T, raw []byte) (denied []string) {
	t.Helper()
	out := dryRun(t, c.judge, c.mesh, review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw})
	for _, f := range out.Findings {
		if f.Severity == rules.Deny {
			denied = append(denied, out.Ref.String()+": "+f.Message+" ("+f.Rule+")")
		}
	}
	return denied
}

func dryRun(t *testing.T, judge *review.Judge, m *mesh.Mesh, w review.Write) review.Outcome {
	t.Helper()
	w.Request.DryRun = true
	w.Object = defaulted(t, m, w)
	out, err := judge.Review(t.Context(), m, w)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDryRunOfGoodObjects tries the objects that the rules' cases call good, and the
// worlds in which they are, in a cluster that has nothing but the namespaces. What
// the world admits is not denied there.
func TestDryRunOfGoodObjects(t *testing.T) {
	files, err := filepath.Glob("../../rules/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	judge := &review.Judge{Rules: rules.All}
	for _, file := range files {
		w := readWorld(t, file)
		whole, bare := mesh.New(w.settings, w.objects...), mesh.New(w.settings, w.namespaces...)
		for _, raw := range w.good {
			w := review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw}
			if o, ok := decodeOne(t, raw).(*mesh.ServiceEntry); ok && len(o.Hosts)*len(o.Ports) >= mesh.MaxAffected {
				continue // refused for its size, wherever it is
			}
			if dryRun(t, judge, whole, w).Denied() {
				continue
			}
			if out := dryRun(t, judge, bare, w); out.Denied() {
				t.Errorf("%s: %s is denied without the world: %+v", filepath.Base(file), out.Ref, out.Findings[0])
			}
		}
	}
}

// TestDryRunOfBadObjects tries out what the rules' cases call bad, where the whole of
// their world is. Most stay denied; what does not says what it waits for, of each
// denial, and is denied for real.
func TestDryRunOfBadObjects(t *testing.T) {
	files, err := filepath.Glob("../../rules/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	judge := &review.Judge{Rules: rules.All}
	stay := 0
	for _, file := range files {
		w := readWorld(t, file)
		m := mesh.New(w.settings, w.objects...)
		for _, write := range w.bad {
			real := write
			ops, _, err := review.Default(t.Context(), m, real)
			if err != nil {
				continue // too large, wherever it is
			}
			if real.Object, err = review.Patched(real.Object, ops); err != nil {
				t.Fatal(err)
			}
			out, err := judge.Review(t.Context(), m, real)
			if err != nil || !out.Denied() {
				continue
			}
			try := dryRun(t, judge, m, write)
			if try.Denied() {
				stay++
				continue
			}
			if len(try.Findings) != len(out.Findings) {
				t.Errorf("%s: %s: %d findings, in a dry run %d", filepath.Base(file), out.Ref, len(out.Findings), len(try.Findings))
			}
			waits := 0
			for _, f := range try.Findings {
				if strings.HasPrefix(f.Message, "denied while ") {
					waits++
				}
			}
			for _, f := range out.Findings {
				if f.Severity == rules.Deny {
					waits--
				}
			}
			if waits != 0 {
				t.Errorf("%s: %s: a dry run does not say of each denial what it waits for: %+v", filepath.Base(file), out.Ref, try.Findings)
			}
		}
	}
	if stay < 200 {
		t.Errorf("%d bad objects stay denied in a dry run; want nearly all", stay)
	}
}

// TestDryRunStaysDenied: what no other object can mend is denied in a dry run as
// well. An entry whose protocol Istio has to guess follows no route; a route that
// leads past the gateway does so with its entry there.
func TestDryRunStaysDenied(t *testing.T) {
	entry := entryOf("pay.example.com")
	for name, test := range map[string]struct{ world, object string }{
		"straight route":      {entry, strings.Replace(straight, `"true"`, `"false"`, 1)},
		"protocol is guessed": {"", strings.Replace(entry, "protocol: TLS", "protocol: \"\"", 1)},
		"sidecar lets all out": {entry, "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: shop}\n" +
			"spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: ['./*']}]}\n"},
	} {
		m := mesh.New(withoutInjection(), decode(t, test.world)...)
		w := review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: document(t, test.object)}
		if out := dryRun(t, &review.Judge{Rules: rules.All}, m, w); !out.Denied() {
			t.Errorf("%s: %+v", name, out.Findings)
		}
	}
}

// TestDryRunOfEdits tries out both halves of an edit that neither could be alone: a
// port that entry and route gain, and one that both lose.
func TestDryRunOfEdits(t *testing.T) {
	two := readSet(t, "seed-https-plain")
	var entry, route []byte
	m := mesh.New(withoutInjection())
	for _, raw := range two {
		switch o := decodeOne(t, raw).(type) {
		case *mesh.ServiceEntry:
			entry = raw
			m = m.With(o)
		case *mesh.VirtualService:
			route = raw
			m = m.With(o)
		default:
			m = m.With(o)
		}
	}
	const (
		port = `{"name":"more","number":8443,"protocol":"TLS"}`
		rule = `{"match":[{"gateways":["mesh"],"port":8443,"sniHosts":["edition.cnn.com"]}],"route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":443},"subset":"cnn"}}]}`
	)
	more := func(raw []byte, list, item string) []byte {
		out := bytes.Replace(raw, []byte(`"`+list+`":[`), []byte(`"`+list+`":[`+item+`,`), 1)
		if bytes.Equal(out, raw) {
			t.Fatalf("no %s in %s", list, raw)
		}
		return out
	}
	wideEntry, wideRoute := more(entry, "ports", port), more(route, "tls", rule)
	judge := &review.Judge{Rules: rules.All}
	// alone is whether the write is admitted for real, before the other.
	try := func(what string, m *mesh.Mesh, before, after []byte, alone bool) {
		t.Helper()
		w := review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: before, Object: after}
		if out := dryRun(t, judge, m, w); out.Denied() {
			t.Errorf("%s: %+v", what, out.Findings)
		}
		out, err := judge.Review(t.Context(), m, w)
		if err != nil {
			t.Fatal(err)
		}
		if out.Denied() == alone {
			t.Errorf("%s, for real and by itself: denied %t", what, out.Denied())
		}
	}
	try("the entry gains a port", m, entry, wideEntry, false)
	try("the route gains a port", m, route, wideRoute, true)
	m = m.With(decodeOne(t, wideEntry), decodeOne(t, wideRoute))
	try("the route loses a port", m, wideRoute, route, false)
	try("the entry loses a port", m, wideEntry, entry, true)
}

// world is a case of a rule.
type world struct {
	settings   mesh.Settings
	objects    []mesh.Object // those of the world, namespaces included
	namespaces []mesh.Object
	good       [][]byte // what is created, the world's own objects included
	bad        []review.Write
}

func readWorld(t *testing.T, file string) world {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := world{settings: mesh.DefaultSettings()}
	for _, f := range archive.Files {
		if f.Name == "config.yaml" {
			cfg, err := config.Parse(f.Name, f.Data)
			if err != nil {
				t.Fatal(err)
			}
			w.settings = cfg.Settings()
		}
		isWorld, isGood, isBad := f.Name == "world.yaml", strings.HasPrefix(f.Name, "good"), strings.HasPrefix(f.Name, "bad")
		update := strings.Contains(f.Name, "-update")
		if !isWorld && !isGood && !isBad || strings.Contains(f.Name, "-delete") || isGood && update {
			continue
		}
		documents, err := golden.Documents(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		for i, raw := range documents {
			o := decodeOne(t, raw)
			namespace := o.Metadata().Kind == "Namespace"
			switch {
			case isWorld && namespace:
				w.namespaces = append(w.namespaces, o)
			case isWorld, isGood:
				w.good = append(w.good, raw)
			case update && i%2 == 1:
				w.bad = append(w.bad, review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: documents[i-1], Object: raw})
			case !update:
				w.bad = append(w.bad, review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw})
			}
			if isWorld {
				w.objects = append(w.objects, o)
			}
		}
	}
	return w
}
