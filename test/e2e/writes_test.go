package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// patch changes one subresource of an object and returns what kubectl said.
func (c *cluster) patch(t *testing.T, as, namespace, object, subresource, patch string) (string, error) {
	t.Helper()
	args := []string{"patch", object, "-n", namespace, "--type=merge", "-p", patch}
	if subresource != "" {
		args = append(args, "--subresource="+subresource)
	}
	if as != "" {
		args = append(args, "--as="+as, "--as-group=system:masters")
		if strings.HasPrefix(as, "system:node:") {
			args = append(args, "--as-group=system:nodes")
		}
	}
	return c.try(t, "", args...)
}

// testWaysToWrite changes by subresources, bindings and revisions what rules
// read, as somebody who may write everything in a namespace of the mesh; then the
// cluster's own machinery does its work there.
func testWaysToWrite(t *testing.T, c *cluster) {
	const ns = "sideways"
	c.kubectl(t, "", "create", "namespace", ns)
	c.kubectl(t, "", "label", "namespace", ns, "istio-injection=enabled")
	eventually(t, "the namespace has a service account", func() error {
		_, err := c.try(t, "", "get", "serviceaccount", "default", "-n", ns)
		return err
	})
	c.kubectl(t, entry(ns, "api", "sideways.example.com", tls443), "apply", "-f", "-")
	c.kubectl(t, fmt.Sprintf(workloads, ns), "apply", "-f", "-")

	const (
		labels   = `{"metadata":{"labels":{"istio":"egressgateway"}}}`
		capture  = `{"metadata":{"annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":"443"}}}`
		internal = `{"metadata":{"annotations":{"internal.istio.io/route-semantics":"gateway"}}}`
		balancer = `{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}}}`
		metadata = `{"status":{"addresses":[{"host":"sideways.example.com","value":"169.254.169.254"}]}}`
		pod      = `{"status":{"podIPs":[{"ip":"203.0.113.9"}]}}`
		waypoint = `{"status":{"addresses":[{"type":"IPAddress","value":"203.0.113.9"}]}}`
	)
	for _, tt := range []struct{ object, subresource, patch, rule string }{
		{"serviceentries.networking.istio.io/api", "status", metadata, "status-address"},
		{"serviceentries.v1beta1.networking.istio.io/api", "status", metadata, "status-address"},
		{"serviceentries.v1alpha3.networking.istio.io/api", "status", metadata, "status-address"},
		{"gateways.gateway.networking.k8s.io/waypoint", "status", waypoint, "status-address"},
		{"service/web", "status", balancer, "status-address"},
		{"service/web", "status", internal, "internal-annotation"},
		{"pod/web", "status", pod, "status-address"},
		{"pod/web", "status", labels, "gateway-labels"},
		{"pod/web", "status", capture, "traffic-capture"},
		{"pod/web", "ephemeralcontainers", `{"spec":{"ephemeralContainers":[{"name":"c","image":"c","securityContext":{"runAsUser":1337}}]}}`, "proxy-uid"},
		{"podtemplate/web", "", `{"template":{"metadata":{"labels":{"istio":"egressgateway"}}}}`, "gateway-labels"},
	} {
		out, err := c.patch(t, "alice", ns, tt.object, tt.subresource, tt.patch)
		if err == nil || !strings.Contains(out, "denied the request") || !strings.Contains(out, "["+tt.rule+"]") {
			t.Errorf("%s/%s with %s: %v, want a denial by %s:\n%s", tt.object, tt.subresource, tt.patch, err, tt.rule, out)
		}
	}
	for _, tt := range []struct{ path, metadata, rule string }{
		{"/api/v1/namespaces/" + ns + "/pods/web/binding", `"annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":"443"}`, "traffic-capture"},
		{"/api/v1/namespaces/" + ns + "/pods/web/binding", `"labels":{"istio":"egressgateway"}`, "gateway-labels"},
		{"/api/v1/namespaces/" + ns + "/bindings", `"labels":{"istio.io/dataplane-mode":"none"}`, "traffic-capture"},
	} {
		out, err := c.bind(t, "alice", tt.path, "web", tt.metadata)
		if err == nil || !strings.Contains(out, "denied the request") || !strings.Contains(out, "["+tt.rule+"]") {
			t.Errorf("%s with %s: %v, want a denial by %s:\n%s", tt.path, tt.metadata, err, tt.rule, out)
		}
	}

	// The data of a revision cannot be changed: it is deleted, and written anew.
	for _, tt := range []struct{ data, rule string }{
		{`{"spec":{"template":{"$patch":"replace","spec":{"hostNetwork":true}}}}`, "host-network"},
		{`{"spec":{"template":{"$patch":"replace","spec":{"HOSTNETWORK":true}}}}`, "host-network"},
		{`{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"istio":"egressgateway"}}}}}`, "gateway-labels"},
		{`{"spec":{"template":{"$patch":"replace","metadata":{"annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":"443"}}}}}`, "traffic-capture"},
		{`{"spec":{"template":{"spec":{"containers":[]}}}}`, "controller-revision"},
		{`{"metadata":{"namespace":"shop"},"spec":{"template":{"$patch":"replace"}}}`, "controller-revision"},
		{`{"Spec":{"template":{"spec":{"hostNetwork":true}}},"spec":{"template":{"$patch":"replace"}}}`, "controller-revision"},
	} {
		revision := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"evil","namespace":%q,"labels":{"app":"web"}},"revision":7,"data":%s}`, ns, tt.data)
		out, err := c.try(t, revision, "create", "--as=alice", "--as-group=system:masters", "-f", "-")
		if err == nil || !strings.Contains(out, "denied the request") || !strings.Contains(out, "["+tt.rule+"]") {
			t.Errorf("a revision with %s: %v, want a denial by %s:\n%s", tt.data, err, tt.rule, out)
		}
	}

	t.Run("what is denied changes nothing", func(t *testing.T) {
		for _, raw := range c.list(t, "pods,services,controllerrevisions,podtemplates") {
			var o object
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{"egressgateway", "excludeOutboundPorts", "203.0.113.9", "internal.istio.io", "1337", "evil"} {
				if o.Metadata.Namespace == ns && strings.Contains(string(raw), bad) {
					t.Errorf("%s has %q", o, bad)
				}
			}
		}
	})
	t.Run("what comes with a subresource", func(t *testing.T) { testComesWith(t, c, ns) })
	t.Run("the cluster's machinery", func(t *testing.T) { testMachinery(t, c, ns) })
}

// testComesWith writes labels, an annotation and a spec with subresources: what
// package surface says of them rests on what comes through.
func testComesWith(t *testing.T, c *cluster, ns string) {
	for _, tt := range []struct {
		object, subresource string
		through             bool
	}{
		{"serviceentries.networking.istio.io/api", "status", false},
		{"gateways.gateway.networking.k8s.io/waypoint", "status", false},
		{"deployment/web", "scale", false},
		{"pod/web", "resize", false},
		{"pod/web", "ephemeralcontainers", false},
		{"deployment/web", "status", true},
		{"service/web", "status", true},
		{"pod/web", "status", true},
	} {
		out, err := c.patch(t, "alice", ns, tt.object, tt.subresource,
			`{"metadata":{"labels":{"stowaway":"yes"},"annotations":{"stowaway":"yes"},"finalizers":["example.com/stowaway"]},"spec":{"hosts":["stowaway.example.com"]}}`)
		if err != nil {
			t.Errorf("%s/%s: %v\n%s", tt.object, tt.subresource, err, out)
		}
		stored := c.kubectl(t, "", "get", tt.object, "-n", ns, "-o", "json")
		if got := strings.Contains(stored, "stowaway"); got != tt.through {
			t.Errorf("%s/%s: metadata comes through: %v, want %v\n%s", tt.object, tt.subresource, got, tt.through, stored)
		}
		c.kubectl(t, "", "patch", tt.object, "-n", ns, "--type=merge", "-p", `{"metadata":{"labels":{"stowaway":null},"annotations":{"stowaway":null},"finalizers":null}}`)
	}
}

// bind posts a Binding.
func (c *cluster) bind(t *testing.T, as, path, pod, metadata string) (string, error) {
	t.Helper()
	return c.try(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Binding","metadata":{"name":%q,%s},"target":{"kind":"Node","name":"worker"}}`, pod, metadata),
		"create", "--raw", path, "-f", "-", "--as="+as, "--as-group=system:masters")
}

// testMachinery has those write who do in a cluster, and counts whom the server
// is asked about.
func testMachinery(t *testing.T, c *cluster, ns string) {
	for _, tt := range []struct {
		name  string
		asked bool
		write func() (string, error)
	}{
		{"istiod gives an entry an address", true, func() (string, error) {
			return c.patch(t, "system:serviceaccount:istio-system:istiod", ns, "serviceentry/api", "status",
				`{"status":{"addresses":[{"host":"sideways.example.com","value":"240.240.0.1"}]}}`)
		}},
		{"a tenant's edit beside that address", true, func() (string, error) {
			return c.patch(t, "alice", ns, "serviceentry/api", "", `{"metadata":{"labels":{"team":"web"}}}`)
		}},
		{"istiod says where a waypoint is", true, func() (string, error) {
			return c.patch(t, "system:serviceaccount:istio-system:istiod-canary", ns, "gateways.gateway.networking.k8s.io/waypoint", "status",
				`{"status":{"addresses":[{"type":"Hostname","value":"waypoint.`+ns+`.svc.cluster.local"}]}}`)
		}},
		{"the cloud's controller publishes a load balancer", true, func() (string, error) {
			return c.patch(t, "system:serviceaccount:kube-system:service-controller", ns, "service/web", "status", `{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.7"}]}}}`)
		}},
		{"a kubelet reports a pod's address", false, func() (string, error) {
			return c.patch(t, "system:node:worker", ns, "pod/web", "status", `{"status":{"phase":"Running","podIPs":[{"ip":"10.0.0.9"}]}}`)
		}},
		{"a condition of a pod", false, func() (string, error) {
			return c.patch(t, "alice", ns, "pod/web", "status", `{"status":{"message":"well"}}`)
		}},
		{"a condition of a Deployment", false, func() (string, error) {
			return c.patch(t, "alice", ns, "deployment/web", "status", `{"status":{"observedGeneration":1}}`)
		}},
		{"an annotation with a Deployment's status", true, func() (string, error) {
			return c.patch(t, "alice", ns, "deployment/web", "status", `{"metadata":{"annotations":{"a":"b"}}}`)
		}},
		{"a finalizer with a pod's status", true, func() (string, error) {
			return c.patch(t, "alice", ns, "pod/web", "status", `{"metadata":{"finalizers":["example.com/f"]}}`)
		}},
		{"and without it", true, func() (string, error) {
			return c.patch(t, "alice", ns, "pod/web", "status", `{"metadata":{"finalizers":null}}`)
		}},
		{"a StatefulSet's controller writes a revision", false, func() (string, error) {
			return c.patch(t, "system:serviceaccount:kube-system:statefulset-controller", ns, "controllerrevision/web", "", `{"revision":2}`)
		}},
		{"the scheduler binds a pod", false, func() (string, error) {
			return c.bind(t, "system:kube-scheduler", "/api/v1/namespaces/"+ns+"/pods/other/binding", "other", `"labels":{"topology.kubernetes.io/zone":"a"}`)
		}},
		{"another scheduler binds a pod", false, func() (string, error) {
			return c.bind(t, "alice", "/api/v1/namespaces/"+ns+"/pods/web/binding", "web", `"uid":""`)
		}},
	} {
		before := c.answers(t)
		if out, err := tt.write(); err != nil {
			t.Errorf("%s: %v\n%s", tt.name, err, out)
		}
		if asked := c.answers(t) > before; asked != tt.asked {
			t.Errorf("%s: asked %v, want %v", tt.name, asked, tt.asked)
		}
	}
}

// workloads are what the writes go to.
const workloads = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: %[1]s, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: %[1]s, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %[1]s}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: web, namespace: %[1]s, labels: {app: web}}
revision: 1
data: {spec: {template: {$patch: replace, metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}}}
---
apiVersion: v1
kind: PodTemplate
metadata: {name: web, namespace: %[1]s}
template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: %[1]s}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
`
