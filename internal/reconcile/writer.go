package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// writer sends objects in the form in which they were rendered, and returns
// the API server's answers as they came. A client that knows the types would
// take each apart and put it together again, twice for every write, while all
// that is looked at is the fingerprint, the version and the time.
type writer struct {
	client rest.Interface
	mapper meta.RESTMapper
}

func newWriter(cfg *rest.Config, httpClient *http.Client, scheme *runtime.Scheme, mapper meta.RESTMapper) (writer, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.ContentConfig = rest.ContentConfig{
		AcceptContentTypes: runtime.ContentTypeJSON,
		ContentType:        runtime.ContentTypeJSON,
		// Of what is decoded here there are the API server's refusals only.
		NegotiatedSerializer: serializer.WithoutConversionCodecFactory{CodecFactory: serializer.NewCodecFactory(scheme)},
	}
	client, err := rest.UnversionedRESTClientForConfigAndClient(cfg, httpClient)
	return writer{client, mapper}, err
}

// create fails where anybody's object has the name.
func (w writer) create(ctx context.Context, gvk schema.GroupVersionKind, namespace string, body []byte) (*answer, error) {
	request := w.client.Post().SetHeader("Content-Type", runtime.ContentTypeJSON)
	return w.send(ctx, request, gvk, namespace, "", body)
}

// update replaces the object at the resourceVersion that the body says.
func (w writer) update(ctx context.Context, gvk schema.GroupVersionKind, ref mesh.Ref, body []byte) (*answer, error) {
	request := w.client.Put().SetHeader("Content-Type", runtime.ContentTypeJSON)
	return w.send(ctx, request, gvk, ref.Namespace, ref.Name, body)
}

// merge merges the body into an object.
func (w writer) merge(ctx context.Context, gvk schema.GroupVersionKind, ref mesh.Ref, body []byte) (*answer, error) {
	return w.send(ctx, w.client.Patch(types.MergePatchType), gvk, ref.Namespace, ref.Name, body)
}

func (w writer) send(ctx context.Context, request *rest.Request, gvk schema.GroupVersionKind, namespace, name string, body []byte) (*answer, error) {
	mapping, err := w.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	path := []string{"apis", gvk.Group, gvk.Version, "namespaces", namespace, mapping.Resource.Resource}
	if name != "" {
		path = append(path, name)
	}
	// What is written is made from Istio's types, and compared with what the
	// API server makes of it: it need not look for mistakes as well.
	result := request.AbsPath(path...).
		Param("fieldManager", FieldManager).
		Param("fieldValidation", metav1.FieldValidationIgnore).
		Body(body).
		Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	raw, err := result.Raw()
	if err != nil {
		return nil, err
	}
	return readAnswer(raw)
}

// answer is what the API server made of a write.
type answer struct {
	print   uint64 // the [mesh.Meta.Fingerprint] of the object
	version string
	created time.Time
}

func readAnswer(raw []byte) (*answer, error) {
	var o struct {
		Metadata struct {
			ResourceVersion   string    `json:"resourceVersion"`
			CreationTimestamp time.Time `json:"creationTimestamp"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, fmt.Errorf("the API server's answer to a write: %w", err)
	}
	print, err := mesh.Fingerprint(raw)
	if err != nil {
		return nil, fmt.Errorf("the API server's answer to a write: %w", err)
	}
	return &answer{print: print, version: o.Metadata.ResourceVersion, created: o.Metadata.CreationTimestamp}, nil
}
