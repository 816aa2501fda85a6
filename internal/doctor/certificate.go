package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// notice is how long before its end a certificate is to be renewed:
// cert-manager renews at two thirds of the life, which for the shipped
// certificate is 30 days before.
const notice = 14 * 24 * time.Hour

var webhookCertificate = &Check{
	Name:  "webhook-certificate",
	Group: groupServer,
	Doc: `the API server trusts the server's certificate, for two weeks at least

An expired or foreign certificate makes every call fail: with failurePolicy Fail
no write passes any more. The caBundle of both entries, and the certificate that
the server serves, must be valid for another fourteen days, name the Service, and
belong together. It is read from cert-manager's Certificate, and from the Secret
where it may be read.`,
	Sources: []string{webhookPage, "docs/server.md#install"},
	Check: func(e *Exam) {
		for _, w := range e.registered() {
			mark := e.mark()
			bundle, err := parse(w.ClientConfig.CABundle)
			at := w.at("clientConfig.caBundle")
			const injector = "kubectl -n cert-manager logs deployment/cert-manager-cainjector   # it fills the bundle"
			switch {
			case err != nil:
				e.fail(w.ref, at, injector, "%v: the API server trusts no certificate of the server", err)
				continue
			case !slices.ContainsFunc(bundle, func(c *x509.Certificate) bool { return e.left(c.NotAfter) > 0 }):
				e.fail(w.ref, at, injector, "every certificate in it has expired, the last on %s", day(last(bundle)))
			case e.left(last(bundle)) < notice:
				e.fail(w.ref, at, injector, "it expires on %s", day(last(bundle)))
			}
			e.serving(w, bundle)
			e.passed(mark, w.ref, at, "valid until %s", day(last(bundle)))
		}
	},
}

func (f *Facts) left(t time.Time) time.Duration { return t.Sub(f.Now) }

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func last(certs []*x509.Certificate) time.Time {
	var t time.Time
	for _, c := range certs {
		if c.NotAfter.After(t) {
			t = c.NotAfter
		}
	}
	return t
}

// parse reads a PEM file of certificates.
func parse(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return certs, nil
}

// serving looks at the certificate that the server of an entry serves.
func (e *Exam) serving(w entry, bundle []*x509.Certificate) {
	s := w.ClientConfig.Service
	if s == nil {
		e.unknown(w.ref, w.at("clientConfig.url"), "openssl s_client -connect HOST:PORT </dev/null | openssl x509 -noout -dates", "the server is called by URL: its certificate is not in the cluster")
		return
	}
	// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#service-reference
	name := s.Name + "." + s.Namespace + ".svc"
	ordered := e.ordered(name)
	secrets, unread := e.served()
	for i := range secrets {
		e.verify(&secrets[i], name, bundle)
	}
	switch {
	case len(secrets) > 0 || ordered:
	case unread != nil:
		e.need(*unread)
		e.need(e.certificatesIn())
	case e.need(e.certificatesIn()):
		e.unknown(serviceOf(s), "", kubectl("-n %s get certificate,secret", s.Namespace), "neither a Certificate for %s nor a Secret that the server's pods mount is there", name)
	}
}

func serviceOf(s *admissionv1.ServiceReference) mesh.Ref {
	return mesh.Ref{Kind: "Service", Namespace: s.Namespace, Name: s.Name}
}

// ordered looks at what cert-manager says of the certificate for a name, and
// reports whether there is one.
func (e *Exam) ordered(name string) bool {
	found := false
	for i := range e.certificates {
		c := &e.certificates[i]
		if c.Namespace != e.Namespace || !slices.Contains(c.Spec.DNSNames, name) {
			continue
		}
		found = true
		at := ref("Certificate", &c.ObjectMeta)
		look := kubectl("-n %s describe certificate %s", c.Namespace, c.Name)
		for _, cond := range c.Status.Conditions {
			if cond.Type == "Ready" && cond.Status != "True" {
				e.fail(at, "status.conditions", look, "cert-manager says that it is not ready: %s", cond.Message)
			}
		}
		switch until := c.Status.NotAfter; {
		case until == nil:
			e.fail(at, "status.notAfter", look, "cert-manager has not issued it")
		case e.left(until.Time) < 0:
			e.fail(at, "status.notAfter", look, "it expired on %s: no write passes", day(until.Time))
		case e.left(until.Time) < notice:
			e.fail(at, "status.notAfter", look, "it expires on %s, and cert-manager has not renewed it", day(until.Time))
		}
	}
	return found
}

// served are the TLS Secrets that the server's pods mount; unread is the query
// for one that cannot be read.
func (e *Exam) served() (secrets []corev1.Secret, unread *Query) {
	for _, q := range e.SecretQueries() {
		if _, missing := e.missing[q]; missing {
			unread = &q
		}
		for _, s := range e.secrets {
			if s.Namespace == q.Namespace && s.Name == q.Name && len(s.Data[corev1.TLSCertKey]) > 0 {
				secrets = append(secrets, s)
			}
		}
	}
	return secrets, unread
}

// SecretQueries ask for the Secrets that the server's pods mount. They are
// known once the pods are.
func (f *Facts) SecretQueries() []Query {
	var qs []Query
	for i := range f.pods {
		p := &f.pods[i]
		if p.Namespace != f.Namespace || p.Spec.ServiceAccountName != f.Account {
			continue
		}
		for _, v := range p.Spec.Volumes {
			if v.Secret == nil {
				continue
			}
			q := Query{Kind: "Secret", Namespace: p.Namespace, Name: v.Secret.SecretName}
			if !slices.Contains(qs, q) {
				qs = append(qs, q)
			}
		}
	}
	return qs
}

// verify looks at a certificate as the API server does.
func (e *Exam) verify(s *corev1.Secret, name string, bundle []*x509.Certificate) {
	at := ref("Secret", &s.ObjectMeta)
	const path = `data["tls.crt"]`
	renew := fmt.Sprintf("cmctl -n %s renew --all   # or replace the Secret, whoever keeps it", s.Namespace)
	chain, err := parse(s.Data[corev1.TLSCertKey])
	if err != nil {
		e.fail(at, path, renew, "%v", err)
		return
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range bundle {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between, CurrentTime: e.Now})
	switch {
	case e.left(chain[0].NotAfter) < 0:
		e.fail(at, path, renew, "the certificate expired on %s: no write passes", day(chain[0].NotAfter))
	case err != nil:
		e.fail(at, path, renew, "the API server does not trust it: %v", err)
	case e.left(chain[0].NotAfter) < notice:
		e.fail(at, path, renew, "the certificate expires on %s", day(chain[0].NotAfter))
	}
}
