package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Facts are what is known about a cluster.
type Facts struct {
	// Settings are those of Sallyport's server, Namespace and Account the
	// namespace and name of its service account.
	Settings           mesh.Settings
	Namespace, Account string
	// Now is when the facts were gathered.
	Now time.Time
	// Probes are the answers to the writes of [Facts.ProbeObjects], by name.
	Probes map[string]Probe

	// missing has the reason why a query was not answered.
	missing map[Query]string
	// files is true where the facts come from files.
	files bool
	// seen are the kinds of which there is an object.
	seen map[string]bool

	configMaps   []corev1.ConfigMap
	secrets      []corev1.Secret
	nodes        []corev1.Node
	pods         []pod
	services     []corev1.Service
	slices       []discoveryv1.EndpointSlice
	daemonSets   []appsv1.DaemonSet
	budgets      []policyv1.PodDisruptionBudget
	netpols      []networkingv1.NetworkPolicy
	mutating     []admissionv1.MutatingWebhookConfiguration
	validating   []admissionv1.ValidatingWebhookConfiguration
	certificates []certificate
	peers        []peerAuthentication

	model []mesh.Object
	mesh  func() *mesh.Mesh
}

// pod is a pod and what the rules make of it.
type pod struct {
	corev1.Pod
	workload mesh.Object
}

func (p *pod) ref() mesh.Ref { return ref("Pod", &p.ObjectMeta) }

// certificate is as much of cert-manager's Certificate as is asked about.
type certificate struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		SecretName string   `json:"secretName"`
		DNSNames   []string `json:"dnsNames"`
	} `json:"spec"`
	Status struct {
		NotAfter   *metav1.Time `json:"notAfter"`
		Conditions []struct {
			Type    string `json:"type"`
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"conditions"`
	} `json:"status"`
}

// peerAuthentication is Istio's PeerAuthentication.
type peerAuthentication struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector *struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		MTLS          mutualTLS            `json:"mtls"`
		PortLevelMTLS map[string]mutualTLS `json:"portLevelMtls"`
	} `json:"spec"`
}

type mutualTLS struct {
	Mode string `json:"mode"`
}

// NewFacts returns facts of a cluster of which nothing is known to exist.
func NewFacts(s mesh.Settings, namespace, account string, now time.Time) *Facts {
	f := &Facts{
		Settings: s, Namespace: namespace, Account: account, Now: now,
		Probes:  map[string]Probe{},
		missing: map[Query]string{},
		seen:    map[string]bool{},
	}
	f.mesh = sync.OnceValue(func() *mesh.Mesh { return mesh.New(s, f.model...) })
	return f
}

// Mesh is the mesh that the objects form. No object may be added afterwards.
func (f *Facts) Mesh() *mesh.Mesh { return f.mesh() }

// Miss takes down why a query was not answered.
func (f *Facts) Miss(q Query, why string) { f.missing[q] = why }

// MissUnseen takes down, of every kind of which no object was added, that
// there may be some: files hold what somebody put into them.
func (f *Facts) MissUnseen(why string) {
	f.files = true
	for _, q := range f.Queries() {
		if !f.seen[q.Kind] {
			f.Miss(q, why)
		}
	}
}

// Add takes in one object, its JSON with apiVersion and kind. Objects of kinds
// that no check asks about are passed over. What cannot be decoded is an
// error, and of its kind not all is known then.
func (f *Facts) Add(raw []byte) error {
	var head struct {
		metav1.TypeMeta
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return fmt.Errorf("object is not a Kubernetes object: %w", err)
	}
	group, _, found := strings.Cut(head.APIVersion, "/")
	if !found {
		group = ""
	}
	of, _ := apikind.Of(group, head.Kind)
	kind := of.Name
	s, ok := sources[kind]
	if !ok {
		return nil
	}
	f.seen[kind] = true
	if err := s.add(f, raw); err != nil {
		err = fmt.Errorf("%s: %w", mesh.Ref{Kind: kind, Namespace: head.Metadata.Namespace, Name: head.Metadata.Name}, err)
		f.Miss(Query{Kind: kind}, err.Error())
		return err
	}
	return nil
}

// take decodes objects of one type into a list.
func take[T any](list func(*Facts) *[]T) func(*Facts, []byte) error {
	return func(f *Facts, raw []byte) error {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		l := list(f)
		*l = append(*l, v)
		return nil
	}
}

// model decodes objects into the model, which may not hold the kind.
func model(f *Facts, raw []byte) error {
	o, err := mesh.Decode(raw)
	switch {
	case errors.Is(err, mesh.ErrUnknownKind):
		return nil
	case err == nil:
		f.model = append(f.model, o)
	}
	return err
}

// both decodes an object twice: the model keeps less than some check asks.
func both(first, second func(*Facts, []byte) error) func(*Facts, []byte) error {
	return func(f *Facts, raw []byte) error {
		return errors.Join(first(f, raw), second(f, raw))
	}
}

func addPod(f *Facts, raw []byte) error {
	var p pod
	if err := json.Unmarshal(raw, &p.Pod); err != nil {
		return err
	}
	p.ManagedFields = nil // half of an object, and nobody's question here
	var err error
	if p.workload, err = mesh.Decode(raw); err == nil {
		f.pods = append(f.pods, p)
		if p.istiod() != nil {
			f.model = append(f.model, p.workload) // verdicts depend on its version
		}
	}
	return err
}

// ref names an object.
func ref(kind string, o *metav1.ObjectMeta) mesh.Ref {
	return mesh.Ref{Kind: kind, Namespace: o.Namespace, Name: o.Name}
}
