package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestManyEntriesStaySmall reviews a few and many entries, as a process of its own:
// by how both grow, 10,000 take less than 1 GiB of memory and write less than 100 MB,
// in each form.
func TestManyEntriesStaySmall(t *testing.T) {
	const few, many, want = 100, 1100, 10_000
	for _, format := range []string{"text", "json", "yaml"} {
		memory, written := reviewed(t, format, few)
		more, longer := reviewed(t, format, many)
		at := func(less, more int64) int64 { return less + (more-less)*(want-few)/(many-few) }
		if got := at(memory, more); got > 1<<30 {
			t.Errorf("%s: %d entries take %d MiB and %d take %d: %d would take %d MiB", format, few, memory>>20, many, more>>20, want, got>>20)
		}
		if got := at(written, longer); got > 100_000_000 {
			t.Errorf("%s: %d entries are %d bytes and %d are %d: %d would be %d MB", format, few, written, many, longer, want, got/1_000_000)
		}
	}
}

// reviewed reviews so many entries, 25 a namespace, in a file for each namespace, and
// returns the most memory that the process had and how much it wrote, in bytes.
func reviewed(t *testing.T, format string, entries int) (memory, written int64) {
	t.Helper()
	dir := t.TempDir()
	for first := 0; first < entries; first += 25 {
		namespace := fmt.Sprintf("team-%05d", first)
		var b bytes.Buffer
		fmt.Fprintf(&b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {istio-injection: enabled}}\n", namespace)
		for i := first; i < first+25; i++ {
			fmt.Fprintf(&b, `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api-%[1]d, namespace: %[2]s}
spec:
  hosts: [api-%[1]d.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
`, i, namespace)
		}
		if err := os.WriteFile(filepath.Join(dir, namespace+".yaml"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sallyport", "review", "-o", format, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("this system does not say how much memory a process had")
	}
	return usage.Maxrss << 10, int64(len(out))
}
