package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// resource is one kind of the model, and where an API server serves it.
type resource struct {
	apikind.Kind
	istiod   bool                   // read in the namespace of istiod alone
	selector string                 // of labels; empty for all
	metadata bool                   // nothing is read but the metadata
	wanted   func(mesh.Object) bool // nil for all
}

// resources are all that the model reads. Of Pods those of istiod are among them,
// for their version, and no others: what lets a pod leave the mesh is judged when
// the pod's template is written, and no path depends on it. A definition is read
// for the release that its annotation names.
var resources = []resource{
	{Kind: apikind.Named("Namespace")},
	{Kind: apikind.Named("Service")},
	{Kind: apikind.Named(mesh.IstioConfigKind), istiod: true},
	{Kind: apikind.Named("EndpointSlice")},
	{Kind: apikind.Named("Node")},
	{Kind: apikind.Named("ServiceCIDR")},
	{Kind: apikind.Named("NetworkPolicy")},
	{Kind: apikind.Named("Pod"), istiod: true, selector: mesh.IstiodSelector},
	{Kind: apikind.Named("CustomResourceDefinition"), metadata: true, wanted: versioned},

	{Kind: apikind.Named("ServiceEntry")},
	{Kind: apikind.Named("VirtualService")},
	{Kind: apikind.Named("Gateway")},
	{Kind: apikind.Named("DestinationRule")},
	{Kind: apikind.Named("Sidecar")},
	{Kind: apikind.Named("WorkloadEntry")},
	{Kind: apikind.Named("EnvoyFilter")},

	{Kind: apikind.Named("AuthorizationPolicy")},

	{Kind: apikind.Named("K8sGateway")},
	{Kind: apikind.Named("HTTPRoute")},
	{Kind: apikind.Named("GRPCRoute")},
	{Kind: apikind.Named("TLSRoute")},
	{Kind: apikind.Named("TCPRoute")},
	{Kind: apikind.Named("BackendTLSPolicy")},
	{Kind: apikind.Named("XBackend")},
}

// versioned reports whether istiod asks of which release a definition is.
func versioned(o mesh.Object) bool {
	d, ok := o.(*mesh.Definition)
	return ok && d.Versioned()
}

// follow keeps one kind in step until the context ends: it looks for the
// kind, reads and watches it while it is served, and starts over when its
// CustomResourceDefinition goes away.
func (s *Store) follow(ctx context.Context, r resource) {
	for ctx.Err() == nil {
		gv, served, err := s.find(r)
		switch {
		case err != nil:
			s.settle(r.Name, state{why: err.Error()})
			s.log.Error(err, "looking for a kind", "kind", r.Name)
			s.pause(ctx, time.Second)
		case !served:
			s.replace(r.Name, nil) // the kind may have been there before
			s.settle(r.Name, state{done: true, followed: true})
			s.pause(ctx, s.retry)
		default:
			if err := s.reflect(ctx, r, gv); err != nil {
				s.settle(r.Name, state{why: err.Error()})
				s.log.Error(err, "reading a kind", "kind", r.Name)
				s.pause(ctx, s.retry)
			}
		}
	}
}

// find asks the API server for the first version in which it serves the
// resource.
func (s *Store) find(r resource) (gv schema.GroupVersion, served bool, err error) {
	for _, v := range r.Versions {
		gv := schema.GroupVersion{Group: r.Group, Version: v}
		list, err := s.discovery.ServerResourcesForGroupVersion(gv.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return gv, false, fmt.Errorf("asking the API server for %s: %w", gv, err)
		}
		for _, served := range list.APIResources {
			if served.Name == r.Resource {
				return gv, true, nil
			}
		}
	}
	return schema.GroupVersion{}, false, nil
}

// reflect runs a reflector until the context ends or the API server no longer
// serves the resource.
func (s *Store) reflect(ctx context.Context, r resource, gv schema.GroupVersion) error {
	reader, err := s.reader(r, gv)
	if err != nil {
		return fmt.Errorf("client for reading %s: %w", r.Resource, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.settle(r.Name, state{why: "not read yet"})
	lw := reader.listWatch(watched{
		began: func() { s.settle(r.Name, state{followed: true}) },
		ended: func() { s.settle(r.Name, state{why: "its watch has ended"}) },
		failed: func(err error) {
			if apierrors.IsNotFound(err) {
				cancel()
				return
			}
			s.settle(r.Name, state{why: err.Error()})
		},
	})
	reflector := cache.NewReflectorWithOptions(lw, nil, &feed{store: s, kind: r.Name}, cache.ReflectorOptions{
		Name:            "live",
		TypeDescription: r.Name,
		Logger:          &s.log,
		Backoff:         s.backoff,
	})
	reflector.RunWithContext(ctx)
	return nil
}

// pause waits, or less where the context ends.
func (s *Store) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// feed is the [cache.ReflectorStore] of one kind: it passes everything on and
// keeps nothing.
type feed struct {
	store *Store
	kind  string
}

func (f *feed) Add(o any) error { return f.Update(o) }

func (f *feed) Update(o any) error {
	it := o.(*item)
	if it.object == nil {
		// What stood there before is not what stands there now.
		f.skip(it)
		f.store.remove(it.ref(f.kind))
		return nil
	}
	f.store.upsert(it.object)
	return nil
}

func (f *feed) Delete(o any) error {
	f.store.remove(o.(*item).ref(f.kind))
	return nil
}

func (f *feed) Replace(items []any, _ string) error {
	objects := make([]mesh.Object, 0, len(items))
	for _, o := range items {
		it := o.(*item)
		if it.object == nil {
			f.skip(it)
			continue
		}
		objects = append(objects, it.object)
	}
	f.store.replace(f.kind, objects)
	f.store.settle(f.kind, state{done: true, why: "not watched yet", lost: time.Now()})
	return nil
}

// skip counts what could not be decoded. A ConfigMap that is not one of Istio's
// configuration is nobody's loss, nor is what is not wanted.
func (f *feed) skip(it *item) {
	if !errors.Is(it.other.err, mesh.ErrUnknownKind) {
		f.store.skip(it.String(), it.other.err)
	}
}

func (f *feed) Resync() error { return nil }
