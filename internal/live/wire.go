package live

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	kjson "sigs.k8s.io/json"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// wire is the connection that all kinds share.
type wire struct {
	config *rest.Config
	client *http.Client
}

func newWire(cfg *rest.Config) (wire, error) {
	cfg = rest.CopyConfig(cfg)
	// A handful of long watches: the API server's own fairness is enough.
	cfg.QPS = -1
	// The first read is large, near, and awaited: to compress it takes longer
	// than to send it.
	cfg.DisableCompression = true
	client, err := rest.HTTPClientFor(cfg)
	return wire{cfg, client}, err
}

// reader reads one kind, as one version of the API serves it.
type reader struct {
	client *rest.RESTClient
	path   []string
	gvk    schema.GroupVersionKind
	of     resource

	mu   sync.Mutex // a watch that has just been ended may still decode
	pool mesh.Pool
}

// reader reads a resource in all namespaces, or in the one that is given.
func (w wire) reader(r resource, gv schema.GroupVersion, namespace string) (*reader, error) {
	out := &reader{path: []string{"apis", gv.Group, gv.Version}, gvk: gv.WithKind(r.API), of: r}
	if gv.Group == "" {
		out.path = []string{"api", gv.Version}
	}
	if namespace != "" {
		out.path = append(out.path, "namespaces", namespace)
	}
	out.path = append(out.path, r.Resource)
	cfg := rest.CopyConfig(w.config)
	cfg.ContentConfig = rest.ContentConfig{
		AcceptContentTypes:   runtime.ContentTypeJSON,
		ContentType:          runtime.ContentTypeJSON,
		NegotiatedSerializer: negotiated{out},
	}
	var err error
	out.client, err = rest.UnversionedRESTClientForConfigAndClient(cfg, w.client)
	return out, err
}

// follow is a request for as much of the resource as the mesh keeps: where that is
// metadata, it is asked for as the kind that is named. An API server that does not
// know it sends more.
func (r *reader) follow(opts metav1.ListOptions, partial string) *rest.Request {
	request := r.get(opts)
	if r.of.metadata {
		request.SetHeader("Accept", fmt.Sprintf("application/json;as=%s;g=%s;v=v1,application/json", partial, metav1.GroupName))
	}
	return request
}

// get is a request for the resource.
func (r *reader) get(opts metav1.ListOptions) *rest.Request {
	opts.LabelSelector = r.of.selector
	return r.client.Get().AbsPath(r.path...).SpecificallyVersionedParams(&opts, metav1.ParameterCodec, metav1.SchemeGroupVersion)
}

// watched is told how the requests for a resource fare.
type watched struct {
	began  func()      // a watch is open
	ended  func()      // that watch is no longer
	failed func(error) // the API server refused a request, or was not reached
}

// listWatch lists and watches the resource.
func (r *reader) listWatch(tell watched) cache.ListerWatcher {
	return listFirst{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			l, err := r.list(ctx, opts)
			if err != nil {
				tell.failed(err)
				return nil, err
			}
			return l, nil
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.Watch = true
			w, err := r.follow(opts, "PartialObjectMetadata").Watch(ctx)
			if err != nil {
				tell.failed(err)
				return nil, err
			}
			tell.began()
			return &followed{Interface: w, ended: tell.ended}, nil
		},
	}}
}

// listFirst has the reflector read by a list before it watches, and not by a
// watch that begins with what there is: to send each object as an event of its
// own costs an API server half as much again.
type listFirst struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is asked by [cache.NewReflectorWithOptions].
func (listFirst) IsWatchListSemanticsUnSupported() bool { return true }

// list reads the whole resource in one answer, and never an old one: the
// reflector's first list would take what an API server happens to remember
// (resourceVersion "0"). Since Kubernetes 1.31 its memory answers this as well,
// once it has caught up with etcd.
func (r *reader) list(ctx context.Context, opts metav1.ListOptions) (*list, error) {
	opts.Limit = 0
	if opts.ResourceVersion == "0" {
		opts.ResourceVersion = ""
	}
	body, err := r.follow(opts, "PartialObjectMetadataList").Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end, or given up
	return r.decodeList(body)
}

// item carries one decoded object through the reflector, which wants to know
// the metadata below and nothing else.
type item struct {
	object mesh.Object
	other  *other // in its place, where there is no object
}

// other is a bookmark, or what could not be decoded.
type other struct {
	head
	err error
}

// head is what the reflector needs of an object's metadata.
type head struct {
	Namespace       string            `json:"namespace"`
	Name            string            `json:"name"`
	ResourceVersion string            `json:"resourceVersion"`
	Annotations     map[string]string `json:"annotations"`
}

func (it *item) head() head {
	if it.object == nil {
		return it.other.head
	}
	m := it.object.Metadata()
	return head{Namespace: m.Namespace, Name: m.Name, ResourceVersion: m.ResourceVersion}
}

func (it *item) ref(kind string) mesh.Ref {
	h := it.head()
	return mesh.Ref{Kind: kind, Namespace: h.Namespace, Name: h.Name}
}

func (it *item) String() string {
	h := it.head()
	return h.Namespace + "/" + h.Name
}

// GetObjectMeta implements [metav1.ObjectMetaAccessor].
func (it *item) GetObjectMeta() metav1.Object {
	h := it.head()
	return &metav1.ObjectMeta{Namespace: h.Namespace, Name: h.Name, ResourceVersion: h.ResourceVersion, Annotations: h.Annotations}
}

// GetObjectKind implements [runtime.Object].
func (it *item) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements [runtime.Object]. Items are never changed.
func (it *item) DeepCopyObject() runtime.Object { return it }

// list is what a list request answers.
type list struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object
}

// DeepCopyObject implements [runtime.Object]. Lists are never changed.
func (l *list) DeepCopyObject() runtime.Object { return l }

// decodeList decodes a list while it arrives.
func (r *reader) decodeList(body io.Reader) (*list, error) {
	l := &list{}
	err := rawjson.List(body, "items", func(name, value []byte) error {
		if string(name) == "metadata" {
			return kjson.UnmarshalCaseSensitivePreserveInts(value, &l.ListMeta)
		}
		return nil
	}, func(raw []byte) error {
		it, err := r.decode(raw)
		if err != nil {
			return fmt.Errorf("item %d: %w", len(l.Items), err)
		}
		l.Items = append(l.Items, it)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list of %s: %w", r.gvk.Kind, err)
	}
	return l, nil
}

// decode decodes the JSON of one object. What the model cannot read is an item
// with an error, for one bad object must not stop a watch.
func (r *reader) decode(raw []byte) (*item, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, err := r.pool.Decode(r.gvk.GroupVersion().String(), r.gvk.Kind, raw)
	switch {
	case err != nil:
	case o.Metadata().Name == "": // a bookmark
		err = errors.New("object has no name")
	case r.of.wanted != nil && !r.of.wanted(o):
		err = mesh.ErrUnknownKind
	default:
		return &item{object: o}, nil
	}
	var w struct {
		Metadata head `json:"metadata"`
	}
	if malformed := kjson.UnmarshalCaseSensitivePreserveInts(raw, &w); malformed != nil {
		return nil, malformed
	}
	return &item{other: &other{head: w.Metadata, err: err}}, nil
}

// negotiated is a [runtime.NegotiatedSerializer] that knows JSON only and
// decodes objects into items.
type negotiated struct{ *reader }

func (n negotiated) SupportedMediaTypes() []runtime.SerializerInfo {
	return []runtime.SerializerInfo{{
		MediaType:        runtime.ContentTypeJSON,
		MediaTypeType:    "application",
		MediaTypeSubType: "json",
		EncodesAsText:    true,
		Serializer:       codec(n),
		StreamSerializer: &runtime.StreamSerializerInfo{
			EncodesAsText: true,
			Serializer:    codec(n),
			Framer:        lineFramer{},
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
type codec struct{ *reader }

func (c codec) Decode(data []byte, _ *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if event, ok := into.(*metav1.WatchEvent); ok {
		return event, nil, decodeEvent(data, event)
	}
	if isStatus(data) {
		status := &metav1.Status{}
		gvk := metav1.SchemeGroupVersion.WithKind("Status")
		return status, &gvk, kjson.UnmarshalCaseSensitivePreserveInts(data, status)
	}
	it, err := c.decode(data)
	return it, &c.gvk, err
}

// decodeEvent leaves the event's object where it is: it is decoded before the
// next event is read.
func decodeEvent(data []byte, event *metav1.WatchEvent) error {
	return rawjson.Members(data, func(name, value []byte) error {
		switch string(name) {
		case "type":
			return kjson.UnmarshalCaseSensitivePreserveInts(value, &event.Type)
		case "object":
			event.Object.Raw = value
		}
		return nil
	})
}

// isStatus tells the API server's refusals from objects. API servers write the
// kind first, or after the version.
func isStatus(data []byte) bool {
	status, stop := false, errors.New("stop")
	_ = rawjson.Members(data, func(name, value []byte) error {
		if string(name) == "kind" {
			status = string(value) == `"Status"`
			return stop
		}
		return nil
	})
	return status
}

func (codec) Encode(runtime.Object, io.Writer) error {
	return errors.New("this client only reads")
}

func (codec) Identifier() runtime.Identifier { return "sallyport-live" }

// lineFramer makes each line of a watch a frame. An API server ends each event
// with a line feed (watchEncoder in k8s.io/apiserver), and JSON has none inside
// of strings: nothing has to be parsed to find where an event ends.
type lineFramer struct{}

func (lineFramer) NewFrameReader(r io.ReadCloser) io.ReadCloser {
	return &lines{buffer: bufio.NewReaderSize(r, frameBuffer), Closer: r}
}

func (lineFramer) NewFrameWriter(w io.Writer) io.Writer { return w }

// frameBuffer is room for most events, in bytes. Every watch holds one for as
// long as it lasts.
const frameBuffer = 8 << 10

// lines is the frame reader of [lineFramer].
type lines struct {
	io.Closer
	buffer *bufio.Reader
	rest   []byte // of the line that is being read
}

// Read reads one line, or as much of it as p takes, and then returns
// [io.ErrShortBuffer].
func (l *lines) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		line, err := l.buffer.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			start := append([]byte(nil), line...)
			line, err = l.buffer.ReadBytes('\n')
			line = append(start, line...)
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		l.rest = line
	}
	n := copy(p, l.rest)
	if l.rest = l.rest[n:]; len(l.rest) > 0 {
		return n, io.ErrShortBuffer
	}
	return n, nil
}
