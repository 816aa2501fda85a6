package policysource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fetchTimeout bounds one fetch of a bundle.
const fetchTimeout = 30 * time.Second

// Remote says where a bundle is fetched, and how.
type Remote struct {
	// URL is the bundle's, by HTTPS.
	URL string
	// Interval is the time between two fetches.
	Interval time.Duration
	// TokenFile, if any, has the bearer token; CAFile, if any, the authorities
	// that may have signed the server's certificate. Both are read for each
	// fetch, for both change while the server runs.
	TokenFile, CAFile string
	// Cache is the folder that keeps the bundle in force, or empty.
	Cache string
}

// bundleURL is an OPA bundle that a server hands out.
type bundleURL struct {
	name         string
	remote       Remote
	verification Verification

	last *Snapshot // good, under the ETag
	etag string
}

// BundleURL returns the source that is an OPA bundle behind an URL.
func BundleURL(name string, r Remote, v Verification) Source {
	return &bundleURL{name: name, remote: r, verification: v}
}

func (b *bundleURL) Name() string { return b.name }

func (b *bundleURL) Remote() bool { return true }

func (b *bundleURL) Wait(ctx context.Context, failures int) {
	if failures > 0 {
		pause(ctx, backoff(failures))
		return
	}
	pause(ctx, jitter(b.remote.Interval))
}

// Fetch asks the server. Where that fails and never went well since the start,
// it returns what was kept, if anything was.
func (b *bundleURL) Fetch(ctx context.Context) (Snapshot, error) {
	s, err := b.fetch(ctx)
	if err == nil {
		return s, nil
	}
	err = fmt.Errorf("bundle %s: %s: %w", b.name, b.remote.URL, err)
	if b.last != nil || b.remote.Cache == "" {
		return Snapshot{}, err
	}
	kept, keptErr := b.kept()
	switch {
	case errors.Is(keptErr, os.ErrNotExist):
		return Snapshot{}, err
	case keptErr != nil:
		return Snapshot{}, errors.Join(err, keptErr)
	}
	kept.Stale = err
	return kept, nil
}

// kept reads what [bundleURL.keep] wrote.
func (b *bundleURL) kept() (Snapshot, error) {
	s, err := readBundleFile(b.cacheFile(), b.verification)
	if err != nil {
		return s, fmt.Errorf("bundle %s: what was kept in %s: %w", b.name, b.cacheFile(), err)
	}
	return s, nil
}

func (b *bundleURL) fetch(ctx context.Context) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	client, err := b.client()
	if err != nil {
		return Snapshot{}, err
	}
	defer client.CloseIdleConnections()
	req, err := b.request(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL of a redirect, which may hold a token
		}
		return Snapshot{}, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && b.last != nil:
		return *b.last, nil
	case resp.StatusCode != http.StatusOK:
		_, _ = io.CopyN(io.Discard, resp.Body, 4096) // lets the connection end in order
		return Snapshot{}, fmt.Errorf("the server answers %s%s", resp.Status, remedy(resp.StatusCode))
	}
	packed, err := readLimited(resp.Body)
	if err != nil {
		return Snapshot{}, err
	}
	s, err := readBundle(packed, b.verification, time.Now())
	if err != nil {
		return Snapshot{}, err
	}
	if b.remote.Cache != "" {
		s.keep, s.kept = func() error { return b.keep(packed) }, b.kept
	}
	// A bundle that was refused has no ETag here: it is fetched and refused
	// again, so that nobody takes it for the one before it.
	b.last, b.etag = &s, resp.Header.Get("ETag")
	return s, nil
}

func (b *bundleURL) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.remote.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/gzip, application/vnd.openpolicyagent.bundles, */*;q=0.5")
	req.Header.Set("User-Agent", "sallyport-webhook")
	if b.etag != "" {
		req.Header.Set("If-None-Match", b.etag)
	}
	if b.remote.TokenFile != "" {
		token, err := os.ReadFile(b.remote.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("bearer token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return req, nil
}

func (b *bundleURL) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if b.remote.CAFile != "" {
		ca, err := os.ReadFile(b.remote.CAFile)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("authorities: %s holds no certificate in PEM", b.remote.CAFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   config,
			ForceAttemptHTTP2: true,
			// A bundle is compressed, and some stores label it so: it is not to
			// be unpacked on the way.
			DisableCompression: true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case req.URL.Scheme != "https":
				return errors.New("the server redirects to an address without TLS")
			case len(via) >= 5:
				return errors.New("the server redirects more than five times")
			}
			return nil
		},
	}, nil
}

func remedy(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "; look at tokenFile"
	case http.StatusNotFound:
		return "; look at url"
	}
	return ""
}

func (b *bundleURL) cacheFile() string {
	return filepath.Join(b.remote.Cache, b.name+".tar.gz")
}

// keep writes the bundle where [bundleURL.Fetch] finds it after a restart,
// whole or not at all.
func (b *bundleURL) keep(packed []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("bundle %s: keeping it in %s: %w", b.name, b.remote.Cache, err)
		}
	}()
	f, err := os.CreateTemp(b.remote.Cache, b.name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone by then, where all went well
	_, err = f.Write(packed)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), b.cacheFile())
}
