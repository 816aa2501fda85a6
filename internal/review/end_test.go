package review_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// apiServer keeps objects as an API server does, with a garbage collector and a
// namespace controller, and asks the judge about every write, whoever makes it. Its
// mesh is what Istio programs: what is being deleted among it.
type apiServer struct {
	t       *testing.T
	judge   *review.Judge
	objects map[mesh.Ref]map[string]any
	uids    int
	history []string
}

func newAPIServer(t *testing.T) *apiServer {
	return &apiServer{t: t, judge: &review.Judge{Rules: rules.All}, objects: map[mesh.Ref]map[string]any{}}
}

func (a *apiServer) raw(o map[string]any) []byte {
	raw, err := json.Marshal(o)
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (a *apiServer) decode(o map[string]any) mesh.Object {
	decoded, err := mesh.Decode(a.raw(o))
	if err != nil {
		a.t.Fatal(err)
	}
	return decoded
}

// mesh is what the server has stored; where alive is true, as Istio reads it, which
// makes nothing of a deletionTimestamp.
func (a *apiServer) mesh(alive bool) *mesh.Mesh {
	settings := mesh.DefaultSettings()
	off := false
	settings.InjectionOverride = &off
	var objects []mesh.Object
	for _, o := range a.objects {
		decoded := a.decode(o)
		if alive {
			decoded = mesh.NotDeleting(decoded)
		}
		objects = append(objects, decoded)
	}
	return mesh.New(settings, objects...)
}

func meta(o map[string]any) map[string]any { return o["metadata"].(map[string]any) }

// clone is a deep copy.
func (a *apiServer) clone(o map[string]any) map[string]any {
	var out map[string]any
	if err := json.Unmarshal(a.raw(o), &out); err != nil {
		a.t.Fatal(err)
	}
	return out
}

func (a *apiServer) ask(w review.Write) bool {
	w.Request.User = "jane"
	out, err := a.judge.Review(a.t.Context(), a.mesh(false), w)
	if err != nil {
		a.t.Fatalf("%v\n%s", err, strings.Join(a.history, "\n"))
	}
	if !out.Denied() {
		a.history = append(a.history, fmt.Sprintf("%s %s %s%s", w.Request.Operation, out.Ref, w.Object, w.Propagation))
	}
	return !out.Denied()
}

func (a *apiServer) create(o map[string]any) {
	ref := a.decode(o).Metadata().Ref
	if ns := a.objects[mesh.Ref{Kind: "Namespace", Name: ref.Namespace}]; a.objects[ref] != nil || ns == nil || meta(ns)["deletionTimestamp"] != nil {
		return
	}
	o = a.clone(o)
	a.uids++
	meta(o)["uid"] = fmt.Sprint("uid-", a.uids)
	meta(o)["creationTimestamp"] = fmt.Sprintf("2026-01-01T00:%02d:%02dZ", a.uids/60%60, a.uids%60)
	if a.ask(review.Write{Request: rules.Request{Operation: "CREATE"}, Object: a.raw(o)}) {
		a.objects[ref] = o
	}
}

// update stores a new version, and lets go what no finalizer holds.
func (a *apiServer) update(ref mesh.Ref, o map[string]any) {
	if !a.ask(review.Write{Request: rules.Request{Operation: "UPDATE"}, Object: a.raw(o), OldObject: a.raw(a.objects[ref])}) {
		return
	}
	a.objects[ref] = o
	if finalizers, _ := meta(o)["finalizers"].([]any); meta(o)["deletionTimestamp"] != nil && len(finalizers) == 0 {
		delete(a.objects, ref)
	}
}

// remove deletes an object, in the foreground, say. A namespace waits for what is in
// it, and what has finalizers for those.
func (a *apiServer) remove(ref mesh.Ref, propagation string) {
	o := a.objects[ref]
	if o == nil || !a.ask(review.Write{Request: rules.Request{Operation: "DELETE"}, OldObject: a.raw(o), Propagation: propagation}) {
		return
	}
	finalizers, _ := meta(o)["finalizers"].([]any)
	if meta(o)["deletionTimestamp"] == nil && propagation == "Foreground" {
		finalizers = append(finalizers, "foregroundDeletion")
	}
	if len(finalizers) == 0 && ref.Kind != "Namespace" {
		delete(a.objects, ref)
		return
	}
	o = a.clone(o)
	meta(o)["deletionTimestamp"], meta(o)["finalizers"] = "2026-02-01T00:00:00Z", finalizers
	a.objects[ref] = o
}

// collect does one thing that Kubernetes' controllers would do, to a random object.
func (a *apiServer) collect(rnd *rand.Rand) {
	refs := a.refs()
	if len(refs) == 0 {
		return
	}
	ref := refs[rnd.IntN(len(refs))]
	o := a.objects[ref]
	ns := a.objects[mesh.Ref{Kind: "Namespace", Name: ref.Namespace}]
	owners, _ := meta(o)["ownerReferences"].([]any)
	held, ownerless := false, len(owners) > 0
	for other, candidate := range a.objects {
		theirs, _ := meta(candidate)["ownerReferences"].([]any)
		for _, r := range theirs {
			held = held || other.Namespace == ref.Namespace && r.(map[string]any)["uid"] == meta(o)["uid"]
		}
		for _, r := range owners {
			if other.Namespace == ref.Namespace && r.(map[string]any)["uid"] == meta(candidate)["uid"] {
				waits := slices.Contains(strings.Fields(fmt.Sprint(meta(candidate)["finalizers"])), "foregroundDeletion") ||
					strings.Contains(fmt.Sprint(meta(candidate)["finalizers"]), "foregroundDeletion")
				ownerless = ownerless && waits
			}
		}
	}
	finalizers, _ := meta(o)["finalizers"].([]any)
	switch {
	case ns != nil && meta(ns)["deletionTimestamp"] != nil, ownerless:
		a.remove(ref, "")
	case slices.Contains(finalizers, any("foregroundDeletion")) && !held:
		o = a.clone(o)
		meta(o)["finalizers"] = slices.DeleteFunc(slices.Clone(finalizers), func(f any) bool { return f == "foregroundDeletion" })
		a.update(ref, o)
	case ref.Kind == "Namespace" && meta(o)["deletionTimestamp"] != nil:
		for other := range a.objects {
			if other.Namespace == ref.Name {
				return
			}
		}
		delete(a.objects, ref)
	}
}

func (a *apiServer) refs() []mesh.Ref {
	return slices.SortedFunc(maps.Keys(a.objects), func(x, y mesh.Ref) int { return strings.Compare(x.String(), y.String()) })
}

// direct names a direct path that Istio programs at that moment.
func (a *apiServer) direct() string { return cluster{mesh: a.mesh(true)}.direct() }

func endObjects(t *testing.T) []map[string]any {
	t.Helper()
	docs := []string{
		`{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"namespace":"istio-system","name":"all"},"spec":{"selector":{"istio":"egressgateway"},"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"]}]}}`,
	}
	for _, ns := range []string{"shop", "cart"} {
		for _, name := range []string{"a", "b"} {
			host := name + ".example.com"
			docs = append(docs,
				fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":%q,"name":%q},"spec":{"hosts":[%q],"exportTo":[".","istio-system"],"resolution":"DNS","ports":[{"number":80,"name":"http","protocol":"HTTP"}]}}`, ns, name, host),
				route(ns, name, host, `["."]`), route(ns, name+"-too", host, `["*"]`))
		}
		docs = append(docs, fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"namespace":%q,"name":"own"},"spec":{"egress":[{"hosts":["./*","istio-system/*"]}]}}`, ns))
	}
	var objects []map[string]any
	for _, d := range docs {
		var o map[string]any
		if err := json.Unmarshal([]byte(d), &o); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	return objects
}

func route(ns, name, host, exportTo string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"namespace":%q,"name":%q},"spec":{"hosts":[%q],"exportTo":%s,"gateways":["mesh","istio-system/all"],"http":[
		{"match":[{"gateways":["mesh"]}],"route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":80}}}]},
		{"match":[{"gateways":["istio-system/all"]}],"route":[{"destination":{"host":%q,"port":{"number":80}}}]}]}}`, ns, name, host, exportTo, host)
}

// TestDeletionHistories has tenants create, hold by finalizers, give away to owners,
// and delete what they like, and Kubernetes collect it, in random histories. At no
// moment does Istio have a direct path; and what nobody holds can go in the end,
// namespaces and all.
func TestDeletionHistories(t *testing.T) {
	const histories, steps = 150, 60
	objects := endObjects(t)
	var died, came int
	for seed := range histories {
		rnd := rand.New(rand.NewPCG(uint64(seed), 12))
		a := newAPIServer(t)
		for _, ns := range []string{"istio-system", "shop", "cart"} {
			a.objects[mesh.Ref{Kind: "Namespace", Name: ns}] = map[string]any{
				"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns, "uid": ns, "labels": map[string]any{"istio-injection": "enabled"}},
			}
		}
		a.create(objects[0])
		for range steps {
			before := len(a.objects)
			o := a.clone(objects[rnd.IntN(len(objects))])
			ref := a.decode(o).Metadata().Ref
			switch rnd.IntN(9) {
			case 0, 1, 2:
				if rnd.IntN(3) == 0 {
					meta(o)["finalizers"] = []any{"shop.example/keep"}
				}
				a.create(o)
			case 3:
				if have := a.objects[ref]; have != nil && meta(have)["deletionTimestamp"] == nil {
					have = a.clone(have)
					meta(have)["finalizers"] = []any{"shop.example/keep"}
					a.update(ref, have)
				}
			case 4:
				if have := a.objects[ref]; have != nil && meta(have)["finalizers"] != nil {
					have = a.clone(have)
					delete(meta(have), "finalizers")
					a.update(ref, have)
				}
			case 5:
				if have := a.objects[ref]; have != nil {
					have = a.clone(have)
					owner := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "nobody"}
					if refs := a.refs(); rnd.IntN(2) == 0 {
						of := refs[rnd.IntN(len(refs))]
						owner = map[string]any{"apiVersion": a.objects[of]["apiVersion"], "kind": of.Kind, "name": of.Name, "uid": meta(a.objects[of])["uid"], "blockOwnerDeletion": true}
					}
					meta(have)["ownerReferences"] = []any{owner}
					a.update(ref, have)
				}
			case 6:
				a.remove(ref, []string{"", "Background", "Foreground"}[rnd.IntN(3)])
			case 7:
				if rnd.IntN(4) == 0 {
					a.remove(mesh.Ref{Kind: "Namespace", Name: []string{"shop", "cart"}[rnd.IntN(2)]}, "")
				}
			case 8:
				for range 4 {
					a.collect(rnd)
				}
			}
			died += max(before-len(a.objects), 0)
			came += max(len(a.objects)-before, 0)
			if direct := a.direct(); direct != "" {
				t.Fatalf("history %d: %s\n%s", seed, direct, strings.Join(a.history, "\n"))
			}
		}
		a.dissolve(rnd)
		if len(a.objects) > 2 { // the platform's namespace and Gateway
			t.Fatalf("history %d: these cannot go: %v\n%s", seed, a.refs(), strings.Join(a.history, "\n"))
		}
	}
	if died < histories || came < 5*histories {
		t.Errorf("%d objects came and %d went; the histories prove little", came, died)
	}
}

// dissolve deletes the tenants' namespaces, and lets go what finalizers hold.
func (a *apiServer) dissolve(rnd *rand.Rand) {
	for range 40 {
		for _, ns := range []string{"shop", "cart"} {
			if o := a.objects[mesh.Ref{Kind: "Namespace", Name: ns}]; o != nil && meta(o)["deletionTimestamp"] == nil {
				a.remove(mesh.Ref{Kind: "Namespace", Name: ns}, "")
			}
		}
		for _, ref := range a.refs() {
			if ref.Namespace == "" || ref.Namespace == "istio-system" {
				continue
			}
			if o := a.objects[ref]; o != nil && meta(o)["finalizers"] != nil {
				o = a.clone(o)
				delete(meta(o), "finalizers")
				a.update(ref, o)
			}
		}
		for range 2 * len(a.objects) {
			a.collect(rnd)
		}
		for _, ref := range a.refs() {
			if direct := a.direct(); direct != "" {
				a.t.Fatalf("while all is dissolved: %s (%s)", direct, ref)
			}
		}
	}
}
