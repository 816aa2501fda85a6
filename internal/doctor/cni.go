package doctor

import (
	"cmp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// plugin is a network plugin that is known by the containers of a DaemonSet.
type plugin struct {
	name      string
	container string
	// enforces reports whether it enforces NetworkPolicies as it is set up, and
	// if not why. Nil stands for yes.
	enforces func(*Exam, *corev1.Container) (ok bool, why string)
}

// plugins are the network plugins and policy engines that are known, by what
// their own manifests and charts install.
var plugins = []plugin{
	{name: "Calico", container: "calico-node"}, // Canal is Calico's policy on flannel
	{name: "Cilium", container: "cilium-agent", enforces: ciliumEnforces},
	{name: "GKE Dataplane V2", container: "anetd"},
	{name: "Antrea", container: "antrea-agent"},
	{name: "kube-router", container: "kube-router", enforces: unlessArgument("--run-firewall=false")},
	{name: "Weave Net", container: "weave-npc"},
	{name: "OVN-Kubernetes", container: "ovnkube-controller"},
	{name: "OVN-Kubernetes", container: "ovnkube-node"},
	{name: "Kube-OVN", container: "cni-server"},
	{name: "Azure Network Policy Manager", container: "azure-npm"},
	{name: "kube-network-policies", container: "kube-network-policies"},
	{name: "Amazon VPC CNI", container: "aws-eks-nodeagent", enforces: ifArgument("--enable-network-policy=true")},
	{name: "kindnet", container: "kindnet-cni", enforces: kindnetEnforces},
	{name: "flannel", container: "kube-flannel", enforces: never},
}

func never(*Exam, *corev1.Container) (bool, string) {
	return false, "it does not know NetworkPolicy"
}

func unlessArgument(off string) func(*Exam, *corev1.Container) (bool, string) {
	return func(_ *Exam, c *corev1.Container) (bool, string) {
		return !slices.Contains(c.Args, off), "it runs with " + off
	}
}

func ifArgument(on string) func(*Exam, *corev1.Container) (bool, string) {
	return func(_ *Exam, c *corev1.Container) (bool, string) {
		return slices.Contains(c.Args, on), "it runs without " + on
	}
}

// kindnetSince is the first image that enforces NetworkPolicies, that of kind
// 0.24 (https://github.com/kubernetes-sigs/kind/releases/tag/v0.24.0).
const kindnetSince = "v20240813"

func kindnetEnforces(_ *Exam, c *corev1.Container) (bool, string) {
	_, tag, _ := strings.Cut(c.Image, ":")
	date, _, _ := strings.Cut(tag, "-")
	return len(date) == len(kindnetSince) && date >= kindnetSince, "kindnet does since " + kindnetSince + ", this is " + c.Image
}

// ciliumEnforces follows the option enable-policy
// (https://docs.cilium.io/en/stable/security/policy/intro/#policy-enforcement-modes).
func ciliumEnforces(e *Exam, _ *corev1.Container) (bool, string) {
	for _, c := range e.configMaps {
		if c.Namespace == ciliumConfig.Namespace && c.Name == ciliumConfig.Name {
			return c.Data["enable-policy"] != "never", "enable-policy in ConfigMap kube-system/cilium-config is never"
		}
	}
	return true, ""
}

var networkPolicyEnforced = &Check{
	Name:  "network-policy-enforced",
	Group: groupWall,
	Doc: `the cluster's network enforces NetworkPolicy

A NetworkPolicy is a wish: without a network plugin that enforces it nothing
happens, and nothing says so. The plugin is known by its DaemonSet; on every node
its pod must be ready. What cannot be seen this way (a plugin that is part of a
distribution's own programs) is to be tried out.`,
	Sources: []string{networkPage + "#prerequisites", taskPage + "#apply-kubernetes-network-policies"},
	Check: func(e *Exam) {
		if !e.need(kinds("DaemonSet", "Node")...) {
			return
		}
		var off []Result
		found, guarded := false, 0
		for i := range e.daemonSets {
			d := &e.daemonSets[i]
			if d.Status.DesiredNumberScheduled == 0 {
				continue // for nodes that there are not, of another operating system say
			}
			for _, c := range d.Spec.Template.Spec.Containers {
				n := slices.IndexFunc(plugins, func(p plugin) bool { return p.container == c.Name })
				if n < 0 {
					continue
				}
				p, at := plugins[n], ref("DaemonSet", &d.ObjectMeta)
				if p.name == "Cilium" && !e.need(ciliumConfig) {
					found = true
					continue
				}
				if p.enforces != nil {
					if ok, why := p.enforces(e, &c); !ok {
						off = append(off, Result{Object: at, Message: p.name + " does not enforce NetworkPolicies: " + why})
						continue
					}
				}
				found = true
				guarded += int(d.Status.DesiredNumberScheduled)
				e.running(p.name, at, d)
				break // no plugin is two
			}
		}
		if found {
			// What does not enforce stands beside what does.
			if guarded > 0 && guarded < len(e.nodes) {
				e.fail(mesh.Ref{}, "", "Let the network plugin tolerate the taints of every node:\nkubectl get node -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints", "the network plugin is meant for %d of %d nodes: the others have no wall", guarded, len(e.nodes))
			}
			return
		}
		for _, r := range off {
			e.fail(r.Object, "spec.template.spec.containers", "Install a network plugin that enforces them, or turn this one's enforcement on:\n"+networkPage+"#prerequisites", "%s", r.Message)
		}
		if len(off) == 0 {
			e.unknown(mesh.Ref{}, "", tryWall, "no DaemonSet of a known network plugin: %s", e.distribution())
		}
	},
}

// tryWall tells a wall from a wish.
const tryWall = `kubectl create namespace wall-test
kubectl -n wall-test create -f - <<'EOF'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nothing-goes-out}
spec: {podSelector: {}, policyTypes: [Egress]}
` + "EOF" + `
kubectl -n wall-test run try --rm -i --restart=Never --image=busybox -- nc -zv -w 5 1.1.1.1 443   # must fail
kubectl delete namespace wall-test`

func (e *Exam) running(name string, at mesh.Ref, d *appsv1.DaemonSet) {
	if s := d.Status; s.NumberReady < s.DesiredNumberScheduled {
		e.fail(at, "status.numberReady", kubectl("-n %s describe daemonset %s", d.Namespace, d.Name), "%s is ready on %d of %d nodes: the others have no wall", name, s.NumberReady, s.DesiredNumberScheduled)
		return
	}
	e.pass(at, "", "%s on %s", name, count(int(d.Status.NumberReady), "node"))
}

// distribution says what is known of who made the cluster.
func (e *Exam) distribution() string {
	for _, n := range e.nodes {
		if v := n.Status.NodeInfo.KubeletVersion; strings.Contains(v, "+k3s") || strings.Contains(v, "+rke2") {
			return "the nodes run " + v + ", which enforces NetworkPolicies itself unless --disable-network-policy is given"
		}
	}
	return cmp.Or(e.daemonSetNames(), "there is no DaemonSet at all")
}

func (e *Exam) daemonSetNames() string {
	var names []string
	for _, d := range e.daemonSets {
		names = append(names, d.Namespace+"/"+d.Name)
	}
	if len(names) == 0 {
		return ""
	}
	return "there are " + some(names)
}
