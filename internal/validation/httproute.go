package validation

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// httpRoute checks an http rule (validateHTTPRoute).
func (c *checker) httpRoute(path string, r *networking.HTTPRoute, ofDelegate, own bool) {
	c.conflicts(path, r, ofDelegate)
	for i, m := range r.GetMatch() {
		c.httpMatch(index(path+".match", i), m)
	}
	c.headers(path+".headers", r.GetHeaders())
	c.cors(path+".corsPolicy", r.GetCorsPolicy())
	c.fault(path+".fault", r.GetFault())
	if n := r.GetMirrorPercent().GetValue(); n > 100 { //nolint:staticcheck // deprecated, and served
		c.refuse(path+".mirrorPercent", "%d is no percentage: 0 to 100", n)
	}
	if p := r.GetMirrorPercentage(); p != nil {
		c.percent(path+".mirrorPercentage.value", p.GetValue())
	}
	c.destination(path+".mirror", r.GetMirror())
	for i, m := range r.GetMirrors() {
		at := index(path+".mirrors", i)
		c.required(at+".destination", m.GetDestination(), false)
		if p := m.GetPercentage(); p != nil {
			c.percent(at+".percentage.value", p.GetValue())
		}
	}
	c.redirect(path, r)
	c.directResponse(path+".directResponse", r.GetDirectResponse())
	c.retries(path+".retries", r.GetRetries())
	c.rewrite(path, r)
	c.duration(path+".timeout", r.GetTimeout())
	var w weights
	for i, d := range r.GetRoute() {
		at := index(path+".route", i)
		c.headers(at+".headers", d.GetHeaders())
		c.required(at+".destination", d.GetDestination(), own)
		c.weight(at, d.GetWeight(), &w)
	}
	c.shares(path, w)
}

// conflicts checks what an http rule does with requests: one thing
// (validateHTTPRouteConflict).
func (c *checker) conflicts(path string, r *networking.HTTPRoute, ofDelegate bool) {
	if r.Delegate != nil && !ofDelegate {
		if r.Redirect != nil {
			c.refuse(path+".redirect", "cannot stand beside delegate")
		}
		if r.Route != nil {
			c.refuse(path+".route", "cannot stand beside delegate")
		}
		return
	}
	if r.Delegate != nil {
		c.refuse(path+".delegate", "a delegate has none itself")
	}
	ends := ""
	switch {
	case r.Redirect != nil:
		ends = "redirect"
	case r.DirectResponse != nil:
		ends = "directResponse"
	case len(r.Route) == 0:
		c.refuse(path+".route", "missing: a rule has a route, a redirect or a directResponse")
	}
	if ends != "" {
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"route", len(r.Route) > 0},
			{"fault", r.Fault != nil},
			{"rewrite", r.Rewrite != nil},
			{"directResponse", ends == "redirect" && r.DirectResponse != nil},
		} {
			if f.set {
				c.refuse(path+"."+f.name, "cannot stand beside %s", ends)
			}
		}
	}
	if r.Mirror != nil && len(r.Mirrors) > 0 {
		c.refuse(path+".mirror", "cannot stand beside mirrors")
	}
}

// claim begins the name of a header that stands for a claim of a token.
const claim = "@request.auth.claims"

// isClaim reports whether the name of a header stands for a claim of a token (ToRoutingClaim
// in Istio's pkg/jwt).
func isClaim(name string) bool {
	if !strings.HasPrefix(strings.ToLower(name), claim) {
		return false
	}
	rest := name[len(claim):]
	return strings.HasPrefix(rest, ".") && len(rest) > 1 || strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") && len(rest) > 2
}

// claims checks that a rule that is for sidecars matches no claims of tokens.
func (c *checker) claims(path string, r *networking.HTTPRoute) {
	for i, m := range r.GetMatch() {
		for name, headers := range inOrder(map[string]map[string]*networking.StringMatch{"headers": m.GetHeaders(), "withoutHeaders": m.GetWithoutHeaders()}) {
			for _, h := range sorted(headers) {
				if isClaim(h) {
					c.refuse(key(index(path+".match", i)+"."+name, h), "a gateway alone knows the claims of tokens, and the VirtualService is for sidecars")
				}
			}
		}
	}
}

var pseudoHeaders = []string{":method", ":scheme", ":authority", ":path", ":status"}

// httpMatch checks a match of an http rule (validateHTTPRouteMatchRequest).
func (c *checker) httpMatch(path string, m *networking.HTTPMatchRequest) {
	for _, name := range sorted(m.GetHeaders()) {
		at := key(path+".headers", name)
		c.matchedHeader(at, name)
		c.stringMatch(at, m.GetHeaders()[name])
	}
	for _, name := range sorted(m.GetWithoutHeaders()) {
		at := key(path+".withoutHeaders", name)
		c.matchedHeader(at, name)
		if s := m.GetWithoutHeaders()[name]; s.GetRegex() != "*" { // any value
			c.stringMatch(at, s)
		}
	}
	if u, ok := m.GetUri().GetMatchType().(*networking.StringMatch_Regex); ok { // an empty prefix is fine
		c.regex(path+".uri.regex", u.Regex)
	}
	c.stringMatch(path+".scheme", m.GetScheme())
	c.stringMatch(path+".method", m.GetMethod())
	c.stringMatch(path+".authority", m.GetAuthority())
	for _, name := range sorted(m.GetQueryParams()) {
		c.stringMatch(key(path+".queryParams", name), m.GetQueryParams()[name])
	}
	c.match(path, m.GetPort(), m.GetSourceLabels(), m.GetGateways())
	if ns := m.GetSourceNamespace(); ns != "" && !isLabel(ns) {
		c.refuse(path+".sourceNamespace", "%q is not the name of a namespace", ns)
	}
}

func (c *checker) matchedHeader(path, name string) {
	if !isClaim(name) && !slices.Contains(pseudoHeaders, name) && !headerName.MatchString(name) {
		c.refuse(path, "%q is not the name of a header", name)
	}
}

// stringMatch checks a match of a string that may not be empty.
func (c *checker) stringMatch(path string, s *networking.StringMatch) {
	switch m := s.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		if m.Prefix == "" {
			c.refuse(path+".prefix", "is empty: everything has such a prefix")
		}
	case *networking.StringMatch_Regex:
		c.regex(path+".regex", m.Regex)
	}
}

// maxRegex is the length of an expression, in bytes.
const maxRegex = 1024

// regex checks a regular expression.
func (c *checker) regex(path, s string) {
	if s == "" {
		c.refuse(path, "is empty")
		return
	}
	c.program(path, s)
}

func (c *checker) program(path, s string) {
	if len(s) > maxRegex {
		c.refuse(path, "is longer than %d bytes", maxRegex)
		return
	}
	if _, err := regexp.Compile(s); err != nil {
		c.refuse(path, "%v; write it in the syntax of RE2", err)
	}
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodConnect, http.MethodOptions, http.MethodTrace, "*",
}

// cors checks who may call from other sites (validateCORSPolicy).
func (c *checker) cors(path string, p *networking.CorsPolicy) {
	for i, o := range p.GetAllowOrigins() {
		at := index(path+".allowOrigins", i)
		if o.GetExact() == "" && o.GetPrefix() == "" && o.GetRegex() == "" {
			c.refuse(at, "is empty")
		}
		if o.GetRegex() != "" {
			c.program(at+".regex", o.GetRegex())
		}
	}
	for i, m := range p.GetAllowMethods() {
		if !slices.Contains(methods, m) {
			c.refuse(index(path+".allowMethods", i), "%q is not a method of HTTP", m)
		}
	}
	for name, list := range inOrder(map[string][]string{".allowHeaders": p.GetAllowHeaders(), ".exposeHeaders": p.GetExposeHeaders()}) {
		for i, h := range list {
			if h != "*" && !headerName.MatchString(h) {
				c.refuse(index(path+name, i), "%q is not the name of a header", h)
			}
		}
	}
	c.duration(path+".maxAge", p.GetMaxAge())
	if p.GetMaxAge().GetNanos() > 0 {
		c.refuse(path+".maxAge", "is not whole seconds")
	}
}

var grpcStatus = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// fault checks what goes wrong on purpose (validateHTTPFaultInjection).
func (c *checker) fault(path string, f *networking.HTTPFaultInjection) {
	if f == nil {
		return
	}
	if f.Abort == nil && f.Delay == nil {
		c.refuse(path, "is empty: a fault has abort or delay")
	}
	c.share(path+".abort.percentage", f.GetAbort().GetPercentage())
	switch e := f.GetAbort().GetErrorType().(type) {
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		if !slices.Contains(grpcStatus, e.GrpcStatus) {
			c.refuse(path+".abort.grpcStatus", "%q is not a status of gRPC, such as NOT_FOUND", e.GrpcStatus)
		}
	case *networking.HTTPFaultInjection_Abort_Http2Error:
		c.refuse(path+".abort.http2Error", "Istio does not know this error yet")
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		c.status(path+".abort.httpStatus", e.HttpStatus)
	}
	c.share(path+".delay.percentage", f.GetDelay().GetPercentage())
	switch d := f.GetDelay().GetHttpDelayType().(type) {
	case *networking.HTTPFaultInjection_Delay_FixedDelay:
		c.duration(path+".delay.fixedDelay", d.FixedDelay)
	case *networking.HTTPFaultInjection_Delay_ExponentialDelay:
		c.refuse(path+".delay.exponentialDelay", "Istio does not know this delay yet; write fixedDelay")
	}
}

// share checks how many requests of a hundred something happens to.
func (c *checker) share(path string, p *networking.Percent) {
	if n := p.GetValue(); n < 0 || n > 100 || n > 0 && n < 0.0001 {
		c.refuse(path+".value", "%v is neither 0, nor 0.0001 to 100", n)
	}
}

// status checks a status of HTTP; 600 passes, as in Istio.
func (c *checker) status(path string, n int32) {
	if n < 200 || n > 600 {
		c.refuse(path, "%d is not a status that an answer ends with: 200 to 599", n)
	}
}

// redirect checks where a rule sends clients on to (validateHTTPRedirect).
func (c *checker) redirect(path string, r *networking.HTTPRoute) {
	to := r.GetRedirect()
	if to == nil {
		return
	}
	path += ".redirect"
	if to.Uri != "" && to.PrefixRewrite != "" {
		c.refuse(path+".prefixRewrite", "cannot stand beside uri")
	}
	if to.PrefixRewrite != "" && slices.ContainsFunc(r.GetMatch(), func(m *networking.HTTPMatchRequest) bool {
		_, prefix := m.GetUri().GetMatchType().(*networking.StringMatch_Prefix)
		return m.GetUri() != nil && !prefix
	}) {
		c.refuse(path+".prefixRewrite", "needs matches of a prefix of the URI alone")
	}
	if to.Uri == "" && to.PrefixRewrite == "" && to.Authority == "" && to.RedirectPort == nil && to.Scheme == "" {
		c.refuse(path, "is empty: a redirect changes something")
	}
	if to.RedirectCode != 0 && (to.RedirectCode < 300 || to.RedirectCode > 399) {
		c.refuse(path+".redirectCode", "%d is not the status of a redirect: 300 to 399", to.RedirectCode)
	}
	if !slices.Contains([]string{"", "http", "https"}, to.Scheme) {
		c.refuse(path+".scheme", "%q is neither http nor https", to.Scheme)
	}
	c.optionalPort(path+".port", to.GetPort())
}

// maxBody is the size of an answer, in bytes.
const maxBody = 1 << 20

// directResponse checks what a rule answers itself (validateHTTPDirectResponse).
func (c *checker) directResponse(path string, r *networking.HTTPDirectResponse) {
	if r == nil {
		return
	}
	if max(len(r.GetBody().GetString_()), len(r.GetBody().GetBytes())) > maxBody {
		c.refuse(path+".body", "is larger than 1 MiB")
	}
	c.status(path+".status", int32(r.GetStatus())) //nolint:gosec // as Istio has it: what is too large is negative, and refused
}

var retryOn = []string{
	"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx", "refused-stream",
	"retriable-status-codes", "retriable-headers", "envoy-ratelimited", "http3-post-connect-failure",
	"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
}

// retries checks when a request is sent again (validateHTTPRetry).
func (c *checker) retries(path string, r *networking.HTTPRetry) {
	if r == nil {
		return
	}
	c.notNegative(path+".attempts", r.Attempts)
	if r.Attempts == 0 && (r.PerTryTimeout != nil || r.RetryOn != "" || r.RetryRemoteLocalities != nil) {
		c.refuse(path+".attempts", "0: nothing is sent again, and there is more about it")
	}
	c.duration(path+".perTryTimeout", r.PerTryTimeout)
	c.duration(path+".backoff", r.Backoff)
	if r.RetryOn == "" {
		return
	}
	for on := range strings.SplitSeq(r.RetryOn, ",") {
		if code, err := strconv.Atoi(on); !slices.Contains(retryOn, on) && (err != nil || http.StatusText(code) == "") {
			c.refuse(path+".retryOn", "%q is none of %s, nor a status of HTTP", on, strings.Join(retryOn, ", "))
		}
	}
}

// rewrite checks what of a request is changed (validateHTTPRewrite, validateAuthorityRewrite).
func (c *checker) rewrite(path string, r *networking.HTTPRoute) {
	to := r.GetRewrite()
	if to != nil {
		path := path + ".rewrite"
		regex := to.UriRegexRewrite
		switch {
		case to.Uri != "" && regex != nil:
			c.refuse(path+".uriRegexRewrite", "cannot stand beside uri")
		case to.Uri == "" && regex == nil && to.Authority == "":
			c.refuse(path, "is empty: a rewrite changes something")
		case regex == nil:
		case regex.Match == "" || regex.Rewrite == "":
			c.refuse(path+".uriRegexRewrite", "needs match and rewrite")
		default:
			c.program(path+".uriRegexRewrite.match", regex.Match)
		}
	}
	set := 0
	if to.GetAuthority() != "" {
		set++
	}
	request := r.GetHeaders().GetRequest()
	for _, op := range []map[string]string{request.GetSet(), request.GetAdd()} {
		for name, value := range op {
			if !isAuthority(name) {
				continue
			}
			if set > 0 {
				c.refuse(path+".headers.request", "sets the authority of requests, and it is set already")
				return
			}
			if value != "" {
				set++
			}
		}
	}
}
