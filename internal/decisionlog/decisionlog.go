// Package decisionlog writes down what the validating webhook decides, a line of JSON
// each, without credentials and without making a review wait.
package decisionlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// What bounds the decision log: whoever reaches the port can have a line
// written, but never a longer one, and never more of them wait in memory than
// fit the queue.
const (
	MaxLine        = 16 << 10 // bytes, without objects
	MaxObjectsLine = 1 << 20  // bytes, with objects
	maxWaiting     = 8 << 20  // bytes of lines that wait to be written
	maxListed      = 50       // findings, and groups of the user
	maxText        = 1 << 10  // bytes of a message
	maxName        = 256      // bytes of a name, or what is said to be one
)

// Decision is a line of the decision log. The request has the form of an
// AdmissionRequest, so that recorded decisions can be judged again by
// "sallyport policy replay --reviews". It says what was asked, by whom as the
// API server told; the rest is what was answered.
type Decision struct {
	Time     time.Time `json:"time"`
	Decision string    `json:"decision"` // also at the end of a denial, and in the API server's audit log
	Request  Asked     `json:"request"`
	Allowed  bool      `json:"allowed"`
	Verdict  string    `json:"verdict"` // allow, warn, deny, error
	// Findings are sorted by severity, the gravest first; those of severity
	// audit are told nowhere else.
	Findings []Found `json:"findings"`
	// Error is why the write could not be judged.
	Error string `json:"error,omitempty"`
	// PolicyRevision identifies the policies that were in force, and their
	// parameters.
	PolicyRevision string  `json:"policyRevision,omitempty"`
	Seconds        float64 `json:"durationSeconds"`
	// Truncated is true where the line is not all that there was to say.
	Truncated bool `json:"truncated,omitempty"`
}

// Asked is the request of a decision.
type Asked struct {
	UID       string `json:"uid"`
	Operation string `json:"operation"`
	Kind      struct {
		Group   string `json:"group"`
		Version string `json:"version"`
		Kind    string `json:"kind"`
	} `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UserInfo  struct {
		Username string   `json:"username"`
		Groups   []string `json:"groups"`
	} `json:"userInfo"`
	DryRun bool `json:"dryRun"`
	// Object and OldObject are there only where the log is to have them.
	Object    json.RawMessage `json:"object,omitempty"`
	OldObject json.RawMessage `json:"oldObject,omitempty"`
}

// Found is a finding of a decision.
type Found struct {
	Rule     string         `json:"rule"`
	Severity rules.Severity `json:"severity"`
	Path     string         `json:"path"`
	Message  string         `json:"message"`
}

// Answer is an answer to a review, as it is to be written down.
type Answer struct {
	ID      string
	Time    time.Time
	Request *admissionv1.AdmissionRequest
	Allowed bool
	Verdict string
	// Findings are sorted by severity, the gravest first.
	Findings []rules.Finding
	Failure  string // why the write could not be judged
	Revision string // of the policies in force
	Took     time.Duration
}

// Log writes decisions down. It never makes a review wait: where the writer cannot
// follow, lines are lost and counted. A nil Log writes nothing. It is safe for
// concurrent use.
type Log struct {
	mask    *Mask
	objects bool
	lost    func(why string, lines int)
	log     logr.Logger

	mu      sync.Mutex
	waiting [][]byte
	size    int
	closed  bool
	wake    chan struct{}
	done    chan struct{}
}

// New starts a log; Close ends it. With objects the lines have the objects
// themselves, masked. Lost is called with each number of lines that are lost, and
// why: "queue", "encode" or "write".
func New(out io.Writer, mask *Mask, objects bool, lost func(why string, lines int), log logr.Logger) *Log {
	l := &Log{
		mask: mask, objects: objects, lost: lost, log: log,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go l.write(out)
	return l
}

// Close writes what waits, and ends the log. It gives up where the writer
// hangs: a program must be able to end.
func (l *Log) Close() {
	const patience = 5 * time.Second
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.nudge()
	select {
	case <-l.done:
	case <-time.After(patience):
	}
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // awake already
	}
}

// write takes everything that waits and writes it, until the log is closed.
func (l *Log) write(out io.Writer) {
	defer close(l.done)
	b := bufio.NewWriterSize(out, 64<<10)
	failing := false
	for range l.wake {
		l.mu.Lock()
		lines, closed := l.waiting, l.closed
		l.waiting, l.size = nil, 0
		l.mu.Unlock()
		if failing && len(lines) > 0 {
			_ = b.WriteByte('\n') // the end of a line that was written in part
		}
		for _, line := range lines {
			_, _ = b.Write(line) // the error stays until Flush
		}
		err := b.Flush()
		if err != nil {
			l.lost("write", len(lines))
			b.Reset(out)
			if !failing {
				l.log.Error(err, "decisions are lost; this is said once, sallyport_decisions_lost_total counts them")
			}
		}
		failing = err != nil
		if closed {
			return
		}
	}
}

// Record writes down an answer of the validator. Whatever goes wrong with that
// changes nothing about the answer.
func (l *Log) Record(a Answer) {
	if l == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			l.lost("encode", 1)
			l.log.Error(fmt.Errorf("panic: %v\n%s", v, debug.Stack()), "a decision is lost", "decision", a.ID)
		}
	}()
	line := l.line(&a)
	l.mu.Lock()
	ok := !l.closed && l.size+len(line) <= maxWaiting
	if ok {
		l.waiting = append(l.waiting, line)
		l.size += len(line)
	}
	l.mu.Unlock()
	if !ok {
		l.lost("queue", 1)
		return
	}
	l.nudge()
}

func (l *Log) line(a *Answer) []byte {
	d := Decision{
		Time:     a.Time.UTC(),
		Decision: a.ID,
		Allowed:  a.Allowed,
		Verdict:  a.Verdict,
		Findings: []Found{},
		Seconds:  a.Took.Seconds(),
		// Of what could not be judged there may be anything in the message.
		Error:          mesh.Cut(scrub(mesh.Cut(a.Failure, 8*maxText)), maxText),
		PolicyRevision: a.Revision,
	}
	d.Request, d.Truncated = asked(a.Request)
	var secrets []string
	if len(a.Findings) > 0 {
		secrets = slices.Concat(l.mask.secrets(a.Request.Object.Raw), l.mask.secrets(a.Request.OldObject.Raw))
	}
	for i, f := range a.Findings {
		if i == maxListed {
			d.Truncated = true
			break
		}
		d.Findings = append(d.Findings, Found{
			Rule: f.Rule, Severity: f.Severity, Path: mesh.Cut(f.Path, maxName), Message: mesh.Cut(l.mask.message(f, secrets), maxText),
		})
	}
	if l.objects {
		if len(a.Request.Object.Raw)+len(a.Request.OldObject.Raw) <= MaxObjectsLine {
			d.Request.Object, d.Request.OldObject = l.mask.object(a.Request.Object.Raw), l.mask.object(a.Request.OldObject.Raw)
		} else {
			d.Truncated = true
		}
	}
	line := encode(&d)
	for _, shorten := range []func(*Decision){withoutObjects, withoutTexts} {
		if len(line) <= limit(&d) {
			break
		}
		shorten(&d)
		d.Truncated = true
		line = encode(&d)
	}
	return line
}

func limit(d *Decision) int {
	if d.Request.Object == nil && d.Request.OldObject == nil {
		return MaxLine
	}
	return MaxObjectsLine
}

func withoutObjects(d *Decision) { d.Request.Object, d.Request.OldObject = nil, nil }

func withoutTexts(d *Decision) {
	d.Request.UserInfo.Groups, d.Error = nil, ""
	for i := range d.Findings {
		d.Findings[i].Path, d.Findings[i].Message = "", ""
	}
}

// asked is the request without its objects, and whether anything was cut off.
func asked(r *admissionv1.AdmissionRequest) (a Asked, cut bool) {
	name := func(s string) string {
		cut = cut || len(s) > maxName
		return mesh.Cut(s, maxName)
	}
	a.UID, a.Operation = name(string(r.UID)), name(string(r.Operation))
	a.Kind.Group, a.Kind.Version, a.Kind.Kind = name(r.Kind.Group), name(r.Kind.Version), name(r.Kind.Kind)
	a.Namespace, a.Name = name(r.Namespace), name(r.Name)
	a.UserInfo.Username, a.UserInfo.Groups = name(r.UserInfo.Username), []string{}
	for i, group := range r.UserInfo.Groups {
		if i == maxListed {
			return a, true
		}
		a.UserInfo.Groups = append(a.UserInfo.Groups, name(group))
	}
	a.DryRun = r.DryRun != nil && *r.DryRun
	return a, cut
}

// encode makes a line: what JSON cannot hold as it is it escapes, line ends
// among that.
func encode(d *Decision) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		// Objects are JSON that was decoded before, and the rest are strings.
		panic(err)
	}
	return b.Bytes()
}
