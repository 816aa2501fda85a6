package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/reconcile"
)

// walls is one test's view of the NetworkPolicies of the control plane.
type walls struct {
	*kubernetes.Clientset
	t       *testing.T
	metrics *prometheus.Registry
}

// newWalls starts a reconciler of NetworkPolicies, which the end of the test
// ends.
func newWalls(t *testing.T, adjust ...func(*mesh.Settings, *reconcile.PolicyOptions)) *walls {
	t.Helper()
	w := &walls{Clientset: kubernetes.NewForConfigOrDie(plane.Config), t: t}
	w.namespace("istio-system", nil)
	w.metrics = prometheus.NewRegistry()
	settings, options := mesh.DefaultSettings(), reconcile.PolicyOptions{Metrics: w.metrics, Log: testr.New(t)}
	for _, f := range adjust {
		f(&settings, &options)
	}
	store, err := live.New(account, settings, testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	policies, err := reconcile.NewNetworkPolicies(account, store, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- store.Start(ctx) }()
	go func() { done <- policies.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("stopping: %v", err)
			}
		}
	})
	return w
}

// namespace creates a namespace, or gives one that exists these labels.
func (w *walls) namespace(name string, labels map[string]string) {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	_, err := w.CoreV1().Namespaces().Create(w.t.Context(), ns, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = w.CoreV1().Namespaces().Update(w.t.Context(), ns, metav1.UpdateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *walls) wall(namespace string) (*networkingv1.NetworkPolicy, error) {
	return w.NetworkingV1().NetworkPolicies(namespace).Get(w.t.Context(), netpol.EgressName, metav1.GetOptions{})
}

func (w *walls) eventually(what string, f func() error) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited %s for %s: %v", patience, what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stands waits for the wall of a namespace with these neighbours, and returns
// it.
func (w *walls) stands(namespace string, has ...string) *networkingv1.NetworkPolicy {
	w.t.Helper()
	var policy *networkingv1.NetworkPolicy
	w.eventually("the wall of "+namespace, func() error {
		var err error
		if policy, err = w.wall(namespace); err != nil {
			return err
		}
		last := policy.Spec.Egress[len(policy.Spec.Egress)-1].To[0].NamespaceSelector
		names := []string{last.MatchLabels["kubernetes.io/metadata.name"]}
		if len(last.MatchExpressions) > 0 {
			names = last.MatchExpressions[0].Values
		}
		for _, name := range has {
			if !slices.Contains(names, name) {
				return fmt.Errorf("its neighbours are %v, without %s", names, name)
			}
		}
		return nil
	})
	return policy
}

func (w *walls) falls(namespace string) {
	w.t.Helper()
	w.eventually("the end of the wall of "+namespace, func() error {
		if _, err := w.wall(namespace); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it still stands (error %v)", err)
		}
		return nil
	})
}

var confined = map[string]string{"istio-injection": "enabled", mesh.NetworkPolicyLabel: "enabled"}

// TestWallFollowsLabels checks that the label brings the wall, that a change of another namespace changes its neighbours,
// and that the wall goes with the label.
func TestWallFollowsLabels(t *testing.T) {
	w := newWalls(t)
	w.namespace("np-shop", confined)
	policy := w.stands("np-shop", "np-shop")
	if managed := policy.Labels[mesh.ManagedByLabel]; managed != mesh.ManagedBy {
		t.Errorf("%s is %q", mesh.ManagedByLabel, managed)
	}
	if !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}) {
		t.Errorf("policyTypes %v", policy.Spec.PolicyTypes)
	}
	w.namespace("np-blog", map[string]string{"istio-injection": "enabled"})
	w.stands("np-shop", "np-shop", "np-blog")
	if _, err := w.wall("np-blog"); !apierrors.IsNotFound(err) {
		t.Errorf("a namespace that did not ask has a wall (error %v)", err)
	}
	w.namespace("np-shop", map[string]string{"istio-injection": "enabled"})
	w.falls("np-shop")
}

// TestStaged checks that a staged namespace is told of and gets nothing, and that a wall goes where its namespace is staged.
func TestStaged(t *testing.T) {
	w := newWalls(t)
	w.namespace("np-staged", map[string]string{"istio-injection": "enabled", mesh.NetworkPolicyLabel: "staged"})
	w.namespace("np-signal-of-stage", confined)
	w.stands("np-signal-of-stage", "np-staged") // the reconciler has come by
	stage := func(namespace, stage string) error {
		families, err := w.metrics.Gather()
		if err != nil {
			return err
		}
		var seen []string
		for _, f := range families {
			for _, metric := range f.GetMetric() {
				if f.GetName() == "sallyport_network_policies" && metric.GetLabel()[0].GetValue() == namespace {
					seen = append(seen, fmt.Sprintf("%s %g", metric.GetLabel()[1].GetValue(), metric.GetGauge().GetValue()))
				}
			}
		}
		if !slices.Equal(seen, []string{stage + " 1"}) {
			return fmt.Errorf("the metric of %s says %v, want %s", namespace, seen, stage)
		}
		return nil
	}
	if err := errors.Join(stage("np-staged", "staged"), stage("np-signal-of-stage", "enforced")); err != nil {
		t.Error(err)
	}
	if _, err := w.wall("np-staged"); !apierrors.IsNotFound(err) {
		t.Errorf("a staged namespace has a wall (error %v)", err)
	}
	w.namespace("np-staged", confined)
	w.stands("np-staged")
	w.namespace("np-staged", map[string]string{"istio-injection": "enabled", mesh.NetworkPolicyLabel: "staged"})
	w.falls("np-staged")
}

// TestWallFollowsNodes checks that a Node's range of pods arrives in the policy around the gateway.
func TestWallFollowsNodes(t *testing.T) {
	w := newWalls(t)
	w.namespace("istio-system", map[string]string{mesh.NetworkPolicyLabel: "enabled"})
	const cidr = "198.51.100.0/26"
	excepts := func() ([]string, error) {
		p, err := w.NetworkingV1().NetworkPolicies("istio-system").Get(w.t.Context(), "sallyport-gateway-istio-egressgateway", metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		var out []string
		for _, rule := range p.Spec.Egress {
			for _, peer := range rule.To {
				if peer.IPBlock != nil {
					out = append(out, peer.IPBlock.Except...)
				}
			}
		}
		return out, nil
	}
	w.eventually("the policy around the gateway", func() error {
		have, err := excepts()
		if err == nil && slices.Contains(have, cidr) {
			t.Fatal("the range is closed already: the test proves nothing")
		}
		return err
	})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "np-node"}, Spec: corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}}}
	if _, err := w.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.CoreV1().Nodes().Delete(context.Background(), node.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	w.eventually("the node's pods in the policy around the gateway", func() error {
		have, err := excepts()
		if err == nil && !slices.Contains(have, cidr) {
			err = fmt.Errorf("closed are %v", have)
		}
		return err
	})
	w.namespace("istio-system", nil)
}

// TestWallFollowsServices checks that the gateway's target ports arrive in the wall.
func TestWallFollowsServices(t *testing.T) {
	w := newWalls(t)
	w.namespace("np-ports", confined)
	w.stands("np-ports")
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-egressgateway", Namespace: "istio-system"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"istio": "egressgateway"},
			Ports:    []corev1.ServicePort{{Name: "tls", Port: 443, TargetPort: intstr.FromInt32(18443)}},
		},
	}
	services := w.CoreV1().Services("istio-system")
	if _, err := services.Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := services.Delete(context.Background(), service.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	w.eventually("the target port in the wall", func() error {
		policy, err := w.wall("np-ports")
		if err != nil {
			return err
		}
		for _, rule := range policy.Spec.Egress {
			if len(rule.Ports) == 1 && rule.Ports[0].Port.IntValue() == 18443 {
				return nil
			}
		}
		return errors.New("no rule has it")
	})
}

// TestWallIsRepaired checks that a change and a deletion by somebody else are undone, and that what is right is left alone.
func TestWallIsRepaired(t *testing.T) {
	w := newWalls(t)
	w.namespace("np-drift", confined)
	before := w.stands("np-drift")
	policies := w.NetworkingV1().NetworkPolicies("np-drift")

	// What Sallyport never sets is taken away as well.
	open := []byte(`{"spec": {"egress": [{}], "ingress": [{}]}, "metadata": {"labels": {"app.kubernetes.io/managed-by": "me", "mine": "yes"}}}`)
	if _, err := policies.Patch(t.Context(), netpol.EgressName, types.MergePatchType, open, metav1.PatchOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	var repaired *networkingv1.NetworkPolicy
	w.eventually("the repair", func() error {
		var err error
		if repaired, err = w.wall("np-drift"); err != nil {
			return err
		}
		if d := cmp.Diff(before.Spec, repaired.Spec); d != "" || repaired.Labels[mesh.ManagedByLabel] != mesh.ManagedBy {
			return fmt.Errorf("(-before +after):\n%s", d)
		}
		return nil
	})
	if repaired.Labels["mine"] != "yes" {
		t.Error("the repair took a label away that is not Sallyport's")
	}

	if err := policies.Delete(t.Context(), netpol.EgressName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	again := w.stands("np-drift")

	// Something that concerns everybody, and changes nothing here.
	w.namespace("np-unrelated", nil)
	w.namespace("np-signal", confined)
	w.stands("np-drift", "np-signal")
	settled := w.stands("np-signal")
	time.Sleep(500 * time.Millisecond)
	if now := w.stands("np-signal"); now.ResourceVersion != settled.ResourceVersion {
		t.Error("a policy that was right was written again")
	}
	if again.UID == before.UID {
		t.Error("the policy was not deleted: the test proves nothing")
	}
}

// TestForeignPolicyStays checks that a policy of a reserved name that somebody else wrote is neither changed nor deleted.
func TestForeignPolicyStays(t *testing.T) {
	w := &walls{Clientset: kubernetes.NewForConfigOrDie(plane.Config), t: t}
	w.namespace("np-foreign", nil)
	policies := w.NetworkingV1().NetworkPolicies("np-foreign")
	theirs, err := policies.Create(t.Context(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: netpol.EgressName, Labels: map[string]string{mesh.ManagedByLabel: mesh.ManagedBy}},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}, metav1.CreateOptions{FieldManager: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	newWalls(t)
	w.namespace("np-foreign", confined)
	w.namespace("np-witness", confined)
	w.stands("np-witness", "np-foreign") // the reconciler has come by
	time.Sleep(500 * time.Millisecond)
	w.namespace("np-foreign", nil)
	time.Sleep(500 * time.Millisecond)
	now, err := w.wall("np-foreign")
	if err != nil || now.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("the policy of somebody else was touched (error %v)", err)
	}
}

// TestForeignPolicyIsNoObstacle has somebody else's policy under the name of one gateway's: the other gateway of the namespace
// gets its own all the same, and what nobody wants any more goes.
func TestForeignPolicyIsNoObstacle(t *testing.T) {
	w := &walls{Clientset: kubernetes.NewForConfigOrDie(plane.Config), t: t}
	const namespace = "np-gateways"
	w.namespace(namespace, nil)
	policies := w.NetworkingV1().NetworkPolicies(namespace)
	put := func(name, manager string) {
		t.Helper()
		if _, err := policies.Create(t.Context(), &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{mesh.ManagedByLabel: mesh.ManagedBy}},
		}, metav1.CreateOptions{FieldManager: manager}); err != nil {
			t.Fatal(err)
		}
	}
	put("sallyport-gateway-one", "somebody")
	put("sallyport-gateway-gone", reconcile.FieldManager)
	newWalls(t, func(s *mesh.Settings, _ *reconcile.PolicyOptions) {
		for _, name := range []string{"one", "two"} {
			s.Gateways = append(s.Gateways, mesh.EgressGateway{Name: name, Namespace: namespace, Service: name, Selector: map[string]string{"istio": name}})
		}
	})
	w.namespace(namespace, map[string]string{mesh.NetworkPolicyLabel: "enabled"})
	w.eventually("the policy of the other gateway, and the end of the old one", func() error {
		if _, err := policies.Get(t.Context(), "sallyport-gateway-two", metav1.GetOptions{}); err != nil {
			return err
		}
		if _, err := policies.Get(t.Context(), "sallyport-gateway-gone", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the old one is still there (error %v)", err)
		}
		return nil
	})
	theirs, err := policies.Get(t.Context(), "sallyport-gateway-one", metav1.GetOptions{})
	if err != nil || len(theirs.Spec.Egress) > 0 {
		t.Errorf("the policy of somebody else was touched (error %v)", err)
	}
}

// TestGatewayIsSurrounded checks that the API server takes the policy around the gateway, IPv6 ranges and all.
func TestGatewayIsSurrounded(t *testing.T) {
	w := newWalls(t)
	w.namespace("istio-system", map[string]string{mesh.NetworkPolicyLabel: "enabled"})
	get := func() error {
		_, err := w.NetworkingV1().NetworkPolicies("istio-system").Get(t.Context(), "sallyport-gateway-istio-egressgateway", metav1.GetOptions{})
		return err
	}
	w.eventually("the policy around the gateway", get)
	if _, err := w.wall("istio-system"); !apierrors.IsNotFound(err) {
		t.Errorf("the control plane is walled (error %v)", err)
	}
	w.namespace("istio-system", nil)
	w.eventually("its end", func() error {
		if err := get(); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there (error %v)", err)
		}
		return nil
	})
}
