package mesh

import "strings"

// Class is how a sidecar treats the traffic of a port.
type Class int

// The classes of protocols.
const (
	Sniffed  Class = iota // no protocol given: the sidecar looks at the first bytes
	HTTPLike              // HTTP, HTTP2, GRPC, GRPC-WEB: routed by Host
	TLSLike               // TLS, HTTPS: routed by SNI
	TCPLike               // TCP, MONGO, REDIS, MYSQL: routed by address
	UDPLike               // UDP: Istio does not route it
)

// ClassOf returns the class of a protocol name in any case. Unknown names are
// sniffed (protocol.Parse in Istio's pkg/config/protocol).
func ClassOf(protocol string) Class {
	switch strings.ToUpper(protocol) {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY":
		return HTTPLike
	case "TLS", "HTTPS":
		return TLSLike
	case "TCP", "MONGO", "REDIS", "MYSQL":
		return TCPLike
	case "UDP":
		return UDPLike
	default:
		return Sniffed
	}
}

// protocolName is the protocol as paths show it: upper case, and "UNSET" where
// the entry gives none.
func protocolName(protocol string) string {
	if protocol == "" {
		return "UNSET"
	}
	return strings.ToUpper(protocol)
}

// k8sProtocol is the protocol of a Kubernetes Service's port: its appProtocol,
// or what the name of the port starts with (ConvertProtocol in Istio's
// pkg/config/kube).
func k8sProtocol(p K8sServicePort) string {
	if p.Protocol == "UDP" {
		return "UDP"
	}
	if p.AppProtocol != "" {
		switch a := strings.ToLower(p.AppProtocol); a {
		case "kubernetes.io/h2c":
			return "HTTP2"
		case "kubernetes.io/ws":
			return "HTTP"
		case "kubernetes.io/wss":
			return "HTTPS"
		default:
			return p.AppProtocol
		}
	}
	name := strings.ToLower(p.Name)
	if ClassOf(name) == Sniffed {
		name, _, _ = strings.Cut(name, "-")
	}
	return name
}
