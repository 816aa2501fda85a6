package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	kjson "sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// newClient returns a REST client that speaks JSON and decodes objects into
// items.
func newClient(cfg *rest.Config) (*rest.RESTClient, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.ContentConfig = rest.ContentConfig{
		AcceptContentTypes:   runtime.ContentTypeJSON,
		ContentType:          runtime.ContentTypeJSON,
		NegotiatedSerializer: negotiated{},
	}
	// A handful of long watches: the API server's own fairness is enough.
	cfg.QPS = -1
	return rest.UnversionedRESTClientFor(cfg)
}

// listWatch lists and watches a resource in all namespaces. failed is told of
// every request that the API server refused.
func (s *Store) listWatch(r resource, gv schema.GroupVersion, failed func(error)) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			result := s.get(r, gv, opts).Do(ctx)
			if err := result.Error(); err != nil {
				failed(err)
				return nil, err
			}
			body, err := result.Raw()
			if err != nil {
				return nil, err
			}
			return decodeList(body, gv.WithKind(r.apiKind))
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.Watch = true
			w, err := s.get(r, gv, opts).Watch(ctx)
			if err != nil {
				failed(err)
			}
			return w, err
		},
	}
}

// get is a request for the resource in all namespaces.
func (s *Store) get(r resource, gv schema.GroupVersion, opts metav1.ListOptions) *rest.Request {
	path := []string{"apis", gv.Group, gv.Version, r.name}
	if gv.Group == "" {
		path = []string{"api", gv.Version, r.name}
	}
	return s.client.Get().AbsPath(path...).SpecificallyVersionedParams(&opts, metav1.ParameterCodec, metav1.SchemeGroupVersion)
}

// item carries one decoded object through the reflector, which wants to know
// the metadata below and nothing else.
type item struct {
	object mesh.Object
	err    error // why there is no object

	namespace, name  string
	resourceVersion  string
	initialEventsEnd bool // the bookmark that ends the initial state
}

func (it *item) ref(kind string) mesh.Ref {
	return mesh.Ref{Kind: kind, Namespace: it.namespace, Name: it.name}
}

func (it *item) String() string { return it.namespace + "/" + it.name }

// GetObjectMeta implements [metav1.ObjectMetaAccessor].
func (it *item) GetObjectMeta() metav1.Object {
	m := &metav1.ObjectMeta{Namespace: it.namespace, Name: it.name, ResourceVersion: it.resourceVersion}
	if it.initialEventsEnd {
		m.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return m
}

// GetObjectKind implements [runtime.Object].
func (it *item) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements [runtime.Object]. Items are never changed.
func (it *item) DeepCopyObject() runtime.Object { return it }

// list is one page of items.
type list struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object
}

// DeepCopyObject implements [runtime.Object]. Lists are never changed.
func (l *list) DeepCopyObject() runtime.Object { return l }

// head is what an item needs of an object's JSON.
type head struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Namespace       string            `json:"namespace"`
		Name            string            `json:"name"`
		ResourceVersion string            `json:"resourceVersion"`
		Annotations     map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// decodeList decodes one page of a list of gvk.
func decodeList(body []byte, gvk schema.GroupVersionKind) (*list, error) {
	var page struct {
		Metadata metav1.ListMeta   `json:"metadata"`
		Items    []json.RawMessage `json:"items"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &page); err != nil {
		return nil, fmt.Errorf("list of %s: %w", gvk.Kind, err)
	}
	l := &list{ListMeta: page.Metadata, Items: make([]runtime.Object, len(page.Items))}
	for i, raw := range page.Items {
		it, err := decodeItem(raw, gvk)
		if err != nil {
			return nil, fmt.Errorf("item %d of the list of %s: %w", i, gvk.Kind, err)
		}
		l.Items[i] = it
	}
	return l, nil
}

// decodeItem decodes the JSON of one object. What the model cannot read is
// an item with an error, for one bad object must not stop a watch. gvk is for
// objects that do not name their own: the items of a list of a built-in kind.
func decodeItem(raw []byte, gvk schema.GroupVersionKind) (*item, error) {
	var h head
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &h); err != nil {
		return nil, err
	}
	it := &item{
		namespace:        h.Metadata.Namespace,
		name:             h.Metadata.Name,
		resourceVersion:  h.Metadata.ResourceVersion,
		initialEventsEnd: h.Metadata.Annotations[metav1.InitialEventsAnnotationKey] == "true",
	}
	if it.name == "" { // a bookmark
		it.err = errors.New("object has no name")
		return it, nil
	}
	it.object, it.err = mesh.Decode(typed(raw, h.Kind, gvk))
	return it, nil
}

// typed adds apiVersion and kind to an object's JSON that has no kind.
func typed(raw []byte, kind string, gvk schema.GroupVersionKind) []byte {
	if kind != "" {
		return raw
	}
	prefix := fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,`, gvk.GroupVersion(), gvk.Kind)
	return append(prefix, raw[1:]...)
}

// negotiated is a [runtime.NegotiatedSerializer] that knows JSON only and
// decodes objects into items.
type negotiated struct{}

func (negotiated) SupportedMediaTypes() []runtime.SerializerInfo {
	return []runtime.SerializerInfo{{
		MediaType:        runtime.ContentTypeJSON,
		MediaTypeType:    "application",
		MediaTypeSubType: "json",
		EncodesAsText:    true,
		Serializer:       codec{},
		StreamSerializer: &runtime.StreamSerializerInfo{
			EncodesAsText: true,
			Serializer:    codec{},
			Framer:        jsonserializer.Framer,
		},
	}}
}

func (negotiated) EncoderForVersion(e runtime.Encoder, _ runtime.GroupVersioner) runtime.Encoder {
	return e
}

func (negotiated) DecoderToVersion(d runtime.Decoder, _ runtime.GroupVersioner) runtime.Decoder {
	return d
}

// codec decodes a watch event, a Status or an object. The client sends no
// bodies, so it encodes nothing.
type codec struct{}

func (codec) Decode(data []byte, _ *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if event, ok := into.(*metav1.WatchEvent); ok {
		return event, nil, kjson.UnmarshalCaseSensitivePreserveInts(data, event)
	}
	var t metav1.TypeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &t); err != nil {
		return nil, nil, err
	}
	gvk := t.GroupVersionKind()
	if t.APIVersion == "v1" && t.Kind == "Status" {
		status := &metav1.Status{}
		return status, &gvk, kjson.UnmarshalCaseSensitivePreserveInts(data, status)
	}
	it, err := decodeItem(data, gvk)
	return it, &gvk, err
}

func (codec) Encode(runtime.Object, io.Writer) error {
	return errors.New("this client only reads")
}

func (codec) Identifier() runtime.Identifier { return "sallyport-live" }
