package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkReview reviews a directory of 1,000 entries in 50 namespaces: a
// couple of seconds at the most.
func BenchmarkReview(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		writeEntry(b, filepath.Join(dir, fmt.Sprintf("%04d.yaml", i)), i)
	}
	benchmark(b, "review", dir)
}

// BenchmarkReviewState reviews one entry against a cluster of 10,000.
func BenchmarkReviewState(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		writeEntry(b, filepath.Join(dir, fmt.Sprintf("%05d.yaml", i)), i)
	}
	one := filepath.Join(b.TempDir(), "one.yaml")
	writeEntry(b, one, 10_000)
	benchmark(b, "review", "--state", dir, one)
}

func writeEntry(b *testing.B, name string, i int) {
	b.Helper()
	if err := os.WriteFile(name, fmt.Appendf(nil, `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e%d, namespace: ns%d}
spec:
  hosts: [h%d.example]
  exportTo: ["."]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
  resolution: DNS
`, i, i%50, i), 0o644); err != nil {
		b.Fatal(err)
	}
}

func benchmark(b *testing.B, args ...string) {
	b.Helper()
	for b.Loop() {
		var stdout, stderr strings.Builder
		if code := run(b.Context(), append([]string{"sallyport"}, args...), strings.NewReader(""), &stdout, &stderr); code != exitOK {
			b.Fatalf("status %d: %s", code, stderr.String())
		}
	}
}
