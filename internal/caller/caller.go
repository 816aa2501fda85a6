// Package caller tells who calls: it checks the client certificate that the API
// server presents to a webhook, against authorities and names.
package caller

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// lookEvery is the time between two looks at the file of authorities.
const lookEvery = time.Second

// Check knows a caller by its certificate. It follows the file of authorities:
// one that cannot be read, or holds none, leaves those before it in force.
type Check struct {
	file  string
	names []string
	log   logr.Logger
	now   func() time.Time

	trusted atomic.Pointer[authorities]

	mu     sync.Mutex
	looked time.Time
	failed string // why the last look found nothing new, said once
}

// authorities are what a file held at some time, and the certificates that were
// found to be theirs.
type authorities struct {
	data  []byte
	pool  *x509.CertPool
	known sync.Map // raw certificate -> until when it is good
}

// New returns a check of the authorities in a file, and the names that a
// certificate of theirs may have.
func New(file string, names []string, log logr.Logger) (*Check, error) {
	c := &Check{file: file, names: names, log: log, now: time.Now}
	a, err := read(file)
	if err != nil {
		return nil, err
	}
	c.trusted.Store(a)
	c.looked = c.now()
	return c, nil
}

func read(file string) (*authorities, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authorities of client certificates: %w; name an existing file in server.clientCertificate.ca, in a pod a mounted ConfigMap or Secret", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("authorities of client certificates: %s holds no certificate in PEM", file)
	}
	return &authorities{data: data, pool: pool}, nil
}

// authorities returns those in force, having looked at the file every now and
// then.
func (c *Check) authorities() *authorities {
	c.mu.Lock()
	defer c.mu.Unlock()
	have := c.trusted.Load()
	if now := c.now(); now.Sub(c.looked) < lookEvery {
		return have
	} else {
		c.looked = now
	}
	a, err := read(c.file)
	switch {
	case err != nil:
		if err.Error() != c.failed {
			c.log.Error(err, "the authorities read before stay in force")
		}
		c.failed = err.Error()
		return have
	case bytes.Equal(a.data, have.data):
		c.failed = ""
		return have
	}
	c.failed = ""
	c.trusted.Store(a)
	c.log.Info("authorities of client certificates were read again", "file", c.file)
	return a
}

// Ask has a server ask for client certificates. It refuses none: who calls with
// none, or with one of no use, is told so in an answer.
func (c *Check) Ask(cfg *tls.Config) {
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		asking := cfg.Clone()
		asking.GetConfigForClient = nil
		asking.ClientAuth = tls.RequestClientCert
		asking.ClientCAs = c.authorities().pool // by which clients choose what they present
		return asking, nil
	}
}

// ErrNone is returned for a caller without a certificate.
var ErrNone = errors.New("no client certificate was presented")

// Verify returns nil where the connection is one of a caller whose certificate
// has one of the names and is signed by one of the authorities that are in force
// now, and why not otherwise.
func (c *Check) Verify(conn *tls.ConnectionState) error {
	if conn == nil || len(conn.PeerCertificates) == 0 {
		return ErrNone
	}
	leaf := conn.PeerCertificates[0]
	a := c.authorities()
	// Only what is signed by an authority is remembered: that is bounded by what
	// they sign, not by what callers make up.
	if until, ok := a.known.Load(string(leaf.Raw)); ok && c.now().Before(until.(time.Time)) {
		return nil
	}
	between := x509.NewCertPool()
	for _, cert := range conn.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.pool, Intermediates: between, CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("the client certificate: %w", err)
	}
	if !slices.ContainsFunc(namesOf(leaf), func(name string) bool { return slices.Contains(c.names, name) }) {
		return fmt.Errorf("the client certificate has the names %q, none of which is one of the API server's", namesOf(leaf))
	}
	until := leaf.NotAfter
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(until) {
			until = cert.NotAfter
		}
	}
	a.known.Store(string(leaf.Raw), until)
	return nil
}

// namesOf are the names that a certificate has.
func namesOf(cert *x509.Certificate) []string {
	var names []string
	if cert.Subject.CommonName != "" {
		names = append(names, cert.Subject.CommonName)
	}
	names = append(names, cert.DNSNames...)
	for _, uri := range cert.URIs {
		names = append(names, uri.String())
	}
	return names
}
