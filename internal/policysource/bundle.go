package policysource

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
)

// Verification says which bundles are to be trusted.
type Verification struct {
	// Key is the file with the public key or certificate, in PEM. It is read
	// for each bundle. Empty takes every bundle, signed or not.
	Key string
	// KeyID is the name of the key in signatures.
	KeyID string
	// Algorithm and Scope are what signatures must have.
	Algorithm, Scope string
}

// publicKeys are the types of PEM block that hold one.
var publicKeys = []string{"PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"}

// config is the verification as OPA's reader of bundles has it.
func (v Verification) config() (*bundle.VerificationConfig, error) {
	text, err := os.ReadFile(v.Key)
	if err != nil {
		return nil, fmt.Errorf("key of the signature: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || !slices.Contains(publicKeys, block.Type) {
		return nil, fmt.Errorf("key of the signature: %s holds no public key in PEM (%s)", v.Key, strings.Join(publicKeys, ", "))
	}
	keys := map[string]*bundle.KeyConfig{v.KeyID: {Key: string(text), Algorithm: v.Algorithm}}
	// Without a key ID of its own the reader looks the signature's up among the
	// keys; with one it would not look at the signature's at all.
	return bundle.NewVerificationConfig(keys, "", v.Scope, nil), nil
}

// readBundle verifies a bundle (tar.gz) and returns what it holds.
func readBundle(packed []byte, v Verification, now time.Time) (Snapshot, error) {
	if err := checkSize(packed); err != nil {
		return Snapshot{}, err
	}
	reader := bundle.NewCustomReader(bundle.NewTarballLoaderWithBaseURL(bytes.NewReader(packed), "")).
		WithRegoVersion(ast.RegoV1).
		WithProcessAnnotations(true).
		WithLazyLoadingMode(false).
		WithSizeLimitBytes(maxSize + 1)
	if v.Key == "" {
		reader = reader.WithSkipBundleVerification(true)
	} else {
		config, err := v.config()
		if err != nil {
			return Snapshot{}, err
		}
		reader = reader.WithBundleVerificationConfig(config)
	}
	b, err := reader.Read()
	if err != nil {
		return Snapshot{}, err
	}
	switch {
	case b.Type() == bundle.DeltaBundleType:
		return Snapshot{}, errors.New("it is a delta bundle; send whole ones")
	case len(b.WasmModules)+len(b.PlanModules) > 0:
		return Snapshot{}, errors.New("it holds compiled modules, which cannot be checked; build it with --target=rego")
	}
	if v.Key != "" {
		if err := checkExpiry(b.Signatures, now); err != nil {
			return Snapshot{}, err
		}
	}
	files := map[string][]byte{}
	for _, m := range b.Modules {
		name := strings.TrimPrefix(m.Path, "/")
		if !fs.ValidPath(name) {
			return Snapshot{}, fmt.Errorf("%q is no name of a file in a bundle", m.Path)
		}
		if strings.Contains("/"+name, "/.") {
			return Snapshot{}, fmt.Errorf("%s is a hidden file, or in a hidden folder, and would not be read; take the dot in front away", name)
		}
		files[name] = m.Raw
	}
	if len(b.Data) > 0 {
		// The reader has put each data file where its folder says.
		data, err := json.Marshal(b.Data)
		if err != nil {
			return Snapshot{}, err
		}
		files["data.json"] = data
	}
	return newSnapshot(b.Manifest.Revision, files), nil
}

// checkSize unpacks the bundle and throws it away: OPA's reader limits each
// file, not their sum.
func checkSize(packed []byte) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("it is no bundle (tar.gz): %w", err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(unpacked, maxSize+1))
	switch {
	case err != nil:
		return fmt.Errorf("unpacking: %w", err)
	case n > maxSize:
		return errTooLarge
	}
	return nil
}

// checkExpiry refuses a bundle whose signature has ended, by the claim exp
// ("opa sign --claims-file"), or has not begun. OPA's reader has verified the
// signature, and does not look at these claims.
func checkExpiry(s bundle.SignaturesConfig, now time.Time) error {
	for _, token := range s.Signatures {
		var claims struct {
			Expiry    json.Number `json:"exp"`
			NotBefore json.Number `json:"nbf"`
		}
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			return errors.New("signature: not a JWT")
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil {
			err = json.Unmarshal(payload, &claims)
		}
		if err != nil {
			return fmt.Errorf("signature: %w", err)
		}
		if end, ok, err := instant(claims.Expiry); err != nil {
			return fmt.Errorf("signature: claim exp: %w", err)
		} else if ok && !now.Before(end) {
			return fmt.Errorf("its signature ended at %s; sign it anew", end.Format(time.RFC3339))
		}
		if begin, ok, err := instant(claims.NotBefore); err != nil {
			return fmt.Errorf("signature: claim nbf: %w", err)
		} else if ok && now.Before(begin) {
			return fmt.Errorf("its signature begins at %s; look at the clocks", begin.Format(time.RFC3339))
		}
	}
	return nil
}

// instant is a NumericDate (RFC 7519, section 2); false where there is none.
func instant(n json.Number) (t time.Time, ok bool, err error) {
	if n == "" {
		return t, false, nil
	}
	seconds, err := n.Float64()
	return time.Unix(int64(seconds), 0).UTC(), true, err
}
