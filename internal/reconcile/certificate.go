package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// credentialKey is a client certificate's Secret in a gateway's namespace.
type credentialKey struct{ namespace, secret string }

// credentialState is how things stand with a certificate that cert-manager
// keeps.
type credentialState struct {
	ready bool
	text  string
}

// certify keeps the cert-manager Certificates of the credentials that name an
// issuer, in the namespaces of the gateways that present them, until the
// context ends. It asks from time to time rather than watches: certificates
// are few and change rarely, and cert-manager may not be installed.
func (c *Companions) certify(ctx context.Context) {
	ticker := time.NewTicker(c.options.CertificatePoll)
	defer ticker.Stop()
	for {
		m := c.store.Mesh()
		for _, namespace := range gatewayNamespaces(m.Settings()) {
			c.keepCertificates(ctx, m, namespace)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func gatewayNamespaces(s mesh.Settings) []string {
	var out []string
	for _, g := range s.Gateways {
		out = append(out, g.Namespace)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// keepCertificates looks after the Certificates of one namespace, has the
// hosts looked at for which the state of one has changed, and deletes those
// that no host needs.
func (c *Companions) keepCertificates(ctx context.Context, m *mesh.Mesh, namespace string) {
	log := c.options.Log.WithValues("namespace", namespace)
	var have certmanager.CertificateList
	err := c.client.List(ctx, &have, client.InNamespace(namespace), client.MatchingLabels{mesh.ManagedByLabel: mesh.ManagedBy})
	issued := companion.Issued(m.Settings())
	absent, forbidden := meta.IsNoMatchError(err), apierrors.IsForbidden(err)
	if forbidden && len(issued) == 0 {
		return // nobody asks for a certificate, and nobody gave the right to
	}
	if forbidden {
		log.Error(err, "the configuration names issuers, and Sallyport has no right to Certificates: apply manifests/issuers.yaml")
	}
	if err != nil && !absent && !forbidden {
		if ctx.Err() == nil {
			log.Error(err, "looking for client certificates")
		}
		return
	}
	existing := make(map[string]*certmanager.Certificate, len(have.Items))
	for i := range have.Items {
		existing[have.Items[i].Name] = &have.Items[i]
	}
	for _, credential := range issued {
		key := credentialKey{namespace, credential.Secret}
		hosts := presentedTo(m, namespace, credential)
		if len(hosts) == 0 {
			c.credential(key, credentialState{})
			continue
		}
		state := credentialState{text: "cert-manager is not installed, which was to issue the client certificate"}
		switch {
		case forbidden:
			state.text = fmt.Sprintf("Sallyport has no right to Certificates in namespace %s, where the client certificate is to be (manifests/issuers.yaml)", namespace)
		case !absent:
			if state, err = c.ensureCertificate(ctx, existing[credential.Secret], key, credential.Issuer); err != nil {
				if ctx.Err() != nil {
					return
				}
				state.text = "the client certificate could not be asked for"
				log.Error(err, "asking for a client certificate", "secret", credential.Secret)
			}
		}
		delete(existing, credential.Secret)
		if c.credential(key, state) {
			for _, host := range hosts {
				c.enqueueHost(host)
			}
		}
	}
	for name, cert := range existing {
		if err := c.dropCertificate(ctx, cert); err != nil && ctx.Err() == nil {
			log.Error(err, "removing a client certificate that no host needs", "secret", name)
		}
	}
}

// presentedTo are the hosts to which companions in a namespace present a
// credential.
func presentedTo(m *mesh.Mesh, namespace string, credential mesh.Credential) []string {
	var hosts []string
	for _, host := range credential.Hosts {
		ref := mesh.Ref{Kind: "DestinationRule", Namespace: namespace, Name: companion.OriginationName(host)}
		if dr, ok := m.Get(ref).(*mesh.DestinationRule); ok && presents(dr, credential.Secret) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func presents(dr *mesh.DestinationRule, secret string) bool {
	return dr.TrafficPolicy != nil && slices.ContainsFunc(dr.TrafficPolicy.PortLevelSettings, func(p mesh.PortPolicy) bool {
		return p.TLS != nil && p.TLS.CredentialName == secret
	})
}

// credential notes the state of a credential, and reports whether it is news.
func (c *Companions) credential(key credentialKey, state credentialState) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news = c.credentials[key] != state
	if state == (credentialState{}) {
		delete(c.credentials, key)
	} else {
		c.credentials[key] = state
	}
	return news
}

// certificate says how things stand with the client certificate that a
// companion presents; ok is false where it presents none, or one that is not
// cert-manager's to keep.
func (c *Companions) certificate(m *mesh.Mesh, o mesh.Object) (state credentialState, ok bool) {
	dr, isRule := o.(*mesh.DestinationRule)
	if !isRule {
		return state, false
	}
	for _, credential := range companion.Issued(m.Settings()) {
		if !presents(dr, credential.Secret) {
			continue
		}
		c.mu.Lock()
		state, known := c.credentials[credentialKey{dr.Namespace, credential.Secret}]
		c.mu.Unlock()
		if !known {
			state.text = "the client certificate has not been asked for yet"
		}
		return state, true
	}
	return state, false
}

// ensureCertificate makes the Certificate exist as wanted and returns its
// state. One of the same name that Sallyport has not written is left as it is.
func (c *Companions) ensureCertificate(ctx context.Context, have *certmanager.Certificate, key credentialKey, issuer mesh.Issuer) (credentialState, error) {
	want := certificateFor(key, issuer)
	if have == nil {
		err := c.client.Create(ctx, want)
		if err == nil {
			c.metrics.wrote("create", certmanager.CertificateKind)
			return credentialState{text: "the client certificate has been asked for"}, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return credentialState{}, err
		}
		have = new(certmanager.Certificate) // without our label
		if err := c.client.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
			return credentialState{}, err
		}
	}
	if ours(have) && !(equality.Semantic.DeepDerivative(want.Spec, have.Spec) && holds(have.Labels, want.Labels)) {
		have.Spec, have.Labels = want.Spec, merged(have.Labels, want.Labels)
		if err := c.client.Update(ctx, have); err != nil {
			return credentialState{}, err
		}
		c.metrics.wrote("repair", certmanager.CertificateKind)
	}
	return stateOf(have), nil
}

func certificateFor(key credentialKey, issuer mesh.Issuer) *certmanager.Certificate {
	return &certmanager.Certificate{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.namespace,
			Name:      key.secret,
			Labels:    map[string]string{mesh.ManagedByLabel: mesh.ManagedBy},
		},
		Spec: certmanager.CertificateSpec{
			SecretName: key.secret,
			CommonName: issuer.CommonName,
			Usages:     []certmanager.KeyUsage{certmanager.UsageDigitalSignature, certmanager.UsageKeyEncipherment, certmanager.UsageClientAuth},
			PrivateKey: &certmanager.CertificatePrivateKey{RotationPolicy: certmanager.RotationPolicyAlways},
			IssuerRef:  cmmeta.IssuerReference{Name: issuer.Name, Kind: issuer.Kind, Group: certmanager.SchemeGroupVersion.Group},
		},
	}
}

func stateOf(cert *certmanager.Certificate) credentialState {
	for _, condition := range cert.Status.Conditions {
		if condition.Type != certmanager.CertificateConditionReady {
			continue
		}
		if condition.Status != cmmeta.ConditionTrue {
			return credentialState{text: fmt.Sprintf("the client certificate is not ready: %s", condition.Message)}
		}
		state := credentialState{ready: true, text: "client certificate ready"}
		if cert.Status.NotAfter != nil {
			state.text = "client certificate valid until " + cert.Status.NotAfter.UTC().Format(time.RFC3339)
		}
		return state
	}
	return credentialState{text: "the client certificate has been asked for"}
}

// dropCertificate deletes a Certificate that Sallyport has written. The Secret
// stays until cert-manager or somebody else removes it.
func (c *Companions) dropCertificate(ctx context.Context, have *certmanager.Certificate) error {
	if !ours(have) {
		return nil
	}
	if err := c.client.Delete(ctx, have, client.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion}); err != nil {
		return client.IgnoreNotFound(err)
	}
	c.metrics.wrote("delete", certmanager.CertificateKind)
	return nil
}
