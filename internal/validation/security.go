package validation

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	security "istio.io/api/security/v1beta1"
)

// authorizationPolicy checks an AuthorizationPolicy (ValidateAuthorizationPolicy).
func (c *checker) authorizationPolicy(p *security.AuthorizationPolicy) {
	c.targets(p.GetSelector(), p.GetTargetRef(), p.GetTargetRefs())
	custom := p.GetAction() == security.AuthorizationPolicy_CUSTOM
	switch {
	case custom && p.Rules == nil, p.GetAction() == security.AuthorizationPolicy_DENY && p.Rules == nil:
		c.refuse("spec.rules", "missing: %s without rules applies to nothing; write rules: [{}] for every request", p.GetAction())
	case custom && p.GetProvider().GetName() == "":
		c.refuse("spec.provider.name", "missing: CUSTOM asks a provider")
	case !custom && p.GetProvider() != nil:
		c.refuse("spec.provider", "is for the action CUSTOM alone, not %s", p.GetAction())
	}
	for i, r := range p.GetRules() {
		path := index("spec.rules", i)
		if custom {
			c.customRule(path, r)
		}
		c.present(path+".from", r.From != nil && len(r.From) == 0)
		c.present(path+".to", r.To != nil && len(r.To) == 0)
		for j, f := range r.GetFrom() {
			c.source(index(path+".from", j)+".source", f.GetSource())
		}
		for j, t := range r.GetTo() {
			c.operation(index(path+".to", j)+".operation", t.GetOperation())
		}
		for j, w := range r.GetWhen() {
			c.condition(index(path+".when", j), w)
		}
	}
}

func (c *checker) present(path string, empty bool) {
	if empty {
		c.refuse(path, "is empty; leave it out")
	}
}

// customRule checks that a rule needs nothing that a provider is not told.
func (c *checker) customRule(path string, r *security.Rule) {
	const unsupported = "the action CUSTOM does not support it"
	for i, f := range r.GetFrom() {
		s := f.GetSource()
		for _, l := range []named{
			{"namespaces", s.GetNamespaces()},
			{"notNamespaces", s.GetNotNamespaces()},
			{"serviceAccounts", s.GetServiceAccounts()},
			{"notServiceAccounts", s.GetNotServiceAccounts()},
			{"trustDomains", s.GetTrustDomains()},
			{"notTrustDomains", s.GetNotTrustDomains()},
			{"principals", s.GetPrincipals()},
			{"notPrincipals", s.GetNotPrincipals()},
			{"requestPrincipals", s.GetRequestPrincipals()},
			{"notRequestPrincipals", s.GetNotRequestPrincipals()},
		} {
			if len(l.values) > 0 {
				c.refuse(index(path+".from", i)+".source."+l.name, unsupported)
			}
		}
	}
	for i, w := range r.GetWhen() {
		if k := w.GetKey(); strings.HasPrefix(k, "request.auth.") || slices.Contains([]string{"source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal"}, k) {
			c.refuse(index(path+".when", i)+".key", unsupported)
		}
	}
}

// named are the values of a field.
type named struct {
	name   string
	values []string
}

// source checks from where a request may come.
func (c *checker) source(path string, s *security.Source) {
	if s == nil {
		c.refuse(path, "missing")
		return
	}
	lists := []named{
		{"principals", s.Principals},
		{"notPrincipals", s.NotPrincipals},
		{"requestPrincipals", s.RequestPrincipals},
		{"notRequestPrincipals", s.NotRequestPrincipals},
		{"namespaces", s.Namespaces},
		{"notNamespaces", s.NotNamespaces},
		{"ipBlocks", s.IpBlocks},
		{"notIpBlocks", s.NotIpBlocks},
		{"remoteIpBlocks", s.RemoteIpBlocks},
		{"notRemoteIpBlocks", s.NotRemoteIpBlocks},
		{"serviceAccounts", s.ServiceAccounts},
		{"notServiceAccounts", s.NotServiceAccounts},
		{"trustDomains", s.TrustDomains},
		{"notTrustDomains", s.NotTrustDomains},
	}
	c.present(path, !slices.ContainsFunc(lists, func(l named) bool { return len(l.values) > 0 }))
	if len(s.Principals)+len(s.NotPrincipals)+len(s.Namespaces)+len(s.NotNamespaces) > 0 && len(s.ServiceAccounts)+len(s.NotServiceAccounts) > 0 {
		c.refuse(path+".serviceAccounts", "cannot stand beside principals or namespaces")
	}
	for _, l := range lists {
		at := path + "." + l.name
		switch strings.ToLower(strings.TrimPrefix(l.name, "not")) {
		case "ipblocks", "remoteipblocks":
			c.ranges(at, l.values)
		case "serviceaccounts":
			c.serviceAccounts(at, l.values)
		case "trustdomains":
			c.patterns(at, l.values, false)
		default:
			c.notEmpty(at, l.values)
		}
	}
}

func (c *checker) notEmpty(path string, values []string) {
	if i := slices.Index(values, ""); i >= 0 {
		c.refuse(index(path, i), "is empty")
	}
}

// ranges checks addresses and CIDR ranges.
func (c *checker) ranges(path string, values []string) {
	for i, v := range values {
		c.subnet(index(path, i), v)
	}
}

// Bounds of the service accounts of a rule.
const (
	maxAccounts = 16
	maxAccount  = 320
)

func (c *checker) serviceAccounts(path string, values []string) {
	if len(values) > maxAccounts {
		c.refuse(path, "has more than %d", maxAccounts)
	}
	for i, v := range values {
		namespace, account, scoped := strings.Cut(v, "/")
		if v == "" || len(v) > maxAccount || strings.Contains(v, "*") || scoped && (namespace == "" || account == "" || strings.Contains(account, "/")) {
			c.refuse(index(path, i), "%q is neither ACCOUNT nor NAMESPACE/ACCOUNT", v)
		}
	}
}

// patterns checks names of which one end may be a wildcard.
func (c *checker) patterns(path string, values []string, slash bool) {
	for i, v := range values {
		n := strings.Count(v, "*")
		if v == "" || n > 1 || n == 1 && !strings.HasPrefix(v, "*") && !strings.HasSuffix(v, "*") || !slash && strings.Contains(v, "/") {
			c.refuse(index(path, i), "%q is no name, nor one with a wildcard at an end", v)
		}
	}
}

// operation checks what a request may do.
func (c *checker) operation(path string, o *security.Operation) {
	if o == nil {
		c.refuse(path, "missing")
		return
	}
	lists := []named{
		{"hosts", o.Hosts},
		{"notHosts", o.NotHosts},
		{"ports", o.Ports},
		{"notPorts", o.NotPorts},
		{"methods", o.Methods},
		{"notMethods", o.NotMethods},
		{"paths", o.Paths},
		{"notPaths", o.NotPaths},
	}
	c.present(path, !slices.ContainsFunc(lists, func(l named) bool { return len(l.values) > 0 }))
	for _, l := range lists {
		at := path + "." + l.name
		c.notEmpty(at, l.values)
		switch l.name {
		case "ports", "notPorts":
			c.portNumbers(at, l.values)
		case "paths", "notPaths":
			for i, p := range l.values {
				if !pathTemplate(p) {
					c.refuse(index(at, i), "%q is no path: {*} stands for a segment and {**} for the rest of them; nothing else has braces", p)
				}
			}
		}
	}
}

// portNumbers checks ports that are written as strings; 0 passes, as in Istio.
func (c *checker) portNumbers(path string, values []string) {
	for i, v := range values {
		if n, err := strconv.ParseUint(v, 10, 32); err != nil || n > 65535 {
			c.refuse(index(path, i), "%q is not a port: 1 to 65535", v)
		}
	}
}

// segment is a segment of a path with templates.
var segment = regexp.MustCompile(`^[a-zA-Z0-9-._~%!$&'()+,;:@=]+$`)

// pathTemplate checks a path in which whole segments may be templates
// (CheckValidPathTemplate).
func pathTemplate(path string) bool {
	const one, rest = "{*}", "{**}"
	templates, ended := strings.Contains(path, one) || strings.Contains(path, rest), false
	for s := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		switch {
		case (s == one || s == rest) && ended:
			return false
		case s == one:
		case s == rest:
			ended = true
		case strings.ContainsAny(s, "{}") || templates && !segment.MatchString(s):
			return false
		}
	}
	return true
}

// condition checks a further condition of a rule (ValidateAttribute).
func (c *checker) condition(path string, w *security.Condition) {
	k := w.GetKey()
	if k == "" {
		c.refuse(path+".key", "missing")
		return
	}
	if len(w.GetValues()) == 0 && len(w.GetNotValues()) == 0 {
		c.refuse(path+".values", "missing: a condition has values or notValues")
		return
	}
	if why := badAttribute(k); why != "" {
		c.refuse(path+".key", "%q %s", k, why)
		return
	}
	for _, l := range []named{{"values", w.GetValues()}, {"notValues", w.GetNotValues()}} {
		at := path + "." + l.name
		switch k {
		case "source.ip", "remote.ip", "destination.ip":
			c.ranges(at, l.values)
		case "source.serviceAccount":
			c.serviceAccounts(at, l.values)
		case "source.trustDomain":
			c.patterns(at, l.values, true)
		case "destination.port":
			c.portNumbers(at, l.values)
		default:
			c.notEmpty(at, l.values)
		}
	}
}

// badAttribute returns why a key is none that a condition may have.
func badAttribute(k string) string {
	open := strings.Index(k, "[")
	indexed := strings.HasSuffix(k, "]") && open > 0 && open < len(k)-2
	has := func(prefix string) bool { return strings.HasPrefix(k, prefix) }
	known := []string{
		"source.ip", "remote.ip", "source.namespace", "source.serviceAccount", "source.principal", "source.trustDomain",
		"request.auth.principal", "request.auth.audiences", "request.auth.presenter", "destination.ip", "destination.port", "connection.sni",
	}
	switch {
	case has("request.headers"), has("request.auth.claims"), has("experimental.envoy.filters."):
		if !indexed {
			return "is not of the form " + k[:max(open, 0)] + "[NAME]"
		}
	case slices.Contains(known, k):
	case has("destination.labels"), k == "destination.namespace":
		return "is chosen by the policy's selector and namespace"
	default:
		return "is no attribute of a request"
	}
	return ""
}

// requestAuthentication checks a RequestAuthentication (ValidateRequestAuthentication).
func (c *checker) requestAuthentication(a *security.RequestAuthentication) {
	c.targets(a.GetSelector(), a.GetTargetRef(), a.GetTargetRefs())
	for i, r := range a.GetJwtRules() {
		path := index("spec.jwtRules", i)
		c.notEmpty(path+".audiences", r.GetAudiences())
		c.notEmpty(path+".fromParams", r.GetFromParams())
		c.notEmpty(path+".fromCookies", r.GetFromCookies())
		if r.GetIssuer() == "" && r.GetJwksUri() == "" {
			c.refuse(path+".issuer", "missing: a token is of an issuer, or of the keys at jwksUri")
		}
		if u := r.GetJwksUri(); u != "" {
			c.jwksURI(path+".jwksUri", u)
		}
		if s := r.GetJwks(); s != "" && !keySet([]byte(s)) {
			c.refuse(path+".jwks", "is neither a set of keys in JSON nor one key")
		}
		for j, h := range r.GetFromHeaders() {
			if h.GetName() == "" {
				c.refuse(index(path+".fromHeaders", j)+".name", "missing")
			}
		}
		for j, o := range r.GetOutputClaimToHeaders() {
			at := index(path+".outputClaimToHeaders", j)
			if o.GetClaim() == "" {
				c.refuse(at+".claim", "missing")
			}
			if !plainHeader.MatchString(o.GetHeader()) {
				c.refuse(at+".header", "%q is not the name of a header", o.GetHeader())
			}
		}
		c.duration(path+".timeout", r.GetTimeout())
	}
}

// keySet reports whether JSON looks like a set of keys, or like a key. What makes a key is
// not looked at.
func keySet(raw []byte) bool {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
		Type string             `json:"kty"`
	}
	return json.Unmarshal(raw, &set) == nil && (set.Keys != nil || set.Type != "")
}

// jwksURI checks where keys are (ParseJwksURI).
func (c *checker) jwksURI(path, s string) {
	u, err := url.ParseRequestURI(s)
	if err == nil {
		u, err = url.Parse(s)
	}
	if err == nil && u.Port() != "" {
		_, err = strconv.Atoi(u.Port())
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		c.refuse(path, "%q is no URL of http or https", s)
	}
}

// peerAuthentication checks a PeerAuthentication (ValidatePeerAuthentication).
func (c *checker) peerAuthentication(p *security.PeerAuthentication) {
	const path = "spec.portLevelMtls"
	if len(p.GetSelector().GetMatchLabels()) == 0 && len(p.GetPortLevelMtls()) > 0 {
		c.refuse(path, "is for some workloads; a whole namespace, or mesh, has none")
	}
	for _, port := range sorted(p.GetPortLevelMtls()) {
		c.port(path, port)
	}
	c.selector("spec.selector", p.GetSelector())
}
