package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sallyport-io/sallyport/internal/decisionlog"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// Every answer is made in this file. Those that a failure leads to are
// [call.cannotJudge] and [refused], which fail closed, and [call.unchanged],
// which fails open. An HTTP 200 is given in each case, so failurePolicy decides only about
// what never reached us.

// The verdicts, as metrics, audit annotations and logs have them.
const (
	verdictAllow = "allow"
	verdictWarn  = "warn"
	verdictDeny  = "deny"
	verdictError = "error"
	verdictPatch = "patch"
)

// allowed lets the write through, with its warnings. m is nil where nothing
// was judged.
func (c *call) allowed(out review.Outcome, m *mesh.Mesh) admission.Response {
	verdict := verdictAllow
	found, whole := c.told(out)
	warnings := warningsOf(found.Findings, c.dryRun())
	if !whole && len(warnings) > 0 {
		warnings = append(warnings, leftOut+"decision "+c.id)
	}
	if len(warnings) > 0 {
		verdict = verdictWarn
	}
	if !out.Known {
		warnings = []string{fmt.Sprintf("sallyport does not know the kind %s and has not judged the object", truncate(c.request.Kind.Kind, maxName))}
	}
	if c.dryRun() && m != nil && c.request.Operation != admissionv1.Delete {
		warnings = append(warnings, plan(found, m)...)
	}
	resp := admission.Allowed("")
	resp.Warnings = fit(warnings)
	return c.finish(resp, verdict, out)
}

// denied refuses the write because of what the judge found.
func (c *call) denied(out review.Outcome) admission.Response {
	found, whole := c.told(out)
	message := denial(found, c.id)
	if !whole {
		message = denialTo(found, leftOut+"decision "+c.id)
	}
	resp := admission.Denied(message)
	resp.Result.Details = &metav1.StatusDetails{
		Group:  truncate(c.request.Kind.Group, maxName),
		Kind:   truncate(c.request.Kind.Kind, maxName),
		Name:   truncate(c.request.Name, maxName),
		Causes: causes(found.Findings),
	}
	resp.Warnings = fit(warningsOf(found.Findings, c.dryRun()))
	return c.finish(resp, verdictDeny, out)
}

// reserved refuses a write to one of Sallyport's own objects, whatever the
// namespace's mode.
func (c *call) reserved(ref mesh.Ref) admission.Response {
	fix := "change the ServiceEntry that registers the host, and the companions follow; or label its namespace " +
		mesh.InjectionLabel + "=disabled and write objects of other names"
	if netpol.Is(ref) {
		fix = "Sallyport keeps this policy while the namespace is labelled " + mesh.NetworkPolicyLabel +
			"=enabled; policies of other names may be added beside it"
	}
	out := review.Outcome{Ref: ref, Known: true, Findings: []rules.Finding{{
		Rule:     "reserved-companion",
		Severity: rules.Deny,
		Path:     "metadata.name",
		Message:  fmt.Sprintf("Sallyport alone writes the objects of this name; user %q may not", truncate(c.request.UserInfo.Username, maxName)),
		Fix:      fix,
	}}} // which says nothing but what the review does
	c.Metrics.judged(out, time.Since(c.began))
	return c.denied(out)
}

// cannotJudge refuses a write that nobody has judged, and says why.
func (c *call) cannotJudge(err error) admission.Response {
	if b, ok := errors.AsType[*busy](err); ok {
		return c.turnedAway(b)
	}
	c.Log.Error(loggable(err), "cannot judge", c.fields()...)
	c.failure = firstLine(err)
	resp := admission.Errored(http.StatusInternalServerError, fmt.Errorf(
		"sallyport could not judge this write, and lets nothing through unjudged: %s (decision %s)", c.sayable(err), c.id))
	resp.Result.Reason = metav1.StatusReasonInternalError
	return c.finish(resp, verdictError, review.Outcome{})
}

// turnedAway refuses a write that there is no room to judge. Clients of the API
// server that follow its conventions, kubectl among them, try again by
// themselves.
func (c *call) turnedAway(b *busy) admission.Response {
	c.Metrics.turnedAway.WithLabelValues(c.entry, b.what).Inc()
	// Whoever sends too much would fill the log as well.
	if log := c.Log.V(1); log.Enabled() {
		log.Info("turned away", append(c.fields(), "why", b.Error(), "how", b.how.Error())...)
	}
	c.failure = b.Error()
	resp := admission.Errored(http.StatusTooManyRequests, fmt.Errorf(
		"sallyport has not judged this write, and lets nothing through unjudged: %s (decision %s)", b.Error(), c.id))
	resp.Result.Reason = metav1.StatusReasonTooManyRequests
	resp.Result.Details = &metav1.StatusDetails{
		Group: truncate(c.request.Kind.Group, maxName), Kind: truncate(c.request.Kind.Kind, maxName), Name: truncate(c.request.Name, maxName), RetryAfterSeconds: 1,
	}
	return c.finish(resp, verdictError, review.Outcome{})
}

// refused is the answer, at either entry, where no handler gives one.
func refused(status int32, err error) admission.Response {
	return admission.Errored(status, errors.New(truncate(err.Error(), maxReason)))
}

// unchanged lets the object through to the validator as the client wrote it,
// and says why nothing was filled in.
func (c *call) unchanged(err error) admission.Response {
	if b, ok := errors.AsType[*busy](err); ok {
		c.Metrics.turnedAway.WithLabelValues(c.entry, b.what).Inc()
	} else {
		c.Log.Error(err, "cannot fill in defaults", c.fields()...)
	}
	resp := admission.Allowed("")
	resp.Warnings = fit([]string{"sallyport filled in no defaults: " + c.sayable(err)})
	return c.finish(resp, verdictError, review.Outcome{})
}

// patched lets the object through with a JSON patch, or as it is where there
// is none.
func (c *call) patched(patch []byte) admission.Response {
	resp := admission.Allowed("")
	if patch == nil {
		return c.finish(resp, verdictAllow, review.Outcome{})
	}
	resp.Patch = patch
	resp.PatchType = new(admissionv1.PatchTypeJSONPatch)
	return c.finish(resp, verdictPatch, review.Outcome{})
}

// finish counts and logs the answer, and notes it for the audit log. An answer
// that comes after somebody else's counts for nothing.
func (c *call) finish(resp admission.Response, verdict string, out review.Outcome) admission.Response {
	if !c.claim() {
		return resp
	}
	resp.AuditAnnotations = map[string]string{"decision": c.id, "verdict": verdict}
	var names []string
	for _, f := range out.Findings {
		names = append(names, f.Rule)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 {
		resp.AuditAnnotations["rules"] = truncate(strings.Join(names, ","), maxReason)
	}
	c.Metrics.answered(c.entry, verdict, time.Since(c.began))
	switch verdict {
	case verdictDeny:
		c.Log.Info("denied", append(c.fields(), "rules", names)...)
	case verdictAllow, verdictWarn, verdictPatch:
		if log := c.Log.V(1); log.Enabled() {
			log.Info("let through", append(c.fields(), "verdict", verdict, "rules", names)...)
		}
	}
	if c.entry == "validate" {
		c.Decisions.Record(decisionlog.Answer{
			ID: c.id, Time: c.Now(), Request: &c.request.AdmissionRequest, Allowed: resp.Allowed, Verdict: verdict,
			Findings: out.Findings, Failure: c.failure, Revision: c.revision, Took: time.Since(c.began),
		})
	}
	return resp
}

func (c *call) dryRun() bool { return c.request.DryRun != nil && *c.request.DryRun }

func (c *call) fields() []any {
	return []any{
		"decision", c.id,
		"uid", truncate(string(c.request.UID), maxName),
		"entry", c.entry,
		"operation", truncate(string(c.request.Operation), maxName),
		"object", truncate(c.ref().String(), 2*maxName),
		"user", truncate(c.request.UserInfo.Username, maxName),
		"dryRun", c.dryRun(),
	}
}

// firstLine leaves stack traces to the log.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return truncate(line, maxReason)
}

// loggable is an error as it is logged: with its stack, but not with a whole
// object that it may quote.
func loggable(err error) error {
	const most = 16 << 10
	if text := err.Error(); len(text) > most {
		return errors.New(truncate(text, most))
	}
	return err
}
