package policysource

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Label has a ConfigMap's files be policies, where its value is "true".
const Label = "sallyport.io/policy"

const (
	// watchTimeout ends a watch that brings nothing: the list that follows is
	// the resync.
	watchTimeout = 5 * time.Minute
	// settle is how long ConfigMaps must rest before they are read: those of
	// one "kubectl apply" are one change.
	settle = 500 * time.Millisecond
)

// configMaps are the labelled ConfigMaps of one namespace.
type configMaps struct {
	client  corev1client.ConfigMapInterface
	name    string
	version string // of the last list
}

// ConfigMaps returns the source that is the labelled ConfigMaps of one
// namespace: the server's own, for whoever may write them makes policy.
func ConfigMaps(cluster *rest.Config, namespace string) (Source, error) {
	client, err := corev1client.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("client for ConfigMaps: %w", err)
	}
	return &configMaps{client: client.ConfigMaps(namespace), name: "configmaps/" + namespace}, nil
}

func (c *configMaps) Name() string { return c.name }

func (c *configMaps) Remote() bool { return true }

// Fetch lists the ConfigMaps. Each is a folder of its name.
func (c *configMaps) Fetch(ctx context.Context) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	list, err := c.client.List(ctx, metav1.ListOptions{LabelSelector: Label + "=true"})
	if err != nil {
		return Snapshot{}, fmt.Errorf("policies in %s: %w", c.name, err)
	}
	c.version = list.ResourceVersion
	files := map[string][]byte{}
	for i := range list.Items {
		if err := addFiles(files, &list.Items[i]); err != nil {
			return Snapshot{}, fmt.Errorf("policies in %s: %w", c.name, err)
		}
	}
	size := 0
	for _, content := range files {
		size += len(content)
	}
	if size > maxSize {
		return Snapshot{}, fmt.Errorf("policies in %s: %w", c.name, errTooLarge)
	}
	return newSnapshot("", files), nil
}

// addFiles adds the files of a ConfigMap. A key that [policies.Load] would pass
// over is an error: whoever wrote it takes it for a policy. Only samples are
// left out in silence, for they lie beside policies.
func addFiles(files map[string][]byte, cm *corev1.ConfigMap) error {
	for key, content := range cm.Data {
		switch {
		case strings.HasPrefix(key, "."):
			return fmt.Errorf("ConfigMap %s: key %s is that of a hidden file, which is not read; take the dot in front away", cm.Name, key)
		case path.Ext(key) == ".txtar":
			continue
		case path.Ext(key) != ".rego" && !slices.Contains([]string{"data.yaml", "data.yml", "data.json"}, key):
			return fmt.Errorf("ConfigMap %s: key %s is no file of policies; name it NAME.rego, data.yaml or data.json", cm.Name, key)
		}
		files[path.Join(cm.Name, key)] = []byte(content)
	}
	for key := range cm.BinaryData {
		return fmt.Errorf("ConfigMap %s: key %s is binary; policies are text, under data", cm.Name, key)
	}
	return nil
}

// Wait watches from the last list on, until something changes.
func (c *configMaps) Wait(ctx context.Context, failures int) {
	if failures > 0 {
		pause(ctx, backoff(failures))
		return
	}
	watch, err := c.client.Watch(ctx, metav1.ListOptions{
		LabelSelector:   Label + "=true",
		ResourceVersion: c.version,
		TimeoutSeconds:  new(int64(watchTimeout.Seconds())),
	})
	if err != nil {
		pause(ctx, localPoll) // the next list says what is wrong
		return
	}
	defer watch.Stop()
	// An error event (the version is too old) and the end of the watch lead to
	// a new list as well.
	if _, open := <-watch.ResultChan(); !open {
		pause(ctx, backoff(1)) // no busy loop where a watch ends at once
		return
	}
	for rest := time.NewTimer(settle); ; rest.Reset(settle) {
		select {
		case <-rest.C:
			return
		case _, open := <-watch.ResultChan():
			if !open {
				return
			}
		}
	}
}
