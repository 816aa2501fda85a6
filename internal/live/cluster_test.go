package live

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// cluster is an API server that knows discovery, list and watch, with as much
// of their manners as a reflector relies on.
type cluster struct {
	t *testing.T

	mu       sync.Mutex
	version  int
	served   map[string]string            // "apis/g/v/resource" -> kind
	objects  map[string]map[string]object // path -> namespace/name -> object
	past     map[string][]change          // path -> what happened, oldest first
	watchers map[string][]chan string
	refuse   map[string]*metav1.Status
}

type object map[string]any

type change struct {
	version int
	event   string
}

func newCluster(t *testing.T, served map[string]string) *cluster {
	return &cluster{
		t:        t,
		served:   served,
		objects:  make(map[string]map[string]object),
		past:     make(map[string][]change),
		watchers: make(map[string][]chan string),
		refuse:   make(map[string]*metav1.Status),
	}
}

// start serves the cluster until the test ends.
func (c *cluster) start() *rest.Config {
	srv := httptest.NewServer(c)
	c.t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return &rest.Config{Host: srv.URL}
}

func (c *cluster) put(path, namespace, name string, spec any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	typ := "ADDED"
	if c.objects[path] == nil {
		c.objects[path] = make(map[string]object)
	}
	if _, ok := c.objects[path][namespace+"/"+name]; ok {
		typ = "MODIFIED"
	}
	o := object{
		"apiVersion": apiVersion(path),
		"kind":       c.served[path],
		"metadata": map[string]any{
			"namespace": namespace, "name": name,
			"resourceVersion":   fmt.Sprint(c.version),
			"creationTimestamp": "2026-01-02T03:04:05Z",
		},
		"spec": spec,
	}
	c.objects[path][namespace+"/"+name] = o
	c.send(path, typ, o)
}

func (c *cluster) remove(path, namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	o := c.objects[path][namespace+"/"+name]
	delete(c.objects[path], namespace+"/"+name)
	c.send(path, "DELETED", o)
}

// serve makes the cluster serve a resource, stop ends it, as an
// apiextensions API server does when a CustomResourceDefinition comes or goes.
func (c *cluster) serve(path, kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served[path] = kind
}

func (c *cluster) stop(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.served, path)
	delete(c.objects, path)
	delete(c.past, path)
	c.endWatches(path)
}

// hangUp ends the watches of a resource, as an API server does every few
// minutes.
func (c *cluster) hangUp(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endWatches(path)
}

// endWatches is called with mu held.
func (c *cluster) endWatches(path string) {
	for _, w := range c.watchers[path] {
		close(w)
	}
	delete(c.watchers, path)
}

// forbid has every request for the path refused; allow ends it.
func (c *cluster) forbid(path, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse[path] = &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   "Failure", Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message,
	}
}

func (c *cluster) allow(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.refuse, path)
}

// send is called with mu held.
func (c *cluster) send(path, typ string, o object) {
	e := event(typ, o)
	c.past[path] = append(c.past[path], change{c.version, e})
	for _, w := range c.watchers[path] {
		w <- e
	}
}

func event(typ string, o any) string {
	b, err := json.Marshal(map[string]any{"type": typ, "object": o})
	if err != nil {
		panic(err)
	}
	return string(b) + "\n"
}

// apiVersion turns "apis/g/v/resource" into "g/v".
func apiVersion(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[1:len(parts)-1], "/")
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	path := strings.Trim(r.URL.Path, "/")
	c.mu.Lock()
	if status := c.refuse[path]; status != nil {
		c.mu.Unlock()
		reply(w, int(status.Code), status)
		return
	}
	kind, ok := c.served[path]
	switch {
	case !ok:
		defer c.mu.Unlock()
		c.discovery(w, path)
	case r.URL.Query().Get("watch") == "true":
		c.watch(w, r, path)
	default:
		defer c.mu.Unlock()
		if r.URL.Query().Get("resourceVersion") == "0" {
			c.t.Errorf("%s is read as it may have been long ago", path)
		}
		items, more := page(c.objects[path], r.URL.Query())
		reply(w, http.StatusOK, map[string]any{
			"apiVersion": apiVersion(path), "kind": kind + "List",
			"metadata": map[string]any{"resourceVersion": fmt.Sprint(c.version), "continue": more},
			"items":    untyped(path, items),
		})
	}
}

// page returns the objects that a list's limit and continue ask for, and where
// the next page begins.
func page(objects map[string]object, query url.Values) (items []object, more string) {
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit == 0 {
		limit = len(objects)
	}
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if key < query.Get("continue") {
			continue
		}
		if len(items) == limit {
			return items, key
		}
		items = append(items, objects[key])
	}
	return items, ""
}

// untyped takes apiVersion and kind from the items of built-in kinds, as the
// API server does.
func untyped(path string, items []object) []object {
	out := make([]object, len(items))
	for i, o := range items {
		out[i] = maps.Clone(o)
		if !strings.Contains(path, "istio.io") {
			delete(out[i], "apiVersion")
			delete(out[i], "kind")
		}
	}
	return out
}

// discovery is called with mu held.
func (c *cluster) discovery(w http.ResponseWriter, path string) {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}}
	for served, kind := range c.served {
		if name, ok := strings.CutPrefix(served, path+"/"); ok {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: name, Kind: kind})
		}
	}
	if len(list.APIResources) == 0 {
		reply(w, http.StatusNotFound, metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
			Status:   "Failure", Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
			Message: "the server could not find the requested resource",
		})
		return
	}
	reply(w, http.StatusOK, list)
}

// watch is called with mu held and releases it.
func (c *cluster) watch(w http.ResponseWriter, r *http.Request, path string) {
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		c.t.Errorf("%s is read by a watch, which costs the API server more than a list", path)
	}
	events := make(chan string, 1000)
	if since, err := strconv.Atoi(r.URL.Query().Get("resourceVersion")); err == nil {
		for _, p := range c.past[path] { // between the list and the watch
			if p.version > since {
				events <- p.event
			}
		}
	}
	c.watchers[path] = append(c.watchers[path], events)
	c.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			if _, err := w.Write([]byte(e)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func reply(w http.ResponseWriter, code int, body any) {
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}
