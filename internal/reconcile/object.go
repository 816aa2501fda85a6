package reconcile

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	api "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// keyField is the index of companions by the key of their host.
const keyField = "sallyport.key"

// kinds are empty objects of the kinds of companions.
func kinds() []client.Object {
	return []client.Object{
		&networking.ServiceEntry{}, &networking.Gateway{}, &networking.DestinationRule{}, &networking.VirtualService{},
	}
}

func kindOf(o client.Object) string {
	switch o.(type) {
	case *networking.ServiceEntry:
		return "ServiceEntry"
	case *networking.Gateway:
		return "Gateway"
	case *networking.DestinationRule:
		return "DestinationRule"
	case *networking.VirtualService:
		return "VirtualService"
	default:
		panic(fmt.Sprintf("%T is no kind of companion", o))
	}
}

func refOf(kind string, o client.Object) mesh.Ref {
	return mesh.Ref{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// emptyOf returns an empty object of a companion's kind.
func emptyOf(kind string) client.Object {
	for _, o := range kinds() {
		if kindOf(o) == kind {
			return o
		}
	}
	panic(kind + " is no kind of companion")
}

func listOf(o client.Object) client.ObjectList {
	switch o.(type) {
	case *networking.ServiceEntry:
		return &networking.ServiceEntryList{}
	case *networking.Gateway:
		return &networking.GatewayList{}
	case *networking.DestinationRule:
		return &networking.DestinationRuleList{}
	case *networking.VirtualService:
		return &networking.VirtualServiceList{}
	default:
		panic(fmt.Sprintf("%T is no kind of companion", o))
	}
}

func items(list client.ObjectList) iter.Seq[client.Object] {
	return func(yield func(client.Object) bool) {
		switch list := list.(type) {
		case *networking.ServiceEntryList:
			each(list.Items, yield)
		case *networking.GatewayList:
			each(list.Items, yield)
		case *networking.DestinationRuleList:
			each(list.Items, yield)
		case *networking.VirtualServiceList:
			each(list.Items, yield)
		}
	}
}

func each[T client.Object](items []T, yield func(client.Object) bool) {
	for _, o := range items {
		if !yield(o) {
			return
		}
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
	default:
		panic(fmt.Sprintf("%T is no kind of companion", o))
	}
}

// ours reports whether Sallyport has written the object: labels anybody can
// set, and a drift may have taken them off.
func ours(o client.Object) bool {
	return slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == FieldManager })
}

// keepManagers drops of managedFields all but the managers' names.
func keepManagers(o any) (any, error) {
	if o, ok := o.(client.Object); ok {
		fields := o.GetManagedFields()
		for i := range fields {
			fields[i] = metav1.ManagedFieldsEntry{Manager: fields[i].Manager}
		}
		o.SetManagedFields(fields)
	}
	return o, nil
}

// explicit returns the object in the form in which it is written: one that
// says what Istio's types leave out ([companion.Fields]).
func explicit(o client.Object) (client.Object, error) {
	gateway, ok := o.(*networking.Gateway)
	if !ok || !slices.ContainsFunc(gateway.Spec.Servers, func(s *api.Server) bool {
		return s.Tls != nil && s.Tls.Mode == api.ServerTLSSettings_PASSTHROUGH
	}) {
		return o, nil
	}
	fields, err := companion.Fields(gateway)
	if err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: fields}, nil
}

// asWanted reports whether the object in the cluster is what is wanted. Labels
// and annotations beyond ours are other people's business; the spec and the
// owners are not.
func asWanted(have, want client.Object) bool {
	return proto.Equal(specOf(have), specOf(want)) &&
		holds(have.GetLabels(), want.GetLabels()) &&
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
	out.SetLabels(merged(have.GetLabels(), want.GetLabels()))
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
