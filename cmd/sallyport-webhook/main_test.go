package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asServer in the environment makes the test binary the server.
const asServer = "SALLYPORT_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run runs the server with some arguments until it ends by itself, and
// returns what it wrote to standard error.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asServer+"=1", "KUBECONFIG=", "HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("the server did not end:\n%s", stderr.Bytes())
	}
	return stderr.String(), err
}

// TestRefusesToStart checks that everything that keeps the server from
// starting is named on the last line, with what to do about it.
func TestRefusesToStart(t *testing.T) {
	certs := t.TempDir()
	writeCertificate(t, certs)
	kubeconfig := file(t, "kubeconfig", `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
`)
	badCerts := t.TempDir()
	writeCertificate(t, badCerts)
	if err := os.WriteFile(filepath.Join(badCerts, "tls.key"), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })

	good := []string{
		"--kubeconfig=" + kubeconfig, "--cert-dir=" + certs, "--leader-elect=false",
		"--webhook-bind-address=127.0.0.1:" + freePort(t), "--metrics-bind-address=0", "--health-probe-bind-address=0",
	}
	tests := []struct {
		name string
		args []string // after the good ones, which they override
		want []string
	}{
		{"unknown flag", []string{"--colour"}, []string{"unknown flag: --colour", "sallyport-webhook --help"}},
		{"argument", []string{"start"}, []string{`unknown command "start"`}},
		{"absent configuration", []string{"--config=/nowhere/sallyport.yaml"}, []string{"/nowhere/sallyport.yaml", "no such file", "--config"}},
		{"configuration is a directory", []string{"--config=" + t.TempDir()}, []string{"is a directory"}},
		{
			"misspelt field",
			[]string{"--config=" + file(t, "config.yaml", "apiVersion: sallyport.io/v1alpha1\nkind: Config\ngatways: []\n")},
			[]string{"config.yaml:3: gatways: unknown field"},
		},
		{"absent certificate", []string{"--cert-dir=" + t.TempDir()}, []string{"serving certificate", "tls.crt: no such file", "--cert-dir"}},
		{"broken key", []string{"--cert-dir=" + badCerts}, []string{"serving certificate", "--cert-dir"}},
		{"address without port", []string{"--webhook-bind-address=localhost"}, []string{"--webhook-bind-address", "missing port", "HOST:PORT"}},
		{"impossible port", []string{"--webhook-bind-address=:99999"}, []string{"--webhook-bind-address", `"99999" is not a port`}},
		{"webhook port in use", []string{"--webhook-bind-address=" + taken.Addr().String()}, []string{taken.Addr().String(), "address already in use", "--webhook-bind-address"}},
		{"metrics port in use", []string{"--metrics-bind-address=" + taken.Addr().String()}, []string{taken.Addr().String(), "address already in use", "--metrics-bind-address"}},
		{"health port in use", []string{"--health-probe-bind-address=" + taken.Addr().String()}, []string{taken.Addr().String(), "address already in use", "--health-probe-bind-address"}},
		{"absent kubeconfig", []string{"--kubeconfig=/nowhere/kubeconfig"}, []string{"finding the cluster", "/nowhere/kubeconfig"}},
		{"no cluster", []string{"--kubeconfig="}, []string{"finding the cluster", "--kubeconfig"}},
		{"absent policies", []string{"--policies=/nowhere/policies"}, []string{"/nowhere/policies", "--policies"}},
		{"policy that does not compile", []string{"--policies=" + policy(t, "package broken\n\ndeny contains x if")}, []string{"policy.rego:3"}},
		{"absent bundle", []string{"--config=" + bundleConfig(t, "/nowhere/bundle.tar.gz")}, []string{"bundle platform", "/nowhere/bundle.tar.gz", "no such file"}},
		{"file that is no bundle", []string{"--config=" + bundleConfig(t, file(t, "bundle.tar.gz", "<html>"))}, []string{"bundle platform", "it is no bundle (tar.gz)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := run(t, append(append([]string{}, good...), tt.args...)...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("the server ended with %v, want exit status 1", err)
			}
			_, message, found := strings.Cut("\n"+out, "\nerror: ")
			if !found || strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") {
				t.Fatalf("no clear error:\n%s", out)
			}
			for _, want := range tt.want {
				if !strings.Contains(message, want) {
					t.Errorf("the error lacks %q: %s", want, message)
				}
			}
		})
	}
}

// TestHelp keeps the number of flags in check: what is configuration belongs
// in the file.
func TestHelp(t *testing.T) {
	cmd := newCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n      --") + strings.Count(out.String(), "\n  -"); n > 13 { // --help is one
		t.Errorf("%d flags:\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), "--cert-dir DIR") {
		t.Errorf("the help lacks --cert-dir:\n%s", out.String())
	}
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func policy(t *testing.T, module string) string {
	t.Helper()
	return filepath.Dir(file(t, "policy.rego", module))
}

// bundleConfig is a configuration with a bundle in that file.
func bundleConfig(t *testing.T, name string) string {
	t.Helper()
	return file(t, "config.yaml", "apiVersion: sallyport.io/v1alpha1\nkind: Config\npolicies: {bundles: [{name: platform, file: "+name+", unsigned: true}]}\n")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

// writeCertificate writes a self-signed certificate for 127.0.0.1.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: cert},
		"tls.key": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
