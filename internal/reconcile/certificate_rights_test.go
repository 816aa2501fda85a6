package reconcile

import (
	"context"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// withoutRights is a client that may not read Certificates, as the manifests leave it.
type withoutRights struct{ client.Client }

func (withoutRights) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return apierrors.NewForbidden(schema.GroupResource{Group: certmanager.SchemeGroupVersion.Group, Resource: "certificates"}, "", nil)
}

// TestNoRightToCertificates: without issuers in the configuration nothing is
// missing, and nothing is said; with one, log and entry say what is missing.
func TestNoRightToCertificates(t *testing.T) {
	issuer := mesh.Issuer{Kind: "ClusterIssuer", Name: "partner-ca", CommonName: "sallyport"}
	host := "issued.partner.com"
	secret := companion.IssuedSecret(issuer, host)
	settings := mesh.DefaultSettings()
	rule := &mesh.DestinationRule{
		Meta: mesh.Meta{Ref: mesh.Ref{Kind: "DestinationRule", Namespace: "istio-system", Name: companion.OriginationName(host)}},
		Host: host, TrafficPolicy: &mesh.TrafficPolicy{PortLevelSettings: []mesh.PortPolicy{{TLS: &mesh.ClientTLS{CredentialName: secret}}}},
	}
	var log strings.Builder
	c := &Companions{
		client: withoutRights{}, credentials: map[credentialKey]credentialState{},
		options: Options{Log: funcr.New(func(_, args string) { log.WriteString(args + "\n") }, funcr.Options{})},
	}
	c.keepCertificates(t.Context(), mesh.New(settings, rule), "istio-system")
	if log.Len() > 0 || len(c.credentials) > 0 {
		t.Errorf("without issuers: log %q, credentials %v", log.String(), c.credentials)
	}

	settings.Grants = []mesh.Grant{{Issuer: issuer, Hosts: []string{host}, Namespaces: []string{"issued"}}}
	key := credentialKey{"istio-system", secret}
	c.credentials[key] = credentialState{text: "Sallyport has no right to Certificates in namespace istio-system, where the client certificate is to be (manifests/issuers.yaml)"}
	c.keepCertificates(t.Context(), mesh.New(settings, rule), "istio-system") // no news: no host is queued
	if !strings.Contains(log.String(), "manifests/issuers.yaml") {
		t.Errorf("with an issuer the log says %q", log.String())
	}
	if state := c.credentials[key]; state.ready || !strings.Contains(state.text, "no right to Certificates in namespace istio-system") {
		t.Errorf("with an issuer the state is %+v", state)
	}
}
