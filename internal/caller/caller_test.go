package caller_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/internal/caller"
)

func authority(t *testing.T) *controlplane.CA {
	t.Helper()
	ca, err := controlplane.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// client is a client certificate.
func client(t *testing.T, ca *controlplane.CA, name string) *tls.Certificate {
	t.Helper()
	pair, err := ca.ClientCert(name, "some:group")
	if err != nil {
		t.Fatal(err)
	}
	return certificate(t, pair)
}

func certificate(t *testing.T, pair controlplane.KeyPair) *tls.Certificate {
	t.Helper()
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

// guarded is a server that says "" to callers that are proven, and why not to
// others, and the file of its authorities.
func guarded(t *testing.T, ca *controlplane.CA, names ...string) (url string, roots *x509.CertPool, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	check, err := caller.New(file, names, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := check.Verify(r.TLS); err != nil {
			_, _ = io.WriteString(w, err.Error())
		}
	}))
	serving := authority(t)
	pair, err := serving.ServerCert("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*certificate(t, pair)}}
	check.Ask(s.TLS)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(serving.PEM)
	return s.URL, roots, file
}

// with is a client that presents a certificate whoever is asked for, or none.
func with(t *testing.T, roots *x509.CertPool, cert *tls.Certificate) *http.Client {
	cfg := &tls.Config{RootCAs: roots}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func ask(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestWhoIsProven presents real certificates over TLS.
func TestWhoIsProven(t *testing.T) {
	ca, other := authority(t), authority(t)
	url, roots, _ := guarded(t, ca, "kube-apiserver", "api.example.com")
	serving := func(ca *controlplane.CA, name string) *tls.Certificate {
		pair, err := ca.ServerCert(name)
		if err != nil {
			t.Fatal(err)
		}
		return certificate(t, pair)
	}
	for _, tt := range []struct {
		name string
		cert *tls.Certificate
		want string // of the reason; "" where it is proven
	}{
		{"the right one", client(t, ca, "kube-apiserver"), ""},
		{"another name that is allowed", client(t, ca, "api.example.com"), ""},
		{"none", nil, "no client certificate was presented"},
		{"of another authority", client(t, other, "kube-apiserver"), "unknown authority"},
		{"of the right authority, for another name", client(t, ca, "system:node:one"), `the names ["system:node:one"]`},
		{"a serving certificate", serving(ca, "api.example.com"), "incompatible key usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // the second time it may be remembered
				got := ask(t, with(t, roots, tt.cert), url)
				if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
					t.Errorf("%q, want %q", got, tt.want)
				}
			}
		})
	}
}

// TestAuthoritiesAreReadAgain replaces the authority while a connection stands:
// certificates of the old one prove nothing any more, those of the new one do.
// What is no certificate leaves the last ones in force.
func TestAuthoritiesAreReadAgain(t *testing.T) {
	before, after := authority(t), authority(t)
	url, roots, file := guarded(t, before, "kube-apiserver")
	old, next := with(t, roots, client(t, before, "kube-apiserver")), with(t, roots, client(t, after, "kube-apiserver"))
	if got := ask(t, old, url); got != "" {
		t.Fatalf("at first: %s", got)
	}
	for _, step := range []struct {
		name, content string
		old, next     bool
	}{
		{"both", string(slices.Concat(before.PEM, after.PEM)), true, true},
		{"the new one", string(after.PEM), false, true},
		{"what is no certificate", "<html>", false, true},
		{"nothing", "", false, true},
		{"the old one again", string(before.PEM), true, false},
	} {
		if err := os.WriteFile(file, []byte(step.content), 0o600); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for {
			got := []bool{ask(t, old, url) == "", ask(t, next, url) == ""}
			if slices.Equal(got, []bool{step.old, step.next}) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: proven are %v", step.name, got)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func TestNeedsAuthorities(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"/nowhere/ca.crt": "server.clientCertificate.ca", empty: "no certificate in PEM"} {
		if _, err := caller.New(file, []string{"a"}, logr.Discard()); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}
