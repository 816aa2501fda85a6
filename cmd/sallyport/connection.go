package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sallyport-io/sallyport/internal/cluster"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/doctor/gather"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/printable"
)

// connection is what the flags say of the cluster to ask.
type connection struct{ kubeconfig, context, as string }

func (c *connection) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` (default: as kubectl finds it)")
	f.StringVar(&c.context, "context", "", "`CONTEXT` of the kubeconfig")
	f.StringVar(&c.as, "as", "", "`USER` to impersonate")
	_ = cmd.MarkFlagFilename("kubeconfig") // fails for unknown flags only
}

// cluster finds the cluster as kubectl does.
func (c *connection) cluster() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: c.context}
	overrides.AuthInfo.Impersonate = c.as
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; name a kubeconfig with --kubeconfig", err)
	}
	return cfg, nil
}

// connect makes a client, and reads the configuration: the file, or else what the
// server's pods mount.
func (c *connection) connect(ctx context.Context, cmd *cobra.Command, file string) (*gather.Client, *config.Config, error) {
	cluster, err := c.cluster()
	if err != nil {
		return nil, nil, err
	}
	client, err := gather.New(ctx, cluster)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; choose a cluster with --kubeconfig and --context", err)
	}
	cfg, err := config.Load(file)
	if err == nil && file == "" {
		cfg, err = mounted(ctx, cmd, client, cfg)
	}
	return client, cfg, err
}

// mounted is the configuration that the server's pods mount, or else the
// default one.
func mounted(ctx context.Context, cmd *cobra.Command, client *gather.Client, cfg *config.Config) (*config.Config, error) {
	namespace, account := cfg.Account()
	source, data, err := client.Configuration(ctx, namespace, account)
	if err != nil {
		printable.Fprintf(cmd.ErrOrStderr(), "note: the server's configuration is not to be seen (%v): its defaults are taken; give another with --config\n", err)
		return cfg, nil
	}
	return config.Parse(source, data)
}

// contents are the queries for everything in a cluster that the commands read: the
// kinds that the model holds and those that the doctor asks about. Of what the doctor
// asks for in single namespaces or by name, nothing else is read; Secrets are not
// read at all.
func contents(cfg *config.Config) []cluster.Query {
	var queries []cluster.Query
	known := map[schema.GroupKind]bool{{Kind: "Secret"}: true}
	for _, q := range newFacts(cfg).Queries() {
		apiVersion, kind := q.Type(0)
		gk := schema.FromAPIVersionAndKind(apiVersion, kind).GroupKind()
		if gk.Kind == "Secret" {
			continue
		}
		known[gk] = true
		queries = append(queries, cluster.Query{GroupKind: gk, Namespace: q.Namespace, Name: q.Name})
	}
	for group, kind := range mesh.APIKinds() {
		if gk := (schema.GroupKind{Group: group, Kind: kind}); !known[gk] {
			queries = append(queries, cluster.Query{GroupKind: gk})
		}
	}
	slices.SortFunc(queries, func(a, b cluster.Query) int { return strings.Compare(a.String(), b.String()) })
	return queries
}
