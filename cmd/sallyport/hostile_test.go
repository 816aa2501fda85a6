package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"
)

// hostileText are strings that would do something to a terminal, a log, a
// workflow or a reader's eye, were they printed as they are.
var hostileText = []string{
	"\x1b[2J\x1b[31mx", "\x1b]0;t\a", "\u009b31mx", "a\rb", "a\b\bb", "\x7fx", "\u0085x", "\u2028x", "\u202ex\u202c", "\u2066x", "z\u200bw\u2060", "\ufeffx", "\u00adx",
	"\U000e0041x", "\u3164x", "x\n::error::y\nz", "::set-output name=a::b", " ::add-mask::x", "x ##[error]y", "%0A::error::x", "x\tb", "\u061cx",
}

// carriers are objects that are read and judged, with the string wherever
// something is printed of it.
func carriers(h string) []any {
	type o = map[string]any
	meta := func(name string, more o) o {
		m := o{"name": name, "namespace": "shop"}
		maps.Copy(m, more)
		return m
	}
	pod := o{"metadata": o{"labels": o{"app": h, h: h, "sidecar.istio.io/inject": "x" + h}, "annotations": o{"sidecar.istio.io/logLevel": h, "sidecar.istio.io/" + h: h, "proxy.istio.io/config": h}}, "spec": o{"containers": []any{o{"name": "istio-proxy", "image": h}, o{"name": h, "image": h}}}}
	return []any{
		o{"apiVersion": "v1", "kind": "Namespace", "metadata": o{"name": "shop", "labels": o{"istio-injection": "enabled", "sallyport.io/mode": h, "sallyport.io/gateway": h}}},
		o{"apiVersion": "v1", "kind": "Service", "metadata": o{"name": "kube-dns", "namespace": "kube-system", "labels": o{"k8s-app": "kube-dns"}}, "spec": o{"clusterIP": "10.96.0.10", "selector": o{"k8s-app": "kube-dns"}, "ports": []any{o{"port": 53, "name": "dns", "protocol": "UDP"}, o{"port": 53, "name": "dns-tcp", "protocol": "TCP"}}}},
		o{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(strings.NewReplacer("/", "", "%", "").Replace(h), o{"annotations": o{h: h}}), "data": o{h: h}},
		o{"apiVersion": h + "/v1", "kind": h, "metadata": meta("of-a-kind", nil), h: h},
		o{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web", nil), "spec": o{"template": pod}},
		o{"apiVersion": "v1", "kind": "Pod", "metadata": o{"name": "lost", "namespace": "elsewhere", "annotations": o{h: h}}, "spec": pod["spec"]},
		o{"apiVersion": "v1", "kind": "Service", "metadata": meta("alias", o{"labels": o{"topology.istio.io/network": h}}), "spec": o{"type": "ExternalName", "externalName": h, "selector": o{h: h}, "ports": []any{o{"port": 80, "name": h}}}},
		o{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta("wide", nil), "spec": o{"podSelector": o{"matchLabels": o{h: h}}, "policyTypes": []any{"Egress"}, "egress": []any{o{}}}},
		o{"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": meta("keys", nil), "spec": o{"jwtRules": []any{o{"issuer": "http://" + h, "jwksUri": "http://keys.example"}, o{"issuer": "http://" + h}}}},
		o{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": meta("api", o{"annotations": o{"sallyport.io/" + h: h, "sallyport.io/originate-tls": h, "sallyport.io/issuer": h}}), "spec": o{"hosts": []any{"api.example.com"}, "resolution": "DNS", "ports": []any{o{"number": 443, "name": "tls", "protocol": "TLS"}, o{"number": 80, "name": "http", "protocol": "HTTP"}}}},
		o{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta("api", nil), "spec": o{"hosts": []any{"api.example.com"}, "http": []any{
			o{"name": h, "match": []any{o{"queryParams": o{h: o{"exact": h}}, "uri": o{"prefix": h}}}, "route": []any{o{"destination": o{"host": "api.example.com"}}}, "rewrite": o{"authority": h}},
		}}},
		o{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": meta("mine", nil), "spec": o{"gatewayClassName": h, "listeners": []any{o{"name": h, "port": 80, "protocol": h}}}},
	}
}

// refused are objects that are not even read, with the string in each place of
// which an error tells.
func refused(h string) []any {
	type o = map[string]any
	se := func(spec o) o {
		return o{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": o{"name": "x", "namespace": "shop"}, "spec": spec}
	}
	return []any{
		o{"apiVersion": h, "kind": h},
		o{"apiVersion": "v1", "kind": "Pod", "metadata": o{"name": h + "/", "namespace": h, h: h, "generateName": h}},
		o{"apiVersion": "v1", "kind": "Pod", "metadata": o{"labels": o{h: 1}, "generateName": h}},
		o{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": o{"name": h}},
		o{"apiVersion": "networking.istio.io/v1", "kind": h, "metadata": o{"name": "x"}},
		o{"apiVersion": "networking.istio.io/" + h, "kind": "ServiceEntry", "metadata": o{"name": "x"}},
		se(o{h: h}), se(o{"hosts": []any{h}}), se(o{"hosts": h}), se(o{"resolution": h}), se(o{"ports": []any{o{"number": h}}}), se(o{"ports": []any{o{h: h}}}), se(o{"endpoints": []any{o{"labels": o{h: 1}, "address": 2}}}), se(o{"exportTo": []any{o{h: h}}}),
	}
}

// TestHostileFiles shows every command what a stranger may have written, in
// names of files, keys and values: whatever the format, the output moves
// no cursor, hides nothing, is read as what it says it is, and has no command
// for a workflow but those of -o github.
func TestHostileFiles(t *testing.T) {
	for n, h := range hostileText {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(n))
		name := strings.ReplaceAll(h, "/", "") + ".yaml"
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": carriers(h)})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, list, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"text", "json", "yaml", "sarif", "junit", "github"} {
			checkOutput(t, format, exitDenied, "review", "-o", format, dir)
		}
		checkOutput(t, "text", exitDenied, "plan", dir)
		checkOutput(t, "text", exitOK, "explain", "api.example.com", "--client", "shop", dir)
		checkOutput(t, "text", -1, "explain", h, "--client", h, dir)
		checkOutput(t, "text", exitDenied, "netpol", "preview", "shop", dir)
		checkOutput(t, "json", exitDenied, "netpol", "preview", "shop", "-o", "json", dir)
		checkOutput(t, "yaml", exitOK, "netpol", "plan", "shop", dir)
		checkOutput(t, "text", exitDenied, "doctor", dir)
		checkOutput(t, "json", exitDenied, "doctor", "-o", "json", dir)
		checkOutput(t, "text", exitFailed, "review", "--config", file, dir)
		checkOutput(t, "text", exitFailed, "review", "--policies", dir, "--state", filepath.Join(dir, h), dir)
		checkOutput(t, "text", exitFailed, "policy", "test", dir)
		checkOutput(t, "text", exitFailed, "policy", "replay", "--reviews", file, dir)
		checkOutput(t, "text", exitFailed, "netpol", "preview", "shop", "--flows", file, dir)
		checkOutput(t, "text", exitFailed, h, dir)
		checkOutput(t, "text", exitFailed, "review", "--"+h, dir)
		checkOutput(t, "text", exitFailed, "review", "-o", h, dir)

		// What is harmless to the cluster is printed as it is.
		entry, err := json.Marshal(carriers(h)[2])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, entry, 0o644); err != nil {
			t.Fatal(err)
		}
		out := checkOutput(t, "yaml", exitOK, "plan", dir)
		var want, got any
		planned, err := yaml.YAMLToJSON([]byte(out))
		if err != nil || json.Unmarshal(planned, &got) != nil || json.Unmarshal(entry, &want) != nil {
			t.Fatalf("the plan is no YAML: %v\n%s", err, out)
		}
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Errorf("the plan of %v is %v", want, got)
		}

		for _, o := range refused(h) {
			data, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{string(data), string(data) + "}", "a: [" + h, h + ": {", `{"a": "` + h + "\x00"} {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				checkOutput(t, "text", -1, "review", file)
			}
		}
	}
}

// checkOutput runs a command and looks at all that it prints. The status is -1
// where any but success will do.
func checkOutput(t *testing.T, format string, status int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), append([]string{"sallyport"}, args...), strings.NewReader(""), &stdout, &stderr)
	if status == -1 && code == exitOK || status != -1 && code != status {
		t.Errorf("%q: exit status %d, want %d: %s", args, code, status, stderr.String())
	}
	for what, text := range map[string]string{"output": stdout.String(), "error output": stderr.String()} {
		for _, r := range text {
			if !unicode.IsPrint(r) && !strings.ContainsRune("\n\t", r) || r == '\u3164' {
				t.Errorf("%q: %s holds %U: %q", args, what, r, text)
				break
			}
		}
		for line := range strings.Lines(text) {
			trimmed := strings.TrimSpace(line)
			command := strings.HasPrefix(trimmed, "::") || strings.Contains(line, "##[")
			if command && format == "github" && what == "output" {
				command = !isFinding(line)
			}
			if command {
				t.Errorf("%q: %s has a command for a workflow: %q", args, what, line)
			}
		}
	}
	if stdout.Len() == 0 || code == exitFailed {
		return ""
	}
	var v any
	switch format {
	case "json", "sarif":
		if err := json.Unmarshal(stdout.Bytes(), &v); err != nil {
			t.Errorf("%q: not JSON: %v", args, err)
		}
	case "yaml":
		for doc := range strings.SplitSeq(stdout.String(), "\n---\n") {
			if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
				t.Errorf("%q: not YAML: %v\n%s", args, err, doc)
			}
		}
	case "junit":
		for d := xml.NewDecoder(&stdout); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%q: not XML: %v", args, err)
				break
			}
		}
	}
	return stdout.String()
}

// isFinding reports whether a line is one that -o github writes: a command
// with a file, and no other in it.
func isFinding(line string) bool {
	for _, command := range []string{"::error ", "::warning ", "::notice "} {
		if rest, ok := strings.CutPrefix(line, command); ok {
			return strings.HasPrefix(rest, "file=") && !strings.Contains(line, "##[")
		}
	}
	return false
}

// TestNothingIsWaitedFor: no command is held up by a pipe or a device, whichever
// flag names it, nor by standard input once nobody waits for it any more.
func TestNothingIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipes := filepath.Join(dir, "pipes")
	pipe, zero, file := filepath.Join(pipes, "a.rego"), filepath.Join(dir, "zero.yaml"), filepath.Join(dir, "a.yaml")
	for _, err := range []error{
		os.Mkdir(pipes, 0o755), syscall.Mkfifo(pipe, 0o644), os.Symlink("/dev/zero", zero),
		os.WriteFile(file, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var commands [][]string
	for _, bad := range []string{pipe, zero} {
		commands = append(
			commands, []string{"review", bad}, []string{"review", "--state", bad, file}, []string{"review", "--config", bad, file}, []string{"plan", bad}, []string{"doctor", bad},
			[]string{"explain", "a.example", "--client", "shop", bad}, []string{"netpol", "preview", "shop", bad}, []string{"netpol", "preview", "shop", "--flows", bad, file},
			[]string{"policy", "replay", "--reviews", bad}, []string{"policy", "replay", bad},
		)
	}
	commands = append(commands, []string{"review", "--policies", pipes, file}, []string{"policy", "test", pipes}, []string{"policy", "check", pipes})
	silent, hold := io.Pipe()
	defer hold.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	commands = append(commands, []string{"review", "-"})
	for _, args := range commands {
		var out bytes.Buffer
		done := make(chan int, 1)
		go func() { done <- run(ctx, append([]string{"sallyport"}, args...), silent, &out, &out) }()
		if args[len(args)-1] == "-" {
			time.AfterFunc(50*time.Millisecond, cancel)
		}
		select {
		case code := <-done:
			want := "no regular file"
			if args[len(args)-1] == "-" {
				want = "interrupted"
			}
			if code != exitFailed || !strings.Contains(out.String(), want) {
				t.Errorf("%q: exit status %d: %s", args, code, out.String())
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q waits", args)
		}
	}
}
