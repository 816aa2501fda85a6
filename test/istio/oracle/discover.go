package oracle

import (
	"context"
	"fmt"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"istio.io/istio/pilot/pkg/model"
	v3 "istio.io/istio/pilot/pkg/xds/v3"
)

// Base are the Service, EndpointSlice and Pod of the egress gateway, for a
// cluster that a real control plane reads.
func Base() string { return base }

// Discover asks a running control plane, in plain text, what [Ask] asks the
// one in this process: as the egress gateway and as each client, over the
// aggregated discovery service. The manifests only say which points there are.
func Discover(ctx context.Context, address, manifests string, clients ...Client) (*World, error) {
	in, err := parse(manifests)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	w := &World{Configs: in.configs}
	if w.Gateway, err = discover(ctx, conn, gateway(), "istio-egressgateway-1"); err != nil {
		return nil, err
	}
	for _, c := range clients {
		p, err := discover(ctx, conn, sidecar(c), "client")
		if err != nil {
			return nil, err
		}
		w.Clients = append(w.Clients, ClientProxy{c, p})
	}
	return w, nil
}

// discover is one proxy's first conversation with the control plane.
func discover(ctx context.Context, conn *grpc.ClientConn, proxy *model.Proxy, pod string) (*Proxy, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream
	defer cancel()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	ns := proxy.ConfigNamespace
	id := fmt.Sprintf("%s~%s~%s.%s~%s.svc.cluster.local", proxy.Type, proxy.IPAddresses[0], pod, ns, ns)
	p, err := reduce(&conversation{stream: stream, node: &core.Node{Id: id, Metadata: proxy.Metadata.ToStruct()}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	return p, nil
}

// conversation is a proxy's stream to a control plane.
type conversation struct {
	stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	node   *core.Node
}

// ask subscribes to resources of a type, all of them where none are named, and
// returns the first answer. What the control plane sends of other types in the
// meantime is accepted.
func (c *conversation) ask(kind string, names []string) ([]*anypb.Any, error) {
	if err := c.stream.Send(&discovery.DiscoveryRequest{Node: c.node, TypeUrl: kind, ResourceNames: names}); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", kind, err)
	}
	for {
		answer, err := c.stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", kind, err)
		}
		ack := &discovery.DiscoveryRequest{
			Node: c.node, TypeUrl: answer.TypeUrl, VersionInfo: answer.VersionInfo, ResponseNonce: answer.Nonce,
		}
		if answer.TypeUrl == kind {
			ack.ResourceNames = names
		}
		if err := c.stream.Send(ack); err != nil {
			return nil, fmt.Errorf("accept %s: %w", answer.TypeUrl, err)
		}
		if answer.TypeUrl == kind {
			return answer.Resources, nil
		}
	}
}

func (c *conversation) listeners() ([]*listener.Listener, error) {
	return asked[listener.Listener](c, v3.ListenerType, nil)
}

func (c *conversation) clusters() ([]*cluster.Cluster, error) {
	return asked[cluster.Cluster](c, v3.ClusterType, nil)
}

func (c *conversation) routes(names []string) (map[string]*route.RouteConfiguration, error) {
	out := map[string]*route.RouteConfiguration{}
	if len(names) == 0 {
		return out, nil
	}
	found, err := asked[route.RouteConfiguration](c, v3.RouteType, names)
	for _, r := range found {
		out[r.Name] = r
	}
	return out, err
}

func (c *conversation) endpoints(names []string) (map[string]*endpoint.ClusterLoadAssignment, error) {
	out := map[string]*endpoint.ClusterLoadAssignment{}
	if len(names) == 0 {
		return out, nil
	}
	found, err := asked[endpoint.ClusterLoadAssignment](c, v3.EndpointType, names)
	for _, e := range found {
		out[e.ClusterName] = e
	}
	return out, err
}

func asked[T any, M interface {
	*T
	proto.Message
}](c *conversation, kind string, names []string) ([]M, error) {
	resources, err := c.ask(kind, names)
	if err != nil {
		return nil, err
	}
	out := make([]M, len(resources))
	for i, r := range resources {
		out[i] = new(T)
		if err := r.UnmarshalTo(out[i]); err != nil {
			return nil, fmt.Errorf("decode %s: %w", kind, err)
		}
	}
	return out, nil
}
