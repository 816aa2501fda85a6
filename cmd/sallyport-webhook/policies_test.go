package main

import (
	"encoding/pem"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/policysource"
)

// TestPolicySources makes the sources of a configuration, and has those that
// are bundles fetched: each field of the configuration is needed for that.
func TestPolicySources(t *testing.T) {
	data, err := filepath.Abs(filepath.Join("..", "..", "internal", "policysource", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(filepath.Join(data, "opa-build.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/platform.tar.gz" || r.Header.Get("Authorization") != "Bearer open sesame" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(packed)
	}))
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	text := strings.NewReplacer(
		"DATA", data,
		"URL", server.URL,
		"TOKEN", file(t, "token", "open sesame"),
		"CA", file(t, "ca.pem", string(authority)),
	).Replace(`apiVersion: sallyport.io/v1alpha1
kind: Config
serviceAccount: guard/sallyport
policies:
  directories: [/etc/policies]
  configMaps: enabled
  bundles:
  - {name: local, file: DATA/opa-build.tar.gz, key: DATA/opa-build.pem, keyID: platform-2026, algorithm: ES256}
  - {name: platform, url: URL/platform.tar.gz, key: DATA/opa-build.pem, keyID: platform-2026, algorithm: ES256, tokenFile: TOKEN, caFile: CA}
  - {name: open, file: DATA/opa-build.tar.gz, unsigned: true}
`)
	cfg, err := config.Parse("config.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := policySources(cfg, []string{"/more"}, &rest.Config{Host: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sources {
		names = append(names, s.Name())
	}
	if d := cmp.Diff([]string{"/etc/policies", "/more", "configmaps/guard", "local", "platform", "open"}, names); d != "" {
		t.Fatalf("sources (-want +got):\n%s", d)
	}
	for _, s := range sources[3:] {
		if snapshot, err := s.Fetch(t.Context()); err != nil || snapshot.Revision != "v1.0.0" {
			t.Errorf("%s: revision %q, %v", s.Name(), snapshot.Revision, err)
		}
	}
	for _, change := range []func(*config.Bundle){
		func(b *config.Bundle) { b.KeyID = "default" },
		func(b *config.Bundle) { b.Algorithm = "RS256" },
		func(b *config.Bundle) { b.Scope = "write" },
		func(b *config.Bundle) { b.TokenFile = "" },
		func(b *config.Bundle) { b.CAFile = "" },
	} {
		b := cfg.Policies.Bundles[1]
		change(&b)
		one := &config.Config{Policies: config.Policies{Bundles: []config.Bundle{b}}}
		sources, err := policySources(one, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sources[0].Fetch(t.Context()); err == nil {
			t.Errorf("fetched with %+v", b)
		}
	}
}

// TestNotReady tells what the server waits for: the cluster and the policies.
func TestNotReady(t *testing.T) {
	store, err := live.New(&rest.Config{Host: "http://127.0.0.1:1"}, mesh.DefaultSettings(), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	away := policysource.BundleURL("platform", policysource.Remote{URL: "https://127.0.0.1:1/"}, policysource.Verification{})
	loader, err := policysource.New(t.Context(), policysource.Options{
		Sources: []policysource.Source{away}, Metrics: prometheus.NewRegistry(), Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	leads := new(leader)
	r := reporter{store: store, policies: loader, leader: leads}
	s := r.status()
	for _, want := range []string{"the cluster has not been read completely", "policies are not loaded: platform: not read yet"} {
		if err := r.ready(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(s.Waiting, want) {
			t.Errorf("ready: %v, status %q; want %q", err, s.Waiting, want)
		}
	}
	if s.Leader || s.Mesh.Synced || s.Build.Version == "" {
		t.Errorf("status %+v", s)
	}
	leads.leading.Store(true)
	if !r.status().Leader {
		t.Error("an elected replica does not say that it leads")
	}
}

// TestHosts counts hosts, not entries.
func TestHosts(t *testing.T) {
	m := mesh.New(mesh.DefaultSettings(),
		&mesh.ServiceEntry{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: "a", Name: "x"}}, Hosts: []string{"api.example.com", "cdn.example.com"}},
		&mesh.ServiceEntry{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: "b", Name: "x"}}, Hosts: []string{"API.example.com."}},
	)
	if n := hosts(m); n != 2 {
		t.Errorf("%d hosts, want 2", n)
	}
}
