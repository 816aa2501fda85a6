package reconcile_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// admission is what stands before the API server: both webhooks, or only the
// validating one, in the mesh that the reconciler sees as well.
type admission struct {
	c       *cluster
	judge   *review.Judge
	mutates bool
}

// write admits an object and writes it: a new one where old is nil. It returns
// the denials.
func (a *admission) write(old, object *unstructured.Unstructured) []rules.Finding {
	t := a.c.t
	t.Helper()
	w := review.Write{Request: rules.Request{Operation: "CREATE", User: "a-user"}}
	var err error
	if old != nil {
		w.Request.Operation = "UPDATE"
		if w.OldObject, err = old.MarshalJSON(); err != nil {
			t.Fatal(err)
		}
	}
	if w.Object, err = object.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	m := a.c.seen()
	if a.mutates {
		ops, _, err := review.Default(t.Context(), m, w)
		if err != nil {
			t.Fatal(err)
		}
		if w.Object, err = review.Patched(w.Object, ops); err != nil {
			t.Fatal(err)
		}
	}
	out, err := a.judge.Review(t.Context(), m, w)
	if err != nil {
		t.Fatal(err)
	}
	var denials []rules.Finding
	for _, f := range out.Findings {
		if f.Severity == rules.Deny {
			denials = append(denials, f)
		}
	}
	if len(denials) > 0 {
		return denials
	}
	admitted := &unstructured.Unstructured{}
	if err := json.Unmarshal(w.Object, &admitted.Object); err != nil {
		t.Fatal(err)
	}
	if old == nil {
		err = a.c.Create(t.Context(), admitted)
	} else {
		err = a.c.Update(t.Context(), admitted)
	}
	if err != nil && !apierrors.IsConflict(err) {
		t.Fatal(err)
	}
	return nil
}

// TestNeverDirectWhateverIsWritten creates, edits and deletes entries of every
// form at random, of a tenant and of a namespace of the platform that asks for
// companions, with the mutating webhook and without it, while injection is
// turned off and on: at no version of the cluster does anybody reach a host of
// theirs directly, and hosts that work and are left alone stay in sight.
func TestNeverDirectWhateverIsWritten(t *testing.T) {
	c := newCluster(t, "churn", "churn-platform")
	c.settings.Injection = mesh.InjectNew // until a label says otherwise
	c.settings.PlatformNamespaces = append(c.settings.PlatformNamespaces, "churn-platform")
	c.label("churn-platform", mesh.InjectionLabel, "enabled")
	h := record(t, c.watcher)
	c.run()
	c.create(held("churn", "first", "first.churn.com", tls))
	c.opens("churn", "first") // the reconciler has started
	c.eventually("the labels to be seen", func() error {
		if ns := c.seen().Namespace("churn-platform"); ns == nil || ns.Labels[mesh.InjectionLabel] != "enabled" {
			return fmt.Errorf("%+v", ns)
		}
		return nil
	})

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	a := &admission{c: c, judge: &review.Judge{Rules: rules.All}}
	written, refused := 0, map[string]int{}
	churn := func(n int) {
		t.Helper()
		for range n {
			a.mutates = random.IntN(3) > 0
			namespace := []string{"churn", "churn-platform"}[random.IntN(2)]
			name := fmt.Sprintf("host-%d", random.IntN(4))
			var old unstructured.Unstructured
			old.SetGroupVersionKind(networking.SchemeGroupVersion.WithKind("ServiceEntry"))
			err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &old)
			var denials []rules.Finding
			switch {
			case apierrors.IsNotFound(err):
				denials = a.write(nil, randomEntry(random, namespace, name))
			case err != nil:
				t.Fatal(err)
			case random.IntN(5) == 0:
				if err := client.IgnoreNotFound(c.Delete(t.Context(), &old)); err != nil {
					t.Fatal(err)
				}
			default:
				next := randomEntry(random, namespace, name)
				edited := old.DeepCopy()
				edited.Object["spec"] = next.Object["spec"]
				if export, ok, _ := unstructured.NestedSlice(old.Object, "spec", "exportTo"); ok && random.IntN(2) == 0 {
					if err := unstructured.SetNestedSlice(edited.Object, export, "spec", "exportTo"); err != nil { // as "kubectl apply" leaves it
						t.Fatal(err)
					}
				}
				denials = a.write(&old, edited)
			}
			for _, f := range denials {
				refused[f.Rule]++
			}
			if len(denials) == 0 {
				written++
			}
			time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
		}
	}
	churn(80)
	for _, value := range []string{"disabled", "", "enabled"} {
		c.label("churn", mesh.InjectionLabel, value)
		c.eventually("the label to be seen", func() error {
			if ns := c.seen().Namespace("churn"); ns == nil || ns.Labels[mesh.InjectionLabel] != value {
				return fmt.Errorf("%+v", ns)
			}
			return nil
		})
		time.Sleep(time.Second) // until grace is over: what was admitted before rests on what is there
		churn(40)
	}
	c.eventually("all that is held to be opened", func() error {
		for o := range c.seen().In("ServiceEntry", "churn-platform") {
			if se := o.(*mesh.ServiceEntry); se.Held() {
				return fmt.Errorf("%s is held: %s", se.Ref, c.entry(se.Namespace, se.Name).Annotations[mesh.StatusAnnotation])
			}
		}
		return nil
	})
	h.neverDirect(t, "churn")
	h.neverDirect(t, "churn-platform")
	if err := c.DeleteAllOf(t.Context(), &networking.ServiceEntry{}, client.InNamespace("churn-platform")); err != nil {
		t.Fatal(err)
	}
	c.clear("churn") // another run of the test is to begin with nothing
	t.Logf("%d writes came in; refused: %v", written, refused)
	if written < 30 || refused["open-gap"] < 10 {
		t.Errorf("%d writes came in and %d were refused for a gap: there is too little of one", written, refused["open-gap"])
	}
}

// randomEntry is an entry of some form for hosts of its own.
func randomEntry(random *rand.Rand, namespace, name string) *unstructured.Unstructured {
	hosts := []any{fmt.Sprintf("%s.%s.com", name, namespace), fmt.Sprintf("%s-more.%s.com", name, namespace)}
	ports := []any{
		map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"},
		map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"},
	}
	spec := map[string]any{
		"hosts": hosts[:1+random.IntN(2)], "ports": ports[:1+random.IntN(2)], "resolution": "DNS",
	}
	if export := [][]any{nil, nil, nil, {"."}, {"*"}, {".", "istio-system"}}[random.IntN(6)]; export != nil {
		spec["exportTo"] = export
	}
	metadata := map[string]any{"namespace": namespace, "name": name}
	if to := []string{"", "", ".", "*"}[random.IntN(4)]; to != "" {
		metadata["annotations"] = map[string]any{mesh.ExportAnnotation: to}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": networking.SchemeGroupVersion.String(), "kind": "ServiceEntry", "metadata": metadata, "spec": spec,
	}}
}
