package decisionlog

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sallyport-io/sallyport/rules"
)

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// counter counts the lines that are lost, by the reason.
type counter struct{ queue, write, encode atomic.Int64 }

func (c *counter) add(why string, lines int) {
	map[string]*atomic.Int64{"queue": &c.queue, "write": &c.write, "encode": &c.encode}[why].Add(int64(lines))
}

// answer is one that has a line of more than 200 bytes.
func answer(findings ...rules.Finding) Answer {
	r := &admissionv1.AdmissionRequest{UID: "7f1c", Operation: admissionv1.Create, Namespace: "shop", Name: "api"}
	r.Kind.Group, r.Kind.Version, r.Kind.Kind = "networking.istio.io", "v1", "ServiceEntry"
	r.Object = runtime.RawExtension{Raw: []byte(`{"spec":{"hosts":["api.example.com"],"token":"s3cr3t-and-long"}}`)}
	return Answer{ID: "0123456789abcdef", Time: time.Unix(0, 0), Request: r, Allowed: true, Verdict: "allow", Findings: findings}
}

// TestNeverWaits checks that answers go on while the writer hangs, that memory stays bounded, and that what is lost is
// counted.
func TestNeverWaits(t *testing.T) {
	release := make(chan struct{})
	lost := new(counter)
	l := New(writer(func(p []byte) (int, error) { <-release; return len(p), nil }), &Mask{}, false, lost.add, logr.Discard())
	const many = maxWaiting/200 + 1000
	for range many {
		l.Record(answer())
	}
	l.mu.Lock()
	size := l.size
	l.mu.Unlock()
	if n := lost.queue.Load(); size > maxWaiting || n == 0 || n >= many {
		t.Errorf("%d bytes wait, %d of %d lines are lost", size, n, many)
	}
	close(release)
	l.Close()
}

// TestFullDisk checks that a full disk is told, and gets over.
func TestFullDisk(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	var out bytes.Buffer
	lost := new(counter)
	l := New(writer(func(p []byte) (int, error) {
		if full.Load() {
			return 0, errors.New("no space left on device")
		}
		return out.Write(p)
	}), &Mask{}, false, lost.add, logr.Discard())
	l.Record(answer())
	for lost.write.Load() == 0 {
		if err := t.Context().Err(); err != nil {
			t.Fatal("the lost line was not counted")
		}
	}
	full.Store(false)
	l.Record(answer())
	l.Close()
	if lines := strings.Fields(out.String()); len(lines) != 1 || out.String()[0] != '\n' {
		t.Errorf("%d lines after the disk had room again, want 1 that begins a line:\n%s", len(lines), out.String())
	}
}

// TestSecretOfAnObjectIsMasked checks that a message does not quote what is masked in the object.
func TestSecretOfAnObjectIsMasked(t *testing.T) {
	var out bytes.Buffer
	l := New(&out, &Mask{}, true, new(counter).add, logr.Discard())
	l.Record(answer(rules.Finding{Rule: "r", Severity: rules.Warn, Path: "spec.hosts[0]", Message: "beside s3cr3t-and-long"}))
	l.Close()
	if line := out.String(); strings.Contains(line, "s3cr3t") || !strings.Contains(line, "beside ***") || !strings.Contains(line, "api.example.com") {
		t.Errorf("the line is %s", line)
	}
}

// TestNilWritesNothing checks that a server without a log needs none.
func TestNilWritesNothing(*testing.T) { (*Log)(nil).Record(answer()) }

// BenchmarkLine is what the log adds to a review that finds nothing, and to one that is denied.
func BenchmarkLine(b *testing.B) {
	mask, err := NewMask(DefaultMask)
	if err != nil {
		b.Fatal(err)
	}
	l := &Log{mask: mask}
	for name, a := range map[string]Answer{
		"allowed": answer(),
		"denied":  answer(rules.Finding{Rule: "by-host", Severity: rules.Deny, Path: "spec.hosts[0]", Message: "this host is not for you"}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.line(&a)
			}
		})
	}
}
