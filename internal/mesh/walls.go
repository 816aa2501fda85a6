package mesh

// Walls are the administrator's choices about the NetworkPolicies that
// confine namespaces and surround gateways.
type Walls struct {
	// Staged is whether the namespaces of the mesh without
	// [NetworkPolicyLabel] are staged: what their policies would be is shown,
	// and nothing is written.
	Staged bool
	// IstioTask is whether walls have the form of the NetworkPolicy in Istio's
	// egress gateway task, by labels of namespaces that an administrator has
	// to set, and not the form derived from the cluster.
	IstioTask bool
	// OwnOnly is whether the pods of a walled namespace without
	// [PeersAnnotation] may talk to those of their own namespace only.
	OwnOnly bool
	// DNS are the Services by which pods look up names; none where they are to be
	// found in the mesh.
	DNS []DNSService
	// NodeLocalDNS are the addresses of DNS caches on the nodes.
	NodeLocalDNS []string
	// ClusterRanges are ranges of addresses (CIDR) of pods, Services and nodes
	// beyond the private ones, into which no gateway is to connect.
	ClusterRanges []string
	// Destinations are what walled namespaces may reach beyond what they need
	// for the mesh, and GatewayDestinations what surrounded gateways may.
	Destinations        []WallDestination
	GatewayDestinations []WallDestination
}

// DNSService names a Service that serves DNS.
type DNSService struct{ Namespace, Service string }

// WallDestination is what a wall lets through on top: addresses, or pods.
type WallDestination struct {
	Name string
	From []string // namespaces or gateways; empty for all of them
	// CIDRs are ranges of addresses.
	CIDRs []string
	// Pods are those with all of the labels PodLabels in the namespaces that
	// are listed, or have all of the labels NamespaceLabels.
	Namespaces      []string
	NamespaceLabels map[string]string
	PodLabels       map[string]string
	Ports           []WallPort // empty for every port
}

// WallPort is a port, by number or name, or a range of ports.
type WallPort struct {
	Protocol string // TCP, UDP or SCTP
	Port     string
	EndPort  int // the last of a range, else 0
}
