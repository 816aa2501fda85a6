package manifest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/manifest"
)

// entries are n ServiceEntries as an API server has them.
func entries(n int) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
			"metadata": map[string]any{
				"name": fmt.Sprintf("host-%d", i), "namespace": "shop", "uid": fmt.Sprintf("5c6a2f0e-%08d", i), "resourceVersion": fmt.Sprint(i),
				"annotations": map[string]any{"note": "several\nlines\n- with a dash\n\n  and more", "text": strings.Repeat("word ", 30)},
			},
			"spec": map[string]any{
				"hosts": []any{fmt.Sprintf("host-%d.example.com", i)}, "resolution": "DNS", "exportTo": []any{"."},
				"ports": []any{map[string]any{"number": 443, "name": "tls", "protocol": "TLS"}, map[string]any{"number": 80, "name": "http", "protocol": "HTTP"}},
			},
		}
	}
	return all
}

func listOf(items []any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": ""}, "items": items}
}

func toYAML(t testing.TB, v any) []byte {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// forms are the ways in which many objects come in one file.
func forms(t testing.TB, n int) map[string][]byte {
	items := entries(n)
	list := toYAML(t, listOf(items))
	lines := strings.SplitAfter(string(list), "\n")
	inItems := false
	for i, l := range lines {
		if inItems && l != "" && !strings.HasPrefix(l, " ") && !strings.HasPrefix(l, "-") && l != "\n" {
			inItems = false
		}
		if inItems && l != "\n" {
			lines[i] = "  " + l
		}
		inItems = inItems || l == "items:\n"
	}
	compact, err := json.Marshal(listOf(items))
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, compact, "", "  "); err != nil {
		t.Fatal(err)
	}
	typed := make([]any, n)
	for i, o := range entries(n) {
		m := o.(map[string]any)
		delete(m, "kind")
		delete(m, "apiVersion")
		typed[i] = m
	}
	typedList := toYAML(t, map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntryList", "items": typed})
	var stream bytes.Buffer
	for _, o := range items {
		stream.WriteString("---\n")
		stream.Write(toYAML(t, o))
	}
	return map[string][]byte{
		"YAML List": list, "indented YAML List": []byte(strings.Join(lines, "")), "JSON List": compact, "indented JSON List": indented.Bytes(),
		"typed YAML List": typedList, "YAML stream": stream.Bytes(),
	}
}

// TestApartIsWhole: what is read item by item is what is read at once, to the
// line.
func TestApartIsWhole(t *testing.T) {
	paths := []string{"", "metadata.name", `metadata.annotations["note"]`, "spec.hosts[0]", "spec.ports[1].protocol", "spec.nowhere", "kind"}
	say := func(objects []*manifest.Object) []string {
		var all []string
		for _, o := range objects {
			s := fmt.Sprintf("%s/%s/%s line %d %s", o.Kind, o.Namespace, o.Name, o.Line, o.Raw)
			for _, p := range paths {
				s += fmt.Sprintf(" %s:%d", p, o.LineOf(p))
			}
			all = append(all, s)
		}
		return all
	}
	for name, data := range forms(t, 40) {
		whole, err := manifest.Reader{Stdin: bytes.NewReader(data)}.Read(t.Context(), "-")
		if err != nil || len(whole) != 40 {
			t.Fatalf("%s: %d objects, %v", name, len(whole), err)
		}
		apart, err := manifest.Reader{Stdin: bytes.NewReader(data), Limits: manifest.Limits{Document: 2048}}.Read(t.Context(), "-")
		if err != nil {
			t.Errorf("%s, taken apart: %v", name, err)
		}
		if diff := cmp.Diff(say(whole), say(apart)); diff != "" {
			t.Errorf("%s: at once and taken apart (-at once +taken apart):\n%s", name, diff)
		}
	}
	// Where lines alone do not tell, the document is read as a whole.
	padding := "# " + strings.Repeat("x", 300<<10) + "\n"
	for name, in := range map[string]string{
		"alias to another item": "items:\n- &a {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: &d {x: y}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: *d}\nkind: List\napiVersion: v1\n",
		"dash within quotes":    "items:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: \"\n- y\"}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\nkind: List\napiVersion: v1\n",
	} {
		objects, err := manifest.Reader{Stdin: strings.NewReader(padding + in)}.Read(t.Context(), "-")
		if err != nil || len(objects) != 2 || objects[1].Name != "b" {
			t.Errorf("%s: %d objects, %v", name, len(objects), err)
		}
	}
}

// TestPeakMemory: reading keeps a few times what there is to read, whatever the
// form. All at once it took more than thirty times as much.
func TestPeakMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	const most = 8
	for name, data := range forms(t, 5_000) {
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var peak uint64
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			var now runtime.MemStats
			for {
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
			}
		}()
		objects, err := manifest.Reader{Stdin: bytes.NewReader(data)}.Read(t.Context(), "-")
		close(stop)
		<-done
		if err != nil || len(objects) != 5_000 {
			t.Fatalf("%s: %d objects, %v", name, len(objects), err)
		}
		ratio := float64(peak-before.HeapAlloc) / float64(len(data))
		t.Logf("%s: %d MB, at most %.1f times that in memory", name, len(data)>>20, ratio)
		if ratio > most {
			t.Errorf("%s: %.1f times as much memory as there is to read, want at most %d", name, ratio, most)
		}
		runtime.KeepAlive(objects)
	}
}

// endless never ends.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	if n == 0 {
		n = copy(p, e)
	}
	return n, nil
}

// TestLimits: what is too large is refused with the limit.
func TestLimits(t *testing.T) {
	const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"
	large := object + "data: {x: " + strings.Repeat("y", 4096) + "}\n"
	limits := manifest.Limits{Document: 1 << 10, File: 16 << 10, Total: 20 << 10}
	dir := t.TempDir()
	for i, text := range []string{strings.Repeat("# comment\n", 1200), strings.Repeat("# comment\n", 1200)} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), []byte(strings.Replace(object, "NAME", fmt.Sprint("n", i), 1)+"---\n"+text[:900]+"---\n"+text[:10000]+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		stdin io.Reader
		names []string
		want  string
	}{
		"a document":         {strings.NewReader(object + "---\n" + large), nil, "-:4: the document, or the object of a List, is larger than 1024 bytes"},
		"a document in JSON": {strings.NewReader("{}\n" + `{"a": "` + strings.Repeat("y", 4096) + `"}`), nil, "-:2: the document, or the object of a List, is larger than 1024 bytes"},
		"an item":            {bytes.NewReader(toYAML(t, listOf([]any{map[string]any{"a": strings.Repeat("y", 4096)}}))), nil, "larger than 1024 bytes"},
		"standard input":     {endless("# x\n"), nil, "-: larger than 16384 bytes; give it in several files"},
		"one line":           {endless("x"), nil, "-: larger than 16384 bytes"},
		"everything":         {nil, []string{dir}, "all that is given is larger than 20480 bytes together"},
	} {
		names := c.names
		if names == nil {
			names = []string{"-"}
		}
		_, err := manifest.Reader{Stdin: c.stdin, Limits: limits}.Read(t.Context(), names...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestBombs: small input that wants to be large, deep or no text at all is
// refused at its line, in no time.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 12 {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	long := "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.TrimSuffix(strings.Repeat("*a,", 100_000), ",") + "]\n"
	for name, c := range map[string]struct{ in, want string }{
		"aliases":             {laughs.String(), "expands to more than"},
		"aliases to a text":   {long, "expands to more than 16 MiB"},
		"an alias to itself":  {"a: &a [*a, *a]\n", "nested deeper than"},
		"deep YAML":           {strings.Repeat("[", 100_000), "-:"},
		"deep YAML by dashes": {strings.Repeat("- ", 5_000) + "x", "nested deeper than"},
		"deep JSON":           {strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000), "nested deeper than"},
		"very deep JSON":      {strings.Repeat(`{"a":`, 1_000_000), "-:"},
		"a NUL":               {"a: b\nc: \x00\n", "-:2: not YAML: the control character U+0000"},
		"an escape sequence":  {"a: b\n\n# \x1b[2J\n", "-:3: not YAML: the control character U+001B"},
		"not UTF-8":           {"a: b\nc: \xff\n", "-:2: not text: the byte 0xff is not UTF-8"},
		"JSON that is not":    {"{\"a\":\n\"\xff\"}", "-:2: not text: the byte 0xff is not UTF-8"},
		"UTF-16":              {"\xff\xfea\x00", "-:1: not text"},
		"a huge key":          {strings.Repeat("k", 3<<20) + ": x\n", "-:"},
		"many documents":      {strings.Repeat("---\n", 200_000) + "x: y\n", "-:"},
	} {
		start := time.Now()
		_, err := manifest.Reader{Stdin: strings.NewReader(c.in)}.Read(t.Context(), "-")
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 && name != "a huge key" {
			t.Errorf("%s: %.300v, want %q", name, err, c.want)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s takes %v", name, took)
		}
	}
}

// TestOnlyRegularFiles: pipes, devices and sockets are refused where they are
// named, where a link leads to them and in a directory, and so is a link out of
// a directory. None of them is waited for.
func TestOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	for _, d := range []string{"pipes", "zero", "sockets", "out", "loop", "nowhere", "good", "good/sub", "secret"} {
		must(os.MkdirAll(at(d), 0o755))
	}
	must(syscall.Mkfifo(at("pipes", "a.yaml"), 0o644))
	must(os.Symlink("/dev/zero", at("zero", "a.yaml")))
	socket, err := net.Listen("unix", at("sockets", "a.yaml"))
	must(err)
	defer socket.Close()
	must(os.WriteFile(at("secret", "a.yaml"), []byte(object), 0o644))
	must(os.Symlink("../secret/a.yaml", at("out", "a.yaml")))
	must(os.Symlink("a.yaml", at("loop", "a.yaml")))
	must(os.Symlink("gone", at("nowhere", "a.yaml")))
	must(os.WriteFile(at("good", "sub", "real.yaml"), []byte(object), 0o644))
	must(os.Symlink("sub/real.yaml", at("good", "a.yaml")))
	must(os.Symlink("..", at("good", "up")))
	must(os.Remove(at("good", "a.yaml")))
	must(os.Symlink(at("out", "a.yaml"), at("by-name.yaml")))
	for name, want := range map[string]string{
		"pipes/a.yaml": "is a named pipe", "pipes": "is a named pipe", "zero/a.yaml": "is a device", "zero": "leads out of the directory", "/dev/zero": "is a device",
		"sockets": "is a socket", "sockets/a.yaml": "is a socket", "out": "leads out of the directory", "loop": "too many l", "nowhere": "leads nowhere",
		"out/a.yaml": "", "by-name.yaml": "", "good": "",
	} {
		path := name
		if !filepath.IsAbs(name) {
			path = at(name)
		}
		done := make(chan error, 1)
		go func() {
			_, err := manifest.Reader{}.Read(t.Context(), path)
			done <- err
		}()
		select {
		case err := <-done:
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is waited for", name)
		}
	}
}

// TestReadingIsInterrupted: whoever gives up is not held up by standard input
// that says nothing, or does not end.
func TestReadingIsInterrupted(t *testing.T) {
	silent, hold := io.Pipe()
	defer hold.Close()
	for name, in := range map[string]io.Reader{"silent": silent, "endless": endless("# x\n")} {
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() {
			_, err := manifest.Reader{Stdin: in, Limits: manifest.Limits{File: 1 << 40, Total: 1 << 40}}.Read(ctx, "-")
			if err == nil || !strings.Contains(err.Error(), "interrupted") {
				t.Errorf("%s: %v", name, err)
			}
		})
		time.Sleep(20 * time.Millisecond)
		cancel()
		wait.Wait()
	}
}
