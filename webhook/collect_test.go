package webhook

import (
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

const (
	collector           = "system:serviceaccount:kube-system:generic-garbage-collector"
	namespaceController = "system:serviceaccount:kube-system:namespace-controller"
)

// served are an entry in namespace shop and all that Sallyport keeps for it; change
// changes the entry.
func served(t *testing.T, change func(*mesh.ServiceEntry)) []mesh.Object {
	t.Helper()
	decoded, err := mesh.Decode([]byte(entry("api", "api.example.com")))
	if err != nil {
		t.Fatal(err)
	}
	se := decoded.(*mesh.ServiceEntry)
	se.UID, se.ExportTo = "entry", []string{"."}
	ns := &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}, Labels: map[string]string{mesh.InjectionLabel: "enabled"}}}
	set := companion.For(mesh.New(mesh.DefaultSettings(), se, ns), "api.example.com")
	change(se)
	return append(set.Objects, se, ns)
}

// meshHop is the companion without which clients of namespace shop go straight to
// the host.
func meshHop(t *testing.T, objects []mesh.Object) mesh.Ref {
	t.Helper()
	for _, o := range objects {
		if ref := o.Metadata().Ref; companion.MeshHop(ref) && ref.Namespace == "shop" {
			return ref
		}
	}
	t.Fatal("no mesh hop")
	return mesh.Ref{}
}

// TestCollect has Kubernetes' controllers collect companions: not before the entry
// is gone from Istio, whatever holds it, and then at once.
func TestCollect(t *testing.T) {
	deleting := func(se *mesh.ServiceEntry) { se.Deleting = true }
	as := func(*mesh.ServiceEntry) {}
	for _, tt := range []struct {
		name    string
		change  func(*mesh.ServiceEntry)
		gone    bool // the entry
		user    string
		allowed bool
		message string
	}{
		{name: "before its entry", change: as, user: collector, message: "ServiceEntry/shop/api still needs it"},
		{name: "before its entry, which a finalizer holds", change: deleting, user: collector, message: "ServiceEntry/shop/api still needs it"},
		{name: "with its namespace, before its entry", change: deleting, user: namespaceController, message: "Kubernetes tries again"},
		{name: "after its entry", change: as, gone: true, user: collector, allowed: true},
		{name: "with its namespace", change: as, gone: true, user: namespaceController, allowed: true},
		{name: "where controllers have no accounts of their own", change: as, user: "system:kube-controller-manager", message: "still needs it"},
		{name: "by anybody", change: as, gone: true, user: "alice", message: "reserved-companion"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects := served(t, tt.change)
			o := options(t, objects...)
			if tt.gone {
				m := mesh.New(mesh.DefaultSettings(), objects...).Without(mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "api"})
				o.Mesh = func() *mesh.Mesh { return m }
			}
			ref := meshHop(t, objects)
			for _, name := range []string{ref.Name, ""} { // by its name, and as one of a collection
				resp := post(t, o, ValidatePath, body(t, "v1", deletion(ref, name, tt.user))).Response
				if resp.Allowed != tt.allowed || !strings.Contains(resp.Result.Message, tt.message) {
					t.Errorf("as %q: allowed %v, want %v with %q:\n%s", name, resp.Allowed, tt.allowed, tt.message, resp.Result.Message)
				}
			}
		})
	}
}

func deletion(ref mesh.Ref, name, user string) *admissionv1.AdmissionRequest {
	group := "networking.istio.io"
	if ref.Kind == "NetworkPolicy" {
		group = "networking.k8s.io"
	}
	return request(`{}`, func(r *admissionv1.AdmissionRequest) {
		r.Kind = metav1.GroupVersionKind{Group: group, Version: "v1", Kind: ref.Kind}
		r.Resource = metav1.GroupVersionResource{Group: group, Version: "v1", Resource: strings.Replace(strings.ToLower(ref.Kind), "policy", "policie", 1) + "s"}
		r.Namespace, r.Name, r.Operation, r.UserInfo.Username = ref.Namespace, name, admissionv1.Delete, user
		r.Object = runtime.RawExtension{}
		r.OldObject.Raw = fmt.Appendf(nil, `{"apiVersion":"%s/v1","kind":%q,"metadata":{"namespace":%q,"name":%q},"spec":{}}`, group, ref.Kind, ref.Namespace, ref.Name)
	})
}

// TestCollectorLetsGo: the garbage collector removes its own finalizer from a
// companion that it has deleted in the foreground, and touches no other.
func TestCollectorLetsGo(t *testing.T) {
	objects := served(t, func(*mesh.ServiceEntry) {})
	ref := meshHop(t, objects)
	m := mesh.New(mesh.DefaultSettings(), objects...)
	m = m.With(mesh.Terminating(m.Get(ref), ""))
	const held, free = `,"deletionTimestamp":"2026-11-01T00:00:00Z","finalizers":["foregroundDeletion"]`, `,"deletionTimestamp":"2026-11-01T00:00:00Z"`
	for _, tt := range []struct {
		name, user, old, object string
		gone, allowed           bool
	}{
		{name: "once the entry is gone", user: collector, old: held, object: free, gone: true, allowed: true},
		{name: "before the entry is", user: collector, old: held, object: free},
		{name: "what is not being deleted", user: collector, object: `,"labels":{"a":"b"}`, gone: true},
		{name: "anybody", user: "alice", old: held, object: free, gone: true},
	} {
		o := options(t)
		o.Mesh = func() *mesh.Mesh { return m }
		if tt.gone {
			o.Mesh = func() *mesh.Mesh { return m.Without(mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "api"}) }
		}
		r := deletion(ref, ref.Name, tt.user)
		raw := string(r.OldObject.Raw)
		name := fmt.Sprintf(`"name":%q`, ref.Name)
		r.Operation, r.OldObject.Raw, r.Object.Raw = admissionv1.Update, []byte(strings.Replace(raw, name, name+tt.old, 1)), []byte(strings.Replace(raw, name, name+tt.object, 1))
		if resp := post(t, o, ValidatePath, body(t, "v1", r)).Response; resp.Allowed != tt.allowed {
			t.Errorf("%s: allowed %v, want %v: %s", tt.name, resp.Allowed, tt.allowed, resp.Result.Message)
		}
	}
}

// TestCollectionOfWalls deletes a wall as one of a collection: the API server's
// review then has no name but that of the object.
func TestCollectionOfWalls(t *testing.T) {
	wall := mesh.Ref{Kind: "NetworkPolicy", Namespace: "shop", Name: netpol.EgressName}
	for _, name := range []string{wall.Name, ""} {
		if resp := post(t, options(t), ValidatePath, body(t, "v1", deletion(wall, name, "alice"))).Response; resp.Allowed {
			t.Errorf("a tenant deletes a wall, as %q", name)
		}
	}
}

// TestPropagation reads the options of a DELETE as the API server does.
func TestPropagation(t *testing.T) {
	entry := []byte(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"shop","name":"api","uid":"entry"},
		"spec":{"hosts":["api.example.com"],"exportTo":["."],"resolution":"DNS","ports":[{"number":80,"name":"http","protocol":"HTTP"}]}}`)
	route := []byte(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"namespace":"shop","name":"api","ownerReferences":[{"uid":"entry"}]},
		"spec":{"hosts":["api.example.com"],"http":[{"route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":80}}}]}]}}`)
	objects := []mesh.Object{&mesh.Namespace{Meta: mesh.Meta{
		Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}, Labels: map[string]string{mesh.InjectionLabel: "disabled"},
	}}}
	for _, raw := range [][]byte{entry, route} {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	for options, foreground := range map[string]bool{
		``: false, `{}`: false, `{"propagationPolicy":"Background"}`: false, `{"propagationPolicy":"Orphan"}`: false,
		`{"propagationPolicy":"Foreground"}`: true, `{"orphanDependents":true}`: false, `{"orphanDependents":false}`: false,
	} {
		o := optionsWith(t, rules.All, objects...)
		r := request(`{}`, func(r *admissionv1.AdmissionRequest) {
			r.Operation, r.Object, r.OldObject.Raw = admissionv1.Delete, runtime.RawExtension{}, entry
			if options != "" {
				r.Options.Raw = []byte(options)
			}
		})
		resp := post(t, o, ValidatePath, body(t, "v1", r)).Response
		if denied := !resp.Allowed && strings.Contains(resp.Result.Message, "--cascade=background"); denied != foreground {
			t.Errorf("options %s: denied %v, want %v: %s", options, denied, foreground, resp.Result.Message)
		}
	}
	bad := request(`{}`, func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.Object, r.OldObject.Raw = admissionv1.Delete, runtime.RawExtension{}, entry
		r.Options.Raw = []byte(`{"propagationPolicy":7}`)
	})
	if resp := post(t, optionsWith(t, rules.All, objects...), ValidatePath, body(t, "v1", bad)).Response; resp.Allowed {
		t.Error("options that cannot be read are taken for none")
	}
}

func optionsWith(t *testing.T, all []*rules.Rule, objects ...mesh.Object) Options {
	o := options(t, objects...)
	judge := &review.Judge{Rules: all}
	o.Judge = func() *review.Judge { return judge }
	return o
}
