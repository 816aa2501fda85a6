// Package cluster reads the objects of a cluster by asking its API server, page by
// page and in the version that the server prefers.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// page is how many objects are asked for at once, as kubectl does.
const page = "500"

// Client asks one API server.
type Client struct{ rest.Interface }

// New returns a client for a cluster, having made sure that it answers.
func New(ctx context.Context, cfg *rest.Config) (*Client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1                           // one request after the other: the API server's own fairness is enough
	cfg.WarningHandler = rest.NoWarnings{} // that a kind is deprecated is nothing to whoever reads all of them
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{d.RESTClient()}
	// Whoever may not ask for the version is answered all the same.
	err = c.Get().AbsPath("/version").Do(ctx).Error()
	switch {
	case apierrors.IsUnauthorized(err):
		return nil, fmt.Errorf("the API server at %s does not know the user: %w", cfg.Host, err)
	case err != nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
		return nil, fmt.Errorf("the API server at %s does not answer: %w", cfg.Host, err)
	}
	return c, nil
}

// Each calls add for the object at a path, or for every object of the list at it,
// with the apiVersion and kind that API servers leave out of the items of lists.
func (c *Client) Each(ctx context.Context, path, apiVersion, kind string, add func(raw []byte) error) error {
	for next := ""; ; {
		r := c.Get().AbsPath(path).Param("limit", page)
		if next != "" {
			r = r.Param("continue", next)
		}
		body, err := Answer(r.Do(ctx))
		if more := continuation(err); next != "" && more != "" && more != next {
			next = more
			continue
		}
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
			list.Items = &[]json.RawMessage{body}
		}
		for _, raw := range *list.Items {
			raw, err := typed(raw, apiVersion, kind)
			if err == nil {
				err = add(raw)
			}
			if err != nil {
				return fmt.Errorf("the answer to GET %s: %w", path, err)
			}
		}
		if next = list.Metadata.Continue; next == "" {
			return nil
		}
	}
}

// continuation is where a list goes on whose first page is too old for the API
// server: behind what has been read, as it is by then.
func continuation(err error) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsResourceExpired(err) {
		return ""
	}
	return status.ErrStatus.Continue
}

// Answer is what the API server says. Raw alone does not read the error's
// reason from the body.
func Answer(r rest.Result) ([]byte, error) {
	if err := r.Error(); err != nil {
		return nil, err
	}
	return r.Raw()
}

// typed gives an object the apiVersion and kind that items of lists lack.
func typed(raw []byte, apiVersion, kind string) ([]byte, error) {
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
	return fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,%s`, apiVersion, kind, rest), nil
}
