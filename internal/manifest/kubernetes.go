package manifest

import (
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/json"
)

// goKinds are the kinds beside Istio's that the model reads, and their types.
// Of other kinds and versions the fields are not known here.
var goKinds = map[[2]string]func() any{
	{"v1", "Binding"}:                                func() any { return new(corev1.Binding) },
	{"v1", "Endpoints"}:                              func() any { return new(corev1.Endpoints) }, //nolint:staticcheck // deprecated, and served
	{"v1", "Namespace"}:                              func() any { return new(corev1.Namespace) },
	{"v1", "Node"}:                                   func() any { return new(corev1.Node) },
	{"v1", "Pod"}:                                    func() any { return new(corev1.Pod) },
	{"v1", "PodTemplate"}:                            func() any { return new(corev1.PodTemplate) },
	{"v1", "ReplicationController"}:                  func() any { return new(corev1.ReplicationController) },
	{"v1", "Service"}:                                func() any { return new(corev1.Service) },
	{"apps/v1", "ControllerRevision"}:                func() any { return new(appsv1.ControllerRevision) },
	{"apps/v1", "DaemonSet"}:                         func() any { return new(appsv1.DaemonSet) },
	{"apps/v1", "Deployment"}:                        func() any { return new(appsv1.Deployment) },
	{"apps/v1", "ReplicaSet"}:                        func() any { return new(appsv1.ReplicaSet) },
	{"apps/v1", "StatefulSet"}:                       func() any { return new(appsv1.StatefulSet) },
	{"batch/v1", "CronJob"}:                          func() any { return new(batchv1.CronJob) },
	{"batch/v1", "Job"}:                              func() any { return new(batchv1.Job) },
	{"discovery.k8s.io/v1", "EndpointSlice"}:         func() any { return new(discoveryv1.EndpointSlice) },
	{"networking.k8s.io/v1", "Ingress"}:              func() any { return new(networkingv1.Ingress) },
	{"networking.k8s.io/v1", "NetworkPolicy"}:        func() any { return new(networkingv1.NetworkPolicy) },
	{"networking.k8s.io/v1", "ServiceCIDR"}:          func() any { return new(networkingv1.ServiceCIDR) },
	{"gateway.networking.k8s.io/v1", "Gateway"}:      func() any { return new(gatewayv1.Gateway) },
	{"gateway.networking.k8s.io/v1", "GatewayClass"}: func() any { return new(gatewayv1.GatewayClass) },
	{"gateway.networking.k8s.io/v1", "GRPCRoute"}:    func() any { return new(gatewayv1.GRPCRoute) },
	{"gateway.networking.k8s.io/v1", "HTTPRoute"}:    func() any { return new(gatewayv1.HTTPRoute) },
	{"gateway.networking.k8s.io/v1", "TLSRoute"}:     func() any { return new(gatewayv1.TLSRoute) },
}

var (
	unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)
	wrongType    = regexp.MustCompile(`^json: cannot unmarshal (\S+) into Go struct field \w+\.(\S+) of type (\S+)$`)
)

// goObject checks an object against its Go type, as strictly as kubectl's
// --validate=strict does with the server's help.
func (c *checker) goObject(o *Object) {
	newType, ok := goKinds[[2]string{o.APIVersion, o.Kind}]
	if !ok {
		return
	}
	unknown, err := json.UnmarshalStrict(o.root.json(), newType())
	if err != nil {
		path, message := "", strings.TrimPrefix(err.Error(), "json: ")
		if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
			path, message = m[2], "cannot be a "+m[1]+": it takes "+m[3]
		}
		c.errorf(o.LineOf(path), path, "%s", message)
	}
	if c.stored {
		return
	}
	for _, u := range unknown {
		if m := unknownField.FindStringSubmatch(u.Error()); m != nil {
			c.errorf(o.LineOf(m[1]), m[1], "unknown field")
			continue
		}
		c.errorf(o.Line, "", "%v", u)
	}
}
