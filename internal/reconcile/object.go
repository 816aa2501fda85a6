package reconcile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	security "istio.io/client-go/pkg/apis/security/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// emptyOf returns an empty object of a companion's kind.
func emptyOf(kind string) client.Object {
	switch kind {
	case "ServiceEntry":
		return &networking.ServiceEntry{}
	case "Gateway":
		return &networking.Gateway{}
	case "DestinationRule":
		return &networking.DestinationRule{}
	case "VirtualService":
		return &networking.VirtualService{}
	case "AuthorizationPolicy":
		return &security.AuthorizationPolicy{}
	default:
		panic(kind + " is no kind of companion")
	}
}

func specOf(o client.Object) proto.Message {
	switch o := o.(type) {
	case *networking.ServiceEntry:
		return &o.Spec
	case *networking.Gateway:
		return &o.Spec
	case *networking.DestinationRule:
		return &o.Spec
	case *networking.VirtualService:
		return &o.Spec
	case *security.AuthorizationPolicy:
		return &o.Spec
	default:
		panic(fmt.Sprintf("%T is no kind of companion", o))
	}
}

// ours reports whether Sallyport has written the object: labels anybody can
// set, and a drift may have taken them off.
func ours(o client.Object) bool {
	return slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == FieldManager })
}

// explicit returns the object in the form in which it is written: one that
// says what Istio's types leave out ([companion.Fields]), with sorted names, as
// an API server sends it and [mesh.Fingerprint] takes it.
func explicit(o client.Object) ([]byte, error) {
	fields, err := companion.Fields(o)
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// asWanted reports whether the object in the cluster is what is wanted. Labels
// and annotations beyond ours are other people's business; the spec, the owners
// and the label that hides an object from Istio are not.
func asWanted(have, want client.Object) bool {
	return proto.Equal(specOf(have), specOf(want)) &&
		holds(have.GetLabels(), want.GetLabels()) &&
		have.GetLabels()[mesh.RevisionLabel] == want.GetLabels()[mesh.RevisionLabel] &&
		holds(have.GetAnnotations(), want.GetAnnotations()) &&
		slices.EqualFunc(have.GetOwnerReferences(), want.GetOwnerReferences(), func(a, b metav1.OwnerReference) bool {
			return a.UID == b.UID && a.Kind == b.Kind && a.Name == b.Name && a.APIVersion == b.APIVersion
		})
}

func holds(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// repaired returns have with everything that is ours as wanted, at have's
// resourceVersion: should it have changed meanwhile, the write fails.
func repaired(have, want client.Object) client.Object {
	out := want.DeepCopyObject().(client.Object)
	out.SetResourceVersion(have.GetResourceVersion())
	out.SetUID(have.GetUID())
	out.SetFinalizers(have.GetFinalizers())
	labels := maps.Clone(have.GetLabels())
	delete(labels, mesh.RevisionLabel)
	out.SetLabels(merged(labels, want.GetLabels()))
	out.SetAnnotations(merged(have.GetAnnotations(), want.GetAnnotations()))
	return out
}

func merged(have, want map[string]string) map[string]string {
	out := maps.Clone(have)
	if out == nil {
		out = make(map[string]string, len(want))
	}
	maps.Copy(out, want)
	return out
}
