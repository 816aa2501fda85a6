// Package gather asks an API server for the facts that package doctor
// examines. It reads, and makes dry runs; it never changes anything.
package gather

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/cluster"
	"github.com/sallyport-io/sallyport/internal/doctor"
)

// Client asks one API server.
type Client struct{ *cluster.Client }

// New returns a client for a cluster, having made sure that it answers.
func New(ctx context.Context, cfg *rest.Config) (*Client, error) {
	c, err := cluster.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
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
		apiVersion, kind := q.Type(i)
		err := c.Each(ctx, path, apiVersion, kind, func(raw []byte) error {
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

// Probe makes the dry runs by which the server shows that it answers.
func (c *Client) Probe(ctx context.Context, f *doctor.Facts) error {
	for name, object := range doctor.ProbeObjects() {
		result := c.Post().AbsPath(doctor.ProbePath).Param("dryRun", "All").Param("fieldManager", "sallyport-doctor").
			SetHeader("Content-Type", "application/json").Body(object).Do(ctx)
		var p doctor.Probe
		body, err := cluster.Answer(result)
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
	body, err := cluster.Answer(c.Get().AbsPath("/api/v1/namespaces", namespace, "pods").
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
		body, err := cluster.Answer(c.Get().AbsPath("/api/v1/namespaces", namespace, "configmaps", name).Do(ctx))
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
