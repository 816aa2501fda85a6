package webhook

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
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// What bounds the decision log: whoever reaches the port can have a line
// written, but never a longer one, and never more of them wait in memory than
// fit the queue.
const (
	maxLine        = 16 << 10 // bytes, without objects
	maxObjectsLine = 1 << 20  // bytes, with objects
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

// DecisionLog writes down what the validator decides, a line of JSON each. It
// never makes a review wait: where the writer cannot follow, lines are lost
// and counted. A nil DecisionLog writes nothing.
type DecisionLog struct {
	mask    *Mask
	objects bool
	metrics *Metrics
	log     logr.Logger

	mu      sync.Mutex
	waiting [][]byte
	size    int
	closed  bool
	wake    chan struct{}
	done    chan struct{}
}

// NewDecisionLog starts a decision log; Close ends it. With objects the lines
// have the objects themselves, masked.
func NewDecisionLog(out io.Writer, mask *Mask, objects bool, metrics *Metrics, log logr.Logger) *DecisionLog {
	l := &DecisionLog{
		mask: mask, objects: objects, metrics: metrics, log: log,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go l.write(out)
	return l
}

// Close writes what waits, and ends the log. It gives up where the writer
// hangs: a program must be able to end.
func (l *DecisionLog) Close() {
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

func (l *DecisionLog) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // awake already
	}
}

// write takes everything that waits and writes it, until the log is closed.
func (l *DecisionLog) write(out io.Writer) {
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
			l.metrics.lostDecisions.WithLabelValues("write").Add(float64(len(lines)))
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

// record writes down an answer of the validator. Whatever goes wrong with that
// changes nothing about the answer.
func (l *DecisionLog) record(c *call, resp *admission.Response, verdict string, out review.Outcome) {
	if l == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			l.metrics.lostDecisions.WithLabelValues("encode").Inc()
			l.log.Error(fmt.Errorf("panic: %v\n%s", v, debug.Stack()), "a decision is lost", "decision", c.id)
		}
	}()
	line := l.line(c, resp, verdict, out)
	l.mu.Lock()
	ok := !l.closed && l.size+len(line) <= maxWaiting
	if ok {
		l.waiting = append(l.waiting, line)
		l.size += len(line)
	}
	l.mu.Unlock()
	if !ok {
		l.metrics.lostDecisions.WithLabelValues("queue").Inc()
		return
	}
	l.nudge()
}

func (l *DecisionLog) line(c *call, resp *admission.Response, verdict string, out review.Outcome) []byte {
	d := Decision{
		Time:     c.Now().UTC(),
		Decision: c.id,
		Allowed:  resp.Allowed,
		Verdict:  verdict,
		Findings: []Found{},
		Seconds:  time.Since(c.began).Seconds(),
		// Of what could not be judged there may be anything in the message.
		Error:          truncate(scrub(truncate(c.failure, 8*maxText)), maxText),
		PolicyRevision: c.revision,
	}
	d.Request, d.Truncated = asked(&c.request.AdmissionRequest)
	var secrets []string
	if len(out.Findings) > 0 {
		secrets = slices.Concat(l.mask.secrets(c.request.Object.Raw), l.mask.secrets(c.request.OldObject.Raw))
	}
	for i, f := range out.Findings {
		if i == maxListed {
			d.Truncated = true
			break
		}
		d.Findings = append(d.Findings, Found{
			Rule: f.Rule, Severity: f.Severity, Path: truncate(f.Path, maxName), Message: truncate(l.mask.message(f, secrets), maxText),
		})
	}
	if l.objects {
		if len(c.request.Object.Raw)+len(c.request.OldObject.Raw) <= maxObjectsLine {
			d.Request.Object, d.Request.OldObject = l.mask.object(c.request.Object.Raw), l.mask.object(c.request.OldObject.Raw)
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
		return maxLine
	}
	return maxObjectsLine
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
		return truncate(s, maxName)
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
