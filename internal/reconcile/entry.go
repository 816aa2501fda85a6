package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/sight"
	"github.com/sallyport-io/sallyport/internal/told"
)

// maxStatus bounds [mesh.StatusAnnotation], in bytes.
const maxStatus = 1024

func uid(entry *mesh.ServiceEntry) types.UID { return types.UID(entry.UID) }

// opened returns a held entry as it will be.
func opened(entry *mesh.ServiceEntry) *mesh.ServiceEntry {
	out := *entry
	out.ExportTo = []string{entry.Annotations[mesh.ExportAnnotation]}
	return &out
}

// tend opens an entry that is held once every path of it is via, and tells
// its owner how things stand.
func (c *Companions) tend(ctx context.Context, m *mesh.Mesh, entry *mesh.ServiceEntry, taken []mesh.Ref) error {
	if entry.Deleting || c.outdated(entry.Ref, entry.ResourceVersion) {
		return nil
	}
	if entry.Held() {
		c.waits(entry.Ref)
	}
	status := c.status(m, entry, taken)
	if !status.ready {
		c.await(m, status.unseen)
	}
	switch {
	case entry.Held() && status.ready:
		return c.export(ctx, entry, entry.Annotations[mesh.ExportAnnotation], status.text)
	case len(status.unseen) == 0 && !says(entry, status.text):
		return c.tell(ctx, entry, status)
	}
	return nil
}

// status is how things stand with an entry.
type status struct {
	ready  bool
	unseen []mesh.Ref // companions that it waits for and that the mesh does not hold yet
	text   string     // of the annotation; empty where there is nothing to tell
}

// status looks at what the API server has, never at what is intended.
func (c *Companions) status(m *mesh.Mesh, entry *mesh.ServiceEntry, taken []mesh.Ref) status {
	open := entry
	if entry.Held() {
		open = opened(entry)
	}
	m = companion.Lasting(m, entry).With(open)
	var keys, refused, waiting, certificates []string
	// Whoever reads the entry and its Events belongs to its namespace.
	reader := sight.Entry(m, open)
	say := func(list []string, t told.Text) []string {
		text, whole := t.To(reader.Sees)
		if !whole && slices.Contains(list, text) {
			return list // how many there are of others is not said
		}
		return append(list, text)
	}
	var unseen []mesh.Ref
	for _, h := range entry.Hosts {
		host := mesh.CanonicalHost(h)
		set := companion.For(m, host)
		requests := m.Namespace(entry.Namespace).Ambient()
		for _, r := range set.Refused {
			requests = requests && r.Entry != entry.Ref
			switch {
			case r.Entry != entry.Ref:
			case r.With != mesh.Ref{}: // who is in the way is not told, but whom to ask
				refused = say(refused, told.F("%s: %s. %s", r.Entry.Tell().As(r.Path), r.Told, r.ToldFix))
			default:
				refused = say(refused, told.F("%s: %s", r.Entry.Tell().As(r.Path), r.Told))
			}
		}
		for _, o := range set.Objects {
			if state, ok := c.certificate(m, o); ok && companion.AsksForCertificate(entry) {
				if state.ready {
					certificates = append(certificates, state.text)
				} else {
					waiting = append(waiting, host+": "+state.text)
				}
			}
			if ref := o.Metadata().Ref; m.Get(ref) == nil {
				unseen = append(unseen, ref)
			}
			if meta := o.Metadata(); companion.MeshHop(meta.Ref) && meta.Namespace == entry.Namespace && slices.Contains(meta.Owners, entry.UID) {
				keys = append(keys, companion.Key(host))
			}
			if companion.AtWaypoint(o) && requests && m.Get(o.Metadata().Ref) != nil {
				keys = append(keys, companion.Key(host))
			}
		}
		for _, why := range companion.Unready(m, open, host) {
			waiting = say(waiting, why)
		}
	}
	state := "not ready: " // it is open, and who reads that it is held would look for the wrong thing
	if entry.Held() {
		state = "held: "
	}
	switch {
	case len(waiting) == 0 && len(refused) > 0 && !entry.Held(): // what worked goes on, and nothing else comes
		return status{text: clip("refused: " + strings.Join(refused, "; "))}
	case len(waiting) == 0 && (len(keys) > 0 || entry.Held()):
		through, away := wayOut(m, entry.Namespace)
		if len(away) > 0 {
			// No path leads around the gateway: the entry may be seen.
			for _, why := range away {
				waiting = say(waiting, why)
			}
			return status{ready: true, text: clip("not ready: " + strings.Join(slices.Concat(waiting, keys, certificates), "; "))}
		}
		return status{ready: true, text: clip("ready: " + strings.Join(slices.Concat([]string{"every port goes through " + through}, keys, certificates), "; "))}
	case len(waiting) == 0:
		return status{ready: true}
	case len(refused) > 0:
		return status{text: clip("refused: " + strings.Join(refused, "; "))}
	case len(taken) > 0:
		var names []string
		for _, ref := range taken {
			names = say(names, told.F("%s", ref))
		}
		return status{text: clip(state + "not Sallyport's, but under its names: " + strings.Join(names, ", "))}
	case len(keys) > 0 || entry.Held():
		return status{unseen: unseen, text: clip(state + strings.Join(waiting, "; "))}
	default:
		return status{}
	}
}

func clip(s string) string {
	if len(s) > maxStatus {
		return strings.ToValidUTF8(s[:maxStatus-3], "") + "..."
	}
	return s
}

// export sets a managed entry's exportTo, at the version that was looked at:
// what was true of an entry does not open the one that it has become.
func (c *Companions) export(ctx context.Context, entry *mesh.ServiceEntry, to, status string) error {
	err := c.patch(ctx, entry, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{mesh.StatusAnnotation: status}},
		"spec":     map[string]any{"exportTo": []string{to}},
	})
	if err != nil {
		return err
	}
	c.announce(entry, status)
	if to == "~" {
		c.metrics.wrote("hold", entry.Kind)
		return nil
	}
	c.metrics.wrote("open", entry.Kind)
	if since, ok := c.waited(entry.Ref); ok {
		c.metrics.timeToPath.Observe(time.Since(since).Seconds())
	}
	return nil
}

// says reports whether the annotation says so already.
func says(entry *mesh.ServiceEntry, text string) bool {
	return entry.Fingerprint == mesh.FingerprintStatus(text)
}

// tell writes the annotation.
func (c *Companions) tell(ctx context.Context, entry *mesh.ServiceEntry, s status) error {
	if says(entry, s.text) {
		return nil
	}
	var value any // nil takes the annotation away
	if s.text != "" {
		value = s.text
	}
	err := c.patch(ctx, entry, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{mesh.StatusAnnotation: value}},
	})
	if err != nil {
		return err
	}
	if s.text != "" {
		c.announce(entry, s.text)
	}
	return nil
}

// announce records an Event beside the entry.
func (c *Companions) announce(entry *mesh.ServiceEntry, text string) {
	state, note, _ := strings.Cut(text, ": ")
	kind, reason := corev1.EventTypeWarning, "Held"
	switch state {
	case "ready":
		kind, reason = corev1.EventTypeNormal, "Ready"
	case "refused":
		reason = "Refused"
	case "not ready":
		reason = "NotReady"
	}
	regarding := &corev1.ObjectReference{
		APIVersion: networking.SchemeGroupVersion.String(),
		Kind:       "ServiceEntry",
		Namespace:  entry.Namespace,
		Name:       entry.Name,
		UID:        uid(entry),
	}
	c.options.Events.Eventf(regarding, nil, kind, reason, "Companions", "%s", note)
}

// patch merges fields into an entry at the version that was looked at.
func (c *Companions) patch(ctx context.Context, entry *mesh.ServiceEntry, fields map[string]any) error {
	fields["metadata"].(map[string]any)["resourceVersion"] = entry.ResourceVersion
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	err = c.fly(entry.Ref, entry.ResourceVersion, func() (string, error) {
		got, err := c.writer.merge(ctx, networking.SchemeGroupVersion.WithKind("ServiceEntry"), entry.Ref, body)
		if err != nil {
			return "", err
		}
		return got.version, nil
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: %w", entry.Ref, err)
	}
	return nil
}
