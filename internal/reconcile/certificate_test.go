package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/reconcile"
)

// TestClientCertificateIsKept: where the credential names an issuer, there is
// a Certificate while some entry uses it, the entry is held until cert-manager
// has issued it, and its owner is told how long it is valid.
func TestClientCertificateIsKept(t *testing.T) {
	issuer := mesh.Issuer{Kind: "ClusterIssuer", Name: "partner-ca", CommonName: "sallyport"}
	t.Run("by name", func(t *testing.T) {
		testCertificate(t, "mutual", "partner-client", "client-certificate: partner", func(s *mesh.Settings) {
			s.Credentials = []mesh.Credential{{
				Name: "partner", Hosts: []string{"mutual.partner.com"}, Namespaces: []string{"mutual"}, Secret: "partner-client", Issuer: issuer,
			}}
		})
	})
	t.Run("by issuer", func(t *testing.T) {
		testCertificate(t, "issued", companion.IssuedSecret(issuer, "issued.partner.com"), "issuer: partner-ca", func(s *mesh.Settings) {
			s.Grants = []mesh.Grant{{Issuer: issuer, Hosts: []string{"issued.partner.com"}, Namespaces: []string{"issued"}}}
		})
	})
}

func testCertificate(t *testing.T, namespace, secret, annotation string, configure func(*mesh.Settings)) {
	host := namespace + ".partner.com"
	if err := plane.InstallCRDs(t.Context(), controlplane.CertManagerCRDs); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := certmanager.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	certificates, err := client.New(plane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, namespace)
	configure(&c.settings)
	c.run(func(o *reconcile.Options) { o.CertificatePoll = 50 * time.Millisecond })
	c.create(strings.Replace(held(namespace, "api", host, `{number: 80, name: http, protocol: HTTP, targetPort: 443}`),
		"annotations: {", "annotations: {sallyport.io/"+annotation+", ", 1))

	var cert certmanager.Certificate
	key := client.ObjectKey{Namespace: "istio-system", Name: secret}
	c.eventually("the Certificate", func() error { return certificates.Get(t.Context(), key, &cert) })
	if cert.Spec.SecretName != secret || cert.Spec.IssuerRef.Name != "partner-ca" || cert.Spec.CommonName != "sallyport" {
		t.Errorf("the Certificate asks for %+v", cert.Spec)
	}
	c.says("Warning Held " + host + ": the client certificate has")
	if got := c.entry(namespace, "api").Spec.ExportTo; got[0] != "~" {
		t.Errorf("exportTo is %v before there is a certificate", got)
	}

	// cert-manager issues it.
	notAfter := metav1.NewTime(time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC))
	c.eventually("the Certificate's status to be written", func() error {
		if err := certificates.Get(t.Context(), key, &cert); err != nil {
			return err
		}
		cert.Status.NotAfter = &notAfter
		cert.Status.Conditions = []certmanager.CertificateCondition{{Type: certmanager.CertificateConditionReady, Status: cmmeta.ConditionTrue}}
		return certificates.Status().Update(t.Context(), &cert)
	})
	entry := c.opens(namespace, "api")
	if got := entry.Annotations[mesh.StatusAnnotation]; !strings.Contains(got, "client certificate valid until 2027-01-02T03:04:05Z") {
		t.Errorf("%s is %q", mesh.StatusAnnotation, got)
	}
	var rule networking.DestinationRule
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "istio-system", Name: companion.OriginationName(host)}, &rule); err != nil {
		t.Fatal(err)
	}
	if got := rule.Spec.TrafficPolicy.PortLevelSettings[0].Tls.CredentialName; got != secret {
		t.Errorf("the gateway presents %q", got)
	}

	// Without the label it is not among those that are looked through.
	c.eventually("the Certificate to be changed", func() error {
		if err := certificates.Get(t.Context(), key, &cert); err != nil {
			return err
		}
		cert.Labels, cert.Spec.CommonName = nil, "somebody"
		return certificates.Update(t.Context(), &cert)
	})
	c.eventually("the Certificate to be repaired", func() error {
		if err := certificates.Get(t.Context(), key, &cert); err != nil {
			return err
		}
		if cert.Spec.CommonName != "sallyport" || cert.Labels[mesh.ManagedByLabel] != mesh.ManagedBy {
			return fmt.Errorf("it asks for %q, with labels %v", cert.Spec.CommonName, cert.Labels)
		}
		return nil
	})

	if err := c.Delete(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	c.eventually("the Certificate to be gone", func() error {
		err := certificates.Get(context.Background(), key, &cert)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there, or: %w", err)
	})
}
