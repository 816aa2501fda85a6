// Package gather asks an API server for the facts that package doctor
// examines. It reads, and makes dry runs; it never changes anything.
package gather

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/doctor"
)

// page is how many objects are asked for at once, as kubectl does.
const page = "500"

// Client asks one API server.
type Client struct{ rest rest.Interface }

// New returns a client for a cluster, having made sure that it answers.
func New(ctx context.Context, cfg *rest.Config) (*Client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // one request after the other: the API server's own fairness is enough
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{d.RESTClient()}
	// Whoever may not ask for the version is answered all the same.
	err = c.rest.Get().AbsPath("/version").Do(ctx).Error()
	switch {
	case apierrors.IsUnauthorized(err):
		return nil, fmt.Errorf("the API server at %s does not know the user: %w", cfg.Host, err)
	case err != nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
		return nil, fmt.Errorf("the API server at %s does not answer: %w", cfg.Host, err)
	}
	return c, nil
}

// Fill asks for everything that the checks want to know. What is not answered
// is taken down in the facts, with the reason; an error is that of a context
// that has ended.
func (c *Client) Fill(ctx context.Context, f *doctor.Facts) error {
	for _, q := range f.Queries() {
		c.query(ctx, f, q)
	}
	for _, q := range f.SecretQueries() {
		c.query(ctx, f, q)
	}
	return ctx.Err()
}

// query asks in the first version in which the kind is served.
func (c *Client) query(ctx context.Context, f *doctor.Facts, q doctor.Query) {
	for i, path := range q.Paths() {
		err := c.read(ctx, path, func(raw []byte) error {
			raw, err := typed(raw, q, i)
			if err != nil {
				return err
			}
			_ = f.Add(raw) // what cannot be decoded is taken down in the facts
			return nil
		})
		switch {
		case err == nil:
			return
		case !apierrors.IsNotFound(err):
			f.Miss(q, err.Error())
			return
		}
	}
	if q.Name == "" && q.BuiltIn() {
		f.Miss(q, "the API server does not serve it")
	}
}

// read reads the object at a path, or every object of the list at it.
func (c *Client) read(ctx context.Context, path string, add func([]byte) error) error {
	for next := ""; ; {
		r := c.rest.Get().AbsPath(path).Param("limit", page)
		if next != "" {
			r = r.Param("continue", next)
		}
		body, err := answer(r.Do(ctx))
		if err != nil {
			return err
		}
		var list struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items *[]json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return fmt.Errorf("the answer to GET %s is not JSON: %w", path, err)
		}
		if list.Items == nil {
			return add(body)
		}
		for _, raw := range *list.Items {
			if err := add(raw); err != nil {
				return fmt.Errorf("the answer to GET %s: %w", path, err)
			}
		}
		if next = list.Metadata.Continue; next == "" {
			return nil
		}
	}
}

// answer is what the API server says. Raw alone does not read the error's
// reason from the body.
func answer(r rest.Result) ([]byte, error) {
	if err := r.Error(); err != nil {
		return nil, err
	}
	return r.Raw()
}

// typed gives an object the apiVersion and kind that items of lists lack.
func typed(raw []byte, q doctor.Query, path int) ([]byte, error) {
	var head struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &head); err != nil || head.Kind != "" {
		return raw, err
	}
	rest, ok := strings.CutPrefix(string(raw), "{")
	if !ok {
		return nil, errors.New("an item is not an object")
	}
	apiVersion, kind := q.Type(path)
	return fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,%s`, apiVersion, kind, rest), nil
}

// Probe makes the dry runs by which the server shows that it answers.
func (c *Client) Probe(ctx context.Context, f *doctor.Facts) error {
	for name, object := range doctor.ProbeObjects() {
		result := c.rest.Post().AbsPath(doctor.ProbePath).Param("dryRun", "All").Param("fieldManager", "sallyport-doctor").
			SetHeader("Content-Type", "application/json").Body(object).Do(ctx)
		var p doctor.Probe
		body, err := answer(result)
		if err != nil {
			p.Error = err.Error()
			// A webhook may deny with the same status.
			p.Forbidden = apierrors.IsForbidden(err) && !strings.Contains(p.Error, "admission webhook")
		} else {
			p.Object = body
		}
		f.Probes[name] = p
	}
	return ctx.Err()
}

// Configuration reads the configuration file of the server, as its pods mount
// it, and says where it is from.
func (c *Client) Configuration(ctx context.Context, namespace, account string) (source string, data []byte, err error) {
	body, err := answer(c.rest.Get().AbsPath("/api/v1/namespaces", namespace, "pods").
		Param("fieldSelector", "spec.serviceAccountName="+account).Do(ctx))
	if err != nil {
		return "", nil, err
	}
	var pods corev1.PodList
	if err := json.Unmarshal(body, &pods); err != nil {
		return "", nil, err
	}
	for i := range pods.Items {
		name, key, ok := doctor.ConfigurationOf(&pods.Items[i])
		if !ok {
			continue
		}
		body, err := answer(c.rest.Get().AbsPath("/api/v1/namespaces", namespace, "configmaps", name).Do(ctx))
		if err != nil {
			return "", nil, err
		}
		var cm corev1.ConfigMap
		if err := json.Unmarshal(body, &cm); err != nil {
			return "", nil, err
		}
		if text, ok := cm.Data[key]; ok {
			return fmt.Sprintf("ConfigMap %s/%s, %s", namespace, name, key), []byte(text), nil
		}
		return "", nil, fmt.Errorf("ConfigMap %s/%s has no %s", namespace, name, key)
	}
	return "", nil, fmt.Errorf("no pod of namespace %s runs as %s with a configuration", namespace, account)
}
