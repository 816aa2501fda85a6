package policysource

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
)

// signingKey is a key pair as "opa build --signing-key" takes it.
type signingKey struct {
	private   string // PEM
	public    string // file
	algorithm string
}

func newKey(t *testing.T, algorithm string) signingKey {
	t.Helper()
	var key crypto.Signer
	var err error
	if strings.HasPrefix(algorithm, "ES") {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	k := signingKey{algorithm: algorithm, public: filepath.Join(t.TempDir(), "key.pem")}
	k.private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	write(t, k.public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	return k
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// verification is what the configuration says by default.
func (k signingKey) verification() Verification {
	return Verification{Key: k.public, KeyID: "default", Algorithm: k.algorithm}
}

// signature is how a bundle is signed.
type signature struct {
	key    signingKey
	keyID  string
	claims map[string]any
}

// build makes a bundle the way "opa build" does, with OPA's own functions.
func build(t *testing.T, revision string, files map[string]string, data map[string]any, s *signature) []byte {
	t.Helper()
	b := bundle.Bundle{Manifest: bundle.Manifest{Revision: revision}, Data: data}
	if data == nil {
		b.Data = map[string]any{}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		module, err := ast.ParseModuleWithOpts(name, files[name], ast.ParserOptions{ProcessAnnotation: true})
		if err != nil {
			t.Fatal(err)
		}
		b.Modules = append(b.Modules, bundle.ModuleFile{URL: name, Path: "/" + name, Raw: []byte(files[name]), Parsed: module})
	}
	b.Manifest.Init()
	if s != nil {
		config := bundle.NewSigningConfig(s.key.private, s.key.algorithm, "")
		if s.claims != nil {
			claims, err := json.Marshal(s.claims)
			if err != nil {
				t.Fatal(err)
			}
			config.ClaimsPath = filepath.Join(t.TempDir(), "claims.json")
			write(t, config.ClaimsPath, claims)
		}
		if err := b.GenerateSignature(config, s.keyID, false); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// repack changes the files of a bundle one by one, behind the signature's
// back. f returns the content, and false for a file that goes.
func repack(t *testing.T, packed []byte, f func(name string, content []byte) ([]byte, bool), more ...string) []byte {
	t.Helper()
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	put := func(name string, content []byte) {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for tr := tar.NewReader(unpacked); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if content, keep := f(h.Name, content); keep {
			put(h.Name, content)
		}
	}
	for i := 0; i < len(more); i += 2 {
		put(more[i], []byte(more[i+1]))
	}
	for _, c := range []io.Closer{tw, zw} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func asItIs(_ string, content []byte) ([]byte, bool) { return content, true }

// TestBundle reads good bundles.
func TestBundle(t *testing.T) {
	files := map[string]string{"acme/freeze.rego": freeze("frozen", "frozen")["freeze.rego"]}
	data := map[string]any{"sallyport": map[string]any{"freeze": map[string]any{"exceptions": []any{}}}}
	want := map[string]string{"acme/freeze.rego": files["acme/freeze.rego"], "data.json": `{"sallyport":{"freeze":{"exceptions":[]}}}`}
	rs, es := newKey(t, "RS256"), newKey(t, "ES256")
	scoped := rs.verification()
	scoped.Scope = "write"
	now := time.Now()
	tests := []struct {
		name         string
		packed       []byte
		verification Verification
	}{
		{"RSA", build(t, "v7", files, data, &signature{key: rs, keyID: "default"}), rs.verification()},
		{"elliptic curve", build(t, "v7", files, data, &signature{key: es, keyID: "default"}), es.verification()},
		{"scope", build(t, "v7", files, data, &signature{key: rs, keyID: "default", claims: map[string]any{"scope": "write"}}), scoped},
		{"an end that is ahead", build(t, "v7", files, data, &signature{key: rs, keyID: "default", claims: map[string]any{"exp": now.Add(time.Hour).Unix()}}), rs.verification()},
		{"unsigned, where that is allowed", build(t, "v7", files, data, nil), Verification{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := readBundle(tt.packed, tt.verification, now)
			if err != nil {
				t.Fatal(err)
			}
			if s.Revision != "v7" {
				t.Errorf("revision %q, want the manifest's", s.Revision)
			}
			if d := cmp.Diff(want, textOf(t, s)); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
		})
	}
}

// TestDataFileOfBundle checks that a data file's folder says where its content
// belongs, as in OPA.
func TestDataFileOfBundle(t *testing.T) {
	packed := repack(t, build(t, "", nil, nil, nil), func(string, []byte) ([]byte, bool) { return nil, false },
		"/sallyport/host_limit/data.json", `{"limit": 3}`, "/sallyport/allowed_ports/data.yaml", "ports: [443]\n")
	s, err := readBundle(packed, Verification{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"data.json": `{"sallyport":{"allowed_ports":{"ports":[443]},"host_limit":{"limit":3}}}`}
	if d := cmp.Diff(want, textOf(t, s)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if len(s.Revision) != 16 {
		t.Errorf("revision %q, want a digest where the manifest has none", s.Revision)
	}
}

// refusals are bundles that must not be trusted, by what is wrong with them.
func refusals(t *testing.T, key signingKey) map[string]struct {
	packed []byte
	want   string
} {
	t.Helper()
	files := freeze("frozen", "frozen")
	signed := func(s signature) []byte { return build(t, "v8", files, nil, &s) }
	good := signed(signature{key: key, keyID: "default"})
	now := time.Now()
	return map[string]struct {
		packed []byte
		want   string
	}{
		"another key":       {signed(signature{key: newKey(t, "RS256"), keyID: "default"}), "failed to verify JWT signature"},
		"another key ID":    {signed(signature{key: key, keyID: "someone"}), "key corresponding to ID someone not found"},
		"another algorithm": {signed(signature{key: signingKey{private: key.private, algorithm: "RS512"}, keyID: "default"}), "failed to verify JWT signature"},
		"another scope":     {signed(signature{key: key, keyID: "default", claims: map[string]any{"scope": "write"}}), "scope mismatch"},
		"unsigned":          {build(t, "v8", files, nil, nil), "missing .signatures.json"},
		"ended":             {signed(signature{key: key, keyID: "default", claims: map[string]any{"exp": now.Add(-time.Minute).Unix()}}), "its signature ended at"},
		"not begun":         {signed(signature{key: key, keyID: "default", claims: map[string]any{"nbf": now.Add(time.Hour).Unix()}}), "its signature begins at"},
		"not a bundle":      {[]byte("<html>please log in</html>"), "it is no bundle"},
		"cut off":           {good[:len(good)/2], "unpacking"},
		"a file more":       {repack(t, good, asItIs, "/more.rego", "package more\n"), "more.rego not included in bundle signature"},
		"a file less":       {repack(t, good, func(name string, c []byte) ([]byte, bool) { return c, name != "/freeze_test.rego" }), "freeze_test.rego"},
		"a file too large":  {repack(t, good, asItIs, "/more.rego", strings.Repeat("#", maxSize)), "more than 16 MiB"},
		"a bomb":            {repack(t, good, asItIs, "/a", strings.Repeat("0", maxSize/2), "/b", strings.Repeat("0", maxSize/2)), "more than 16 MiB"},
		"a delta":           {repack(t, good, func(string, []byte) ([]byte, bool) { return nil, false }, "/patch.json", `{"data": [{"op": "upsert", "path": "a", "value": 1}]}`), "delta bundles do not support signature"},
		"a file that differs": {repack(t, good, func(name string, c []byte) ([]byte, bool) {
			return bytes.ReplaceAll(c, []byte("frozen"), []byte("thawed")), true
		}), "digest mismatch"},
	}
}

// TestBundleRefused reads bundles that must not be trusted.
func TestBundleRefused(t *testing.T) {
	key := newKey(t, "RS256")
	for name, tt := range refusals(t, key) {
		t.Run(name, func(t *testing.T) {
			s, err := readBundle(tt.packed, key.verification(), time.Now())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("snapshot %q, error %v; want an error with %q", s.Revision, err, tt.want)
			}
		})
	}
	for name, tt := range map[string]struct {
		packed []byte
		want   string
	}{
		"delta, unsigned":      {repack(t, build(t, "", nil, nil, nil), func(string, []byte) ([]byte, bool) { return nil, false }, "/patch.json", `{"data": [{"op": "upsert", "path": "a", "value": 1}]}`), "delta bundle"},
		"Wasm, unsigned":       {repack(t, build(t, "", nil, nil, nil), asItIs, "/policy.wasm", "\x00asm"), "compiled modules"},
		"a name that leads up": {repack(t, build(t, "", nil, nil, nil), asItIs, "/a/../../b.rego", "package b\n"), "no name of a file"},
		"a hidden module":      {repack(t, build(t, "", nil, nil, nil), asItIs, "/.b.rego", "package b\n"), "hidden file"},
		"a hidden folder":      {repack(t, build(t, "", nil, nil, nil), asItIs, "/a/.git/b.rego", "package b\n"), "hidden folder"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readBundle(tt.packed, Verification{}, time.Now())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("key file", func(t *testing.T) {
		good := build(t, "v8", freeze("a", "a"), nil, &signature{key: key, keyID: "default"})
		private := filepath.Join(t.TempDir(), "private.pem")
		write(t, private, []byte(key.private))
		for file, want := range map[string]string{private: "holds no public key", "/nowhere/key.pem": "no such file"} {
			v := key.verification()
			v.Key = file
			if _, err := readBundle(good, v, time.Now()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("key in %s: %v, want %q", file, err, want)
			}
		}
	})
}
