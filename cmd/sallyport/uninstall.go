package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/cluster"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/doctor/gather"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/release"
)

func newUninstallCommand() *cobra.Command {
	var d examination
	var u uninstall
	cmd := &cobra.Command{
		Use:   "uninstall [flags]",
		Short: "Take Sallyport out of a cluster, and leave its traffic",
		Long: `Uninstall takes Sallyport out of a cluster in an order in which nobody loses a
path: it deletes the webhooks and stops the server, takes down Sallyport's walls,
makes routes that were rewritten straight and gives entries back to their owners
(who sees them is again what they wrote), and at last deletes the companions. What
went through the egress gateway leaves directly in the end.

An entry whose traffic only the gateway puts into TLS is kept, with its
companions: they work without Sallyport, and directly the traffic would leave in
plain text.

Without --yes it says what it would do, and changes nothing. It may be broken off
and run again; once the server's pods are gone its configuration is not to be
seen any more, and is given with --config. It writes as the user of the
kubeconfig. What the server's manifests hold beside the Deployment goes
afterwards: kubectl delete --ignore-not-found -k manifests/

Exit status: 0 it is done, or would be; 2 the cluster could not be read or written.`,
		Example: `  # What would become of every object?
  sallyport uninstall

  sallyport uninstall --yes`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), d.timeout)
			defer cancel()
			u.out = cmd.OutOrStdout()
			if err := u.connect(ctx, cmd, &d); err != nil {
				return err
			}
			return u.run(ctx)
		},
	}
	f := cmd.Flags()
	d.addFlags(cmd)
	f.StringVar(&d.config, "config", "", "the server's configuration `FILE` (default: the one that its pods mount)")
	f.BoolVar(&u.yes, "yes", false, "do it")
	f.DurationVar(&u.grace, "grace", 10*time.Second, "`TIME` that proxies get to see each stage before the next one")
	f.DurationVar(&d.timeout, "timeout", 15*time.Minute, "`TIME` that all of it may take")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	return cmd
}

// uninstall is one run of the command.
type uninstall struct {
	yes     bool
	grace   time.Duration
	out     io.Writer
	client  *cluster.Client
	cluster dynamic.Interface // to write
	cfg     *config.Config
}

func (u *uninstall) connect(ctx context.Context, cmd *cobra.Command, d *examination) error {
	connection, err := d.cluster()
	if err != nil {
		return err
	}
	client, err := gather.New(ctx, connection)
	if err != nil {
		return fmt.Errorf("%w; choose a cluster with --kubeconfig and --context", err)
	}
	if u.cfg, err = config.Load(d.config); err != nil {
		return err
	}
	if d.config == "" {
		namespace, account := u.cfg.Account()
		source, data, err := client.Configuration(ctx, namespace, account)
		switch {
		case err != nil && u.yes: // which gateways there are decides what leads there, and must not be guessed
			return fmt.Errorf("the server's configuration is not to be seen (%w): give it with --config", err)
		case err != nil:
			printable.Fprintf(cmd.ErrOrStderr(), "note: the server's configuration is not to be seen (%v): its defaults are taken; give another with --config\n", err)
		default:
			if u.cfg, err = config.Parse(source, data); err != nil {
				return err
			}
		}
	}
	connection.QPS = -1 // one request after the other
	u.client = client.Client
	u.cluster, err = dynamic.NewForConfig(connection)
	return err
}

// rounds is how often what others have changed meanwhile is looked at again.
const rounds = 5

func (u *uninstall) run(ctx context.Context) error {
	if err := u.disarm(ctx); err != nil {
		return err
	}
	for range rounds {
		m, err := u.read(ctx)
		if err != nil {
			return err
		}
		steps, kept := release.Plan(m)
		if len(steps) == 0 || !u.yes {
			u.tell(steps, kept)
			return nil
		}
		if err := u.take(ctx, steps); err != nil {
			return err
		}
	}
	return fmt.Errorf("there is still something left to do: somebody writes companions, or changes entries; see that no server of Sallyport's runs, and run the command again")
}

// tell says what would be done, or that nothing is left to do.
func (u *uninstall) tell(steps []release.Step, kept []release.Kept) {
	for _, s := range steps {
		printable.Fprintf(u.out, "would %s %s: %s\n", verb(s), s.Ref, s.Why)
	}
	for _, k := range kept {
		printable.Fprintf(u.out, "kept %s: %s\n", k.Ref, k.Why)
	}
	if !u.yes {
		printable.Fprintf(u.out, "nothing was changed; --yes does it\n")
	}
}

func verb(s release.Step) string {
	if len(s.Edits) == 0 {
		return "delete"
	}
	return "change"
}

// take does the steps, each stage when proxies have had the time to see the one
// before. What has changed since it was looked at waits for the next round.
func (u *uninstall) take(ctx context.Context, steps []release.Step) error {
	for i, s := range steps {
		if i > 0 && s.Stage != steps[i-1].Stage {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(u.grace):
			}
		}
		err := u.write(ctx, s)
		switch {
		case apierrors.IsNotFound(err):
		case apierrors.IsConflict(err), apierrors.IsInvalid(err):
			printable.Fprintf(u.out, "%s has changed meanwhile, and is looked at again\n", s.Ref)
			return nil
		case err != nil:
			return fmt.Errorf("%s %s: %w", verb(s), s.Ref, err)
		default:
			printable.Fprintf(u.out, "%sd %s: %s\n", verb(s), s.Ref, s.Why)
		}
	}
	return nil
}

func (u *uninstall) write(ctx context.Context, s release.Step) error {
	resource := u.cluster.Resource(resources[s.Ref.Kind]).Namespace(s.Ref.Namespace)
	if len(s.Edits) == 0 {
		return resource.Delete(ctx, s.Ref.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &s.Version}})
	}
	patch, err := json.Marshal(operations(s))
	if err != nil {
		return err
	}
	_, err = resource.Patch(ctx, s.Ref.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "sallyport-uninstall"})
	return err
}

// operation is one operation of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func operations(s release.Step) []operation {
	ops := []operation{{"test", "/metadata/resourceVersion", s.Version}}
	for _, e := range s.Edits {
		if e.Value == nil {
			ops = append(ops, operation{"remove", e.Pointer, nil})
			continue
		}
		ops = append(ops, operation{"replace", e.Pointer, e.Value})
	}
	return ops
}

// resources are those that are read: what paths are made of, and walls.
var resources = func() map[string]schema.GroupVersionResource {
	all := map[string]schema.GroupVersionResource{}
	for _, name := range []string{"Namespace", "Service", "ServiceEntry", "VirtualService", "Gateway", "DestinationRule", "AuthorizationPolicy", "NetworkPolicy"} {
		k := apikind.Named(name)
		all[name] = schema.GroupVersionResource{Group: k.Group, Version: k.Versions[0], Resource: k.Resource}
	}
	return all
}()

// read reads the cluster.
func (u *uninstall) read(ctx context.Context) (*mesh.Mesh, error) {
	var objects []mesh.Object
	var pool mesh.Pool
	var queries []cluster.Query
	for _, kind := range slices.Sorted(maps.Keys(resources)) {
		queries = append(queries, cluster.Query{GroupKind: schema.GroupKind{Group: resources[kind].Group, Kind: kind}})
	}
	err := u.each(ctx, queries, func(o *unstructured.Unstructured) error {
		raw, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		decoded, err := pool.Decode(o.GetAPIVersion(), o.GetKind(), raw)
		if err != nil {
			return fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
		objects = append(objects, decoded)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return mesh.New(u.cfg.Settings(), objects...), nil
}

// each calls f for every object that the queries ask for. Of a kind that the API server
// does not serve, in a cluster without Istio say, there is none; one that cannot be read
// is an error.
func (u *uninstall) each(ctx context.Context, queries []cluster.Query, f func(*unstructured.Unstructured) error) error {
	reading, err := u.client.Read(ctx, queries, func(raw []byte) error {
		var o unstructured.Unstructured
		if err := o.UnmarshalJSON(raw); err != nil {
			return err
		}
		return f(&o)
	}, func(cluster.Query, int) {})
	if err == nil && len(reading.Missed) > 0 {
		err = reading.Missed[0]
	}
	return err
}

// servers calls f for every object of a kind that the server's manifests hold.
func (u *uninstall) servers(ctx context.Context, group, kind string, f func(*unstructured.Unstructured) error) error {
	namespace, _ := u.cfg.Account()
	query := cluster.Query{GroupKind: schema.GroupKind{Group: group, Kind: kind}, Namespace: namespace}
	return u.each(ctx, []cluster.Query{query}, func(o *unstructured.Unstructured) error {
		if o.GetLabels()["app.kubernetes.io/name"] != "sallyport-webhook" {
			return nil
		}
		return f(o)
	})
}

// disarm deletes the webhooks, so that nothing is refused while nobody answers,
// and then the server, so that nobody does again what is undone.
func (u *uninstall) disarm(ctx context.Context) error {
	for _, kind := range []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"} {
		query := cluster.Query{GroupKind: schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: kind}}
		err := u.each(ctx, []cluster.Query{query}, func(o *unstructured.Unstructured) error {
			hooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
			if err != nil || !slices.ContainsFunc(hooks, isOurs) {
				return err
			}
			if slices.ContainsFunc(hooks, func(hook any) bool { return !isOurs(hook) }) {
				return fmt.Errorf("%s %s has webhooks of others beside Sallyport's: take Sallyport's out of it, and run the command again", o.GetKind(), o.GetName())
			}
			return u.remove(ctx, o)
		})
		if err != nil {
			return fmt.Errorf("webhooks: %w", err)
		}
	}
	err := u.servers(ctx, "apps", "Deployment", func(o *unstructured.Unstructured) error { return u.remove(ctx, o) })
	if err != nil || !u.yes {
		return err
	}
	for {
		running := 0
		err := u.servers(ctx, "", "Pod", func(*unstructured.Unstructured) error {
			running++
			return nil
		})
		if err != nil || running == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d pods of the server still run: %w", running, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// isOurs reports whether a webhook is one of Sallyport's, whatever the
// configuration is called that has it.
func isOurs(hook any) bool {
	fields, _ := hook.(map[string]any)
	return fields["name"] == "validate.sallyport.io" || fields["name"] == "mutate.sallyport.io"
}

// remove deletes an object, or says that it would.
func (u *uninstall) remove(ctx context.Context, o *unstructured.Unstructured) error {
	if !u.yes {
		printable.Fprintf(u.out, "would delete %s %s\n", o.GetKind(), o.GetName())
		return nil
	}
	background := metav1.DeletePropagationBackground
	is := o.GroupVersionKind()
	kind, _ := apikind.Of(is.Group, is.Kind)
	resource := is.GroupVersion().WithResource(kind.Resource)
	err := u.cluster.Resource(resource).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	printable.Fprintf(u.out, "deleted %s %s\n", o.GetKind(), o.GetName())
	return nil
}
