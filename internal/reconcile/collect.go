package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// deletion is the order in which companions go: first nobody sees the host,
// then nothing routes to it, then goes what the routes led to, and at last what
// kept strangers from it.
var deletion = []string{"ServiceEntry", "VirtualService", "DestinationRule", "Gateway", "AuthorizationPolicy"}

// collect deletes the companions of a host that have not been wanted for the
// time of grace: those that exist, less those of the set. The mesh hops go
// before the gateway's side, and a mesh hop goes only where no client then
// reaches the host directly. after is when to look again.
func (c *Companions) collect(ctx context.Context, m *mesh.Mesh, key string, set companion.Set) (after time.Duration, err error) {
	wanted := make(map[mesh.Ref]bool)
	for _, o := range set.Objects {
		wanted[o.Metadata().Ref] = true
	}
	var hops, side []*mesh.Meta
	for _, o := range c.there(m, key) {
		switch o := o.Metadata(); {
		case wanted[o.Ref]:
		case o.Fingerprint == 0 || o.Deleting: // not ours, or about to go
		case companion.MeshHop(o.Ref):
			hops = append(hops, o)
		default:
			side = append(side, o)
		}
	}
	for _, list := range [][]*mesh.Meta{hops, side} {
		slices.SortFunc(list, func(a, b *mesh.Meta) int {
			return cmp.Or(slices.Index(deletion, a.Kind)-slices.Index(deletion, b.Kind), cmp.Compare(a.Ref.String(), b.Ref.String()))
		})
	}
	extra := slices.Concat(hops, side)
	since := c.unwant(key, extra)
	for i, o := range extra {
		ref := o.Ref
		if after > 0 && i >= len(hops) {
			break // a mesh hop still leads there
		}
		if left := time.Until(since[ref].Add(c.options.Grace)); left > 0 {
			after = max(after, left)
			continue
		}
		if err := c.confirm(ctx, m); err != nil {
			return 0, err
		}
		kept, err := c.close(ctx, m, ref, set)
		if err != nil {
			return 0, err
		}
		if kept {
			after = c.options.Grace
			continue
		}
		if err := c.delete(ctx, o); err != nil {
			return 0, err
		}
		m = m.Without(ref) // what goes next is not to rest on it
	}
	return after, nil
}

// confirm asks the API server itself where the mesh holds no entry of any
// user: a cluster without a host to reach is possible, but it is also what a
// view that has lost the kind looks like, and nothing is deleted on one.
func (c *Companions) confirm(ctx context.Context, m *mesh.Mesh) error {
	for o := range m.All("ServiceEntry") {
		if !companion.Is(o.Metadata().Ref) {
			return nil
		}
	}
	c.confirming.Lock()
	defer c.confirming.Unlock()
	if time.Since(c.confirmed) < confirmation {
		return nil
	}
	others, err := labels.NewRequirement(mesh.ManagedByLabel, selection.NotEquals, []string{mesh.ManagedBy})
	if err != nil {
		return err
	}
	var entries networking.ServiceEntryList
	err = c.client.List(ctx, &entries, client.MatchingLabelsSelector{Selector: labels.NewSelector().Add(*others)}, client.Limit(10))
	if err != nil {
		return fmt.Errorf("asking whether there is no ServiceEntry left: %w", err)
	}
	for _, entry := range entries.Items {
		ref := mesh.Ref{Kind: "ServiceEntry", Namespace: entry.Namespace, Name: entry.Name}
		if !companion.Is(ref) && entry.DeletionTimestamp == nil {
			return fmt.Errorf("the view of the cluster has lost %s; nothing is deleted", ref)
		}
	}
	c.confirmed = time.Now()
	return nil
}

// confirmation is how long the API server's word holds that there is no entry:
// the last thousand hosts go together.
const confirmation = time.Second

// unwant notes that these, and no others, of the companions with the key are
// not wanted, and returns since when.
func (c *Companions) unwant(key string, extra []*mesh.Meta) map[mesh.Ref]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.unwanted[key]
	if len(extra) == 0 {
		delete(c.unwanted, key)
		return nil
	}
	since := make(map[mesh.Ref]time.Time, len(extra))
	for _, o := range extra {
		if at, ok := before[o.Ref]; ok {
			since[o.Ref] = at
		} else {
			since[o.Ref] = time.Now()
		}
	}
	c.unwanted[key] = since
	return since
}

// delete deletes exactly the version that was looked at.
func (c *Companions) delete(ctx context.Context, m *mesh.Meta) error {
	o := emptyOf(m.Kind)
	o.SetNamespace(m.Namespace)
	o.SetName(m.Name)
	err := c.client.Delete(ctx, o, client.Preconditions{ResourceVersion: &m.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s: %w", m.Ref, err)
	}
	c.deleted(m)
	c.metrics.wrote("delete", m.Kind)
	c.options.Log.Info("deleted a companion that nobody wants any more", "object", m.Ref)
	return nil
}

// close makes sure that no client reaches the host directly once the object is
// gone: entries that Sallyport holds and opens are held again. It reports
// whether the object has to be kept: because an entry is left that would open
// a direct path and is not Sallyport's to close, or because its owner now asks
// for something that cannot be served. Admission refuses such an edit; where it
// came in all the same, what worked goes on working.
func (c *Companions) close(ctx context.Context, m *mesh.Mesh, ref mesh.Ref, set companion.Set) (kept bool, err error) {
	if ref.Kind == "ServiceEntry" && set.Host != "" {
		return false, c.withdraw(ctx, m, ref, set)
	}
	if ref.Kind != "VirtualService" || set.Host == "" {
		return false, nil
	}
	after := m.Without(ref)
	for _, entry := range users(m, set.Host) {
		ownDoing := slices.ContainsFunc(set.Refused, func(r companion.Refusal) bool { return r.Entry == entry.Ref && r.With == mesh.Ref{} })
		switch {
		case ownDoing && entry.Namespace == ref.Namespace && severs(m, after, entry, set.Host):
			c.options.Log.Info("kept a companion though its entry asks for what cannot be served",
				"object", ref, "host", set.Host, "entry", entry.Ref)
			kept = true
			continue
		case !opens(m, after, entry, set.Host):
			continue
		}
		if entry.Annotations[mesh.ExportAnnotation] == "" {
			c.options.Log.Info("kept a companion that is not wanted: without it the host would be reached directly",
				"object", ref, "host", set.Host, "entry", entry.Ref)
			kept = true
			continue
		}
		if err := c.export(ctx, entry, "~", "held: its companions are about to go, and without them it would be reached directly"); err != nil {
			return false, err
		}
	}
	return kept, nil
}

// severs reports whether some client of the entry goes through the gateway in
// before, and not so in after.
func severs(before, after *mesh.Mesh, entry *mesh.ServiceEntry, host string) bool {
	for _, client := range companion.Clients(after, entry, host) {
		for _, port := range entry.Ports {
			is, _ := after.Verdict(client, host, port.Number)
			if was, _ := before.Verdict(client, host, port.Number); was == mesh.Via && is != mesh.Via {
				return true
			}
		}
	}
	return false
}

// opens reports whether some client of the entry reaches the host directly in
// after, and not so in before.
func opens(before, after *mesh.Mesh, entry *mesh.ServiceEntry, host string) bool {
	for _, client := range companion.Clients(after, entry, host) {
		for _, port := range entry.Ports {
			if after.Paths(client, host, port.Number).Verdict == mesh.Direct &&
				before.Paths(client, host, port.Number).Verdict != mesh.Direct {
				return true
			}
		}
	}
	return false
}
