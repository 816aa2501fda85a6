package policysource

import (
	"encoding/pem"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// bundleServer hands out a bundle by HTTPS, to those who have the token.
type bundleServer struct {
	*httptest.Server
	ca, token string // files

	mu      sync.Mutex
	packed  []byte
	status  int
	goTo    string
	sent    int // bundles
	matched int // requests answered with 304
}

func serveBundle(t *testing.T, packed []byte) *bundleServer {
	t.Helper()
	s := &bundleServer{packed: packed, ca: filepath.Join(t.TempDir(), "ca.pem"), token: filepath.Join(t.TempDir(), "token")}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(t.Output(), "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	write(t, s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	write(t, s.token, []byte("open sesame\n"))
	return s
}

func (s *bundleServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	etag := fmt.Sprintf(`"%x"`, newSnapshot("", map[string][]byte{"bundle": s.packed}).digest)
	switch {
	case s.goTo != "":
		http.Redirect(w, r, s.goTo, http.StatusFound)
	case s.status != 0:
		w.WriteHeader(s.status)
	case r.Header.Get("Authorization") != "Bearer open sesame":
		w.WriteHeader(http.StatusUnauthorized)
	case r.Header.Get("If-None-Match") == etag:
		s.matched++
		w.WriteHeader(http.StatusNotModified)
	default:
		s.sent++
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Encoding", "gzip") // as some object stores label a tar.gz file
		_, _ = w.Write(s.packed)
	}
}

// hold changes what the server hands out.
func (s *bundleServer) hold(packed []byte, status int, goTo string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packed, s.status, s.goTo = packed, status, goTo
}

func (s *bundleServer) counts() (sent, matched int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.matched
}

func (s *bundleServer) remote() Remote {
	return Remote{URL: s.URL + "/platform.tar.gz", Interval: 20 * time.Millisecond, TokenFile: s.token, CAFile: s.ca}
}

// TestBundleURL follows a bundle on a server: a new one replaces the old, and
// a server that has nothing new sends nothing.
func TestBundleURL(t *testing.T) {
	key := newKey(t, "ES256")
	signed := &signature{key: key, keyID: "default"}
	server := serveBundle(t, build(t, "v1", freeze("frozen", "frozen"), nil, signed))
	l := start(t, options(t, BundleURL("platform", server.remote(), key.verification())))
	eventually(t, l.Waiting)
	eventually(t, func() error {
		if sent, matched := server.counts(); sent != 1 || matched < 3 {
			return fmt.Errorf("%d bundles sent and %d requests matched the ETag", sent, matched)
		}
		return nil
	})
	first := l.Judge()
	if got := inForce(l); got != "in-go freeze" {
		t.Errorf("in force: %q", got)
	}
	server.hold(build(t, "v2", freeze("closed", "closed"), nil, signed), 0, "")
	eventually(t, func() error {
		if s := l.Status().Sources[0]; s.Revision != "v2" {
			return fmt.Errorf("in force: %+v", s)
		}
		return nil
	})
	if l.Judge() == first {
		t.Error("the judge is the old one")
	}
	if sent, _ := server.counts(); sent != 2 {
		t.Errorf("%d bundles sent, want 2", sent)
	}
}

// TestBundleURLRefused has a server hand out everything but a good bundle: the
// policies before stay in force, and the reason is said.
func TestBundleURLRefused(t *testing.T) {
	key := newKey(t, "RS256")
	signed := &signature{key: key, keyID: "default"}
	good := build(t, "v1", freeze("frozen", "frozen"), nil, signed)
	server := serveBundle(t, good)
	source := BundleURL("platform", server.remote(), key.verification())
	l, err := New(t.Context(), options(t, source))
	if err != nil {
		t.Fatal(err)
	}
	try := func() {
		l.fetch(t.Context(), l.sources[0])
		_ = l.load(t.Context()) // the status has the error
	}
	try()
	first := l.Judge()
	if l.Waiting() != nil {
		t.Fatal(l.Waiting())
	}
	type answer struct {
		packed []byte
		status int
		goTo   string
		want   string
	}
	answers := map[string]answer{
		"absent":       {nil, http.StatusNotFound, "", "404 Not Found; look at url"},
		"overloaded":   {nil, http.StatusServiceUnavailable, "", "503 Service Unavailable"},
		"no TLS":       {nil, 0, "http://127.0.0.1:1/?token=secret", "without TLS"},
		"for ever":     {nil, 0, server.URL, "more than five times"},
		"too large":    {make([]byte, maxSize+1), 0, "", "more than 16 MiB"},
		"syntax":       {build(t, "v8", map[string]string{"freeze.rego": "package sallyport.policies.freeze\n\ndeny contains 1 if true\n"}, nil, signed), 0, "", "platform/freeze.rego"},
		"failing test": {build(t, "v8", freeze("closed", "open"), nil, signed), 0, "", "platform/freeze_test.rego:5: test test_denies fails"},
	}
	for name, r := range refusals(t, key) {
		answers["bundle with "+name] = answer{packed: r.packed, want: r.want}
	}
	for name, a := range answers {
		t.Run(name, func(t *testing.T) {
			server.hold(a.packed, a.status, a.goTo)
			for range 2 { // the second time with whatever was remembered of the first
				try()
				if err := refusedFor(l, a.want); err != nil {
					t.Error(err)
				}
				if strings.Contains(fmt.Sprint(l.Status()), "secret") {
					t.Errorf("the status has a secret: %+v", l.Status())
				}
				if l.Judge() != first {
					t.Fatal("the policies before are no longer in force")
				}
			}
			server.hold(good, 0, "")
			try()
			if s := l.Status(); s.Refused != "" || s.Sources[0].Error != "" || l.Judge() != first {
				t.Errorf("after the good bundle came back: %+v", s)
			}
		})
	}
	t.Run("no token", func(t *testing.T) {
		write(t, server.token, []byte("wrong"))
		try()
		if err := refusedFor(l, "401 Unauthorized; look at tokenFile"); err != nil {
			t.Error(err)
		}
		if err := os.Remove(server.token); err != nil {
			t.Fatal(err)
		}
		try()
		if err := refusedFor(l, "bearer token", "no such file"); err != nil {
			t.Error(err)
		}
		write(t, server.token, []byte("open sesame"))
	})
	t.Run("another authority", func(t *testing.T) {
		write(t, server.ca, []byte("none"))
		try()
		if err := refusedFor(l, "holds no certificate"); err != nil {
			t.Error(err)
		}
		strict := server.remote()
		strict.CAFile = ""
		if _, err := BundleURL("platform", strict, key.verification()).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("fetched from a server whose certificate nobody vouches for: %v", err)
		}
	})
}

// TestBundleKept starts while the server is away, with what was kept of an
// earlier run.
func TestBundleKept(t *testing.T) {
	key := newKey(t, "ES256")
	signed := &signature{key: key, keyID: "default"}
	server := serveBundle(t, build(t, "v1", freeze("frozen", "frozen"), nil, signed))
	remote := server.remote()
	remote.Cache = t.TempDir()
	create := func() *Loader {
		l, err := New(t.Context(), options(t, BundleURL("platform", remote, key.verification())))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	kept := filepath.Join(remote.Cache, "platform.tar.gz")

	l := create()
	stop := run(t, l)
	eventually(t, l.Waiting)
	eventually(t, func() error {
		_, err := os.Stat(kept)
		return err
	})
	stop()

	// What is good by its signature but refused is not kept, and what was kept is
	// in force in its place.
	server.hold(build(t, "v2", freeze("closed", "open"), nil, signed), 0, "")
	l = create()
	l.fetch(t.Context(), l.sources[0])
	if err := l.load(t.Context()); err == nil {
		t.Fatal("a failing test is in force")
	}
	if s := l.Status(); s.Sources[0].Revision != "v1" || s.Sources[0].Refused != "v2" || !strings.Contains(s.Refused, "test_denies fails") || l.Waiting() != nil {
		t.Errorf("status %+v, waiting for %v; want v1 in force and v2 refused", s, l.Waiting())
	}

	server.hold(nil, http.StatusBadGateway, "")
	l = create()
	stop = run(t, l)
	eventually(t, l.Waiting)
	s := l.Status().Sources[0]
	if s.Revision != "v1" || !strings.Contains(s.Error, "502 Bad Gateway") || !s.Fetched.IsZero() {
		t.Errorf("status %+v; want v1 in force and the server's error", s)
	}
	server.hold(build(t, "v3", freeze("closed", "closed"), nil, signed), 0, "")
	eventually(t, func() error {
		if s := l.Status().Sources[0]; s.Revision != "v3" || s.Error != "" {
			return fmt.Errorf("in force: %+v", s)
		}
		return nil
	})

	stop()

	// What lies in the folder is trusted no more than what comes from the server.
	server.hold(nil, http.StatusBadGateway, "")
	write(t, kept, build(t, "v4", freeze("thawed", "thawed"), nil, &signature{key: newKey(t, "ES256"), keyID: "default"}))
	l = create()
	defer run(t, l)()
	eventually(t, func() error { return refusedFor(l, "502 Bad Gateway", "what was kept", "verify JWT signature") })
	if l.Waiting() == nil {
		t.Errorf("in force: %+v", l.Status())
	}
}

// TestBundleFile reads a bundle from a file.
func TestBundleFile(t *testing.T) {
	key := newKey(t, "RS256")
	file := filepath.Join(t.TempDir(), "platform.tar.gz")
	write(t, file, build(t, "v1", freeze("frozen", "frozen"), nil, &signature{key: key, keyID: "default"}))
	l, err := New(t.Context(), options(t, BundleFile("platform", file, key.verification())))
	if err != nil {
		t.Fatal(err)
	}
	if got := inForce(l); got != "in-go freeze" || l.Status().Sources[0].Revision != "v1" {
		t.Errorf("in force: %q, %+v", got, l.Status())
	}
	first := l.Judge()
	write(t, file, build(t, "v2", freeze("closed", "closed"), nil, nil))
	l.fetch(t.Context(), l.sources[0])
	if err := refusedFor(l, "bundle platform", file, "missing .signatures.json"); err != nil || l.Judge() != first {
		t.Errorf("after an unsigned bundle: %v", err)
	}
	for _, absent := range []string{file + ".absent", t.TempDir()} {
		if _, err := New(t.Context(), options(t, BundleFile("platform", absent, key.verification()))); err == nil || !strings.Contains(err.Error(), absent) {
			t.Errorf("bundle in %s: %v", absent, err)
		}
	}
}

// TestBundleOfOPA reads what the program opa (1.22.2) made of the files of
// "sallyport policy new partner-hosts":
//
//	opa build --bundle policies/ --revision v1.0.0 --signing-key private.pem \
//	  --signing-alg ES256 --verification-key-id platform-2026 -o opa-build.tar.gz
func TestBundleOfOPA(t *testing.T) {
	v := Verification{Key: "testdata/opa-build.pem", KeyID: "platform-2026", Algorithm: "ES256"}
	l, err := New(t.Context(), options(t, BundleFile("platform", "testdata/opa-build.tar.gz", v)))
	if err != nil {
		t.Fatal(err)
	}
	if got := inForce(l); got != "in-go partner-hosts" || l.Status().Sources[0].Revision != "v1.0.0" {
		t.Errorf("in force: %q, %+v", got, l.Status())
	}
}
