package manifest

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// bound is what the schema of a field asks of its value beyond the type: an API server
// refuses what is out of bounds. A maximum of zero is none.
type bound struct {
	length  [2]int // characters of a string
	items   [2]int // of a list, or a map
	number  [2]float64
	pattern *regexp.Regexp
	each    *bound              // the elements of a list, or the values of a map
	key     func(string) string // why a key of a map is refused
	unique  string              // the key that tells the elements of a list apart
	check   func(string) string // why a string is refused
}

var (
	anyPort  = &bound{number: [2]float64{1, 65535}}
	atLeast0 = bound{number: [2]float64{0, math.MaxInt32}}
	percent  = bound{number: [2]float64{0, 100}}
	given    = bound{length: [2]int{1}} // a string that is not empty
	several  = &given

	groupPattern  = regexp.MustCompile(`^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	kindPattern   = regexp.MustCompile(`^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$`)
	headerPattern = regexp.MustCompile(`^[-_A-Za-z0-9]+$`)
	portPattern   = regexp.MustCompile(`^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$`)
)

// bounds are those of Istio's CustomResourceDefinitions
// (https://github.com/istio/api, kubernetes/customresourcedefinitions.gen.yaml), by the
// field of the message. The module test/istio holds them to the definitions.
var bounds = map[protoreflect.FullName]bound{
	"istio.type.v1beta1.PolicyTargetReference.group":     {length: [2]int{0, 253}, pattern: groupPattern},
	"istio.type.v1beta1.PolicyTargetReference.kind":      {length: [2]int{1, 63}, pattern: kindPattern},
	"istio.type.v1beta1.PolicyTargetReference.name":      {length: [2]int{1, 253}},
	"istio.type.v1beta1.PolicyTargetReference.namespace": {check: func(s string) string { return unless(s == "", "is that of the policy itself; leave it out") }},
	"istio.type.v1beta1.PortSelector.number":             *anyPort,
	"istio.type.v1beta1.WorkloadSelector.match_labels": {items: [2]int{0, 4096}, each: &bound{length: [2]int{0, 63}, check: noWildcard}, key: func(s string) string {
		return unless(s != "", "a label has a name") + noWildcard(s)
	}},

	"istio.networking.v1alpha3.WorkloadSelector.labels": {items: [2]int{0, 256}, each: &bound{length: [2]int{0, 63}, check: noWildcard}},

	"istio.networking.v1alpha3.ServiceEntry.hosts":      {items: [2]int{0, 256}, each: &bound{check: oneHost}},
	"istio.networking.v1alpha3.ServiceEntry.addresses":  {items: [2]int{0, 256}, each: &bound{length: [2]int{0, 64}}},
	"istio.networking.v1alpha3.ServiceEntry.endpoints":  {items: [2]int{0, 4096}},
	"istio.networking.v1alpha3.ServiceEntry.ports":      {items: [2]int{0, 256}},
	"istio.networking.v1alpha3.ServicePort.name":        {length: [2]int{0, 256}},
	"istio.networking.v1alpha3.ServicePort.number":      *anyPort,
	"istio.networking.v1alpha3.ServicePort.target_port": *anyPort,
	"istio.networking.v1alpha3.ServicePort.protocol":    {length: [2]int{0, 256}},

	"istio.networking.v1alpha3.WorkloadEntry.address":         {length: [2]int{0, 256}, check: socket},
	"istio.networking.v1alpha3.WorkloadEntry.labels":          {items: [2]int{0, 256}},
	"istio.networking.v1alpha3.WorkloadEntry.locality":        {length: [2]int{0, 2048}},
	"istio.networking.v1alpha3.WorkloadEntry.network":         {length: [2]int{0, 2048}},
	"istio.networking.v1alpha3.WorkloadEntry.service_account": {length: [2]int{0, 253}},
	"istio.networking.v1alpha3.WorkloadEntry.ports": {items: [2]int{0, 128}, each: anyPort, key: func(s string) string {
		return unless(len(s) < 63 && portPattern.MatchString(s), "is not the name of a port: at most 62 letters, digits and '-', of which the last stands inside")
	}},

	"istio.networking.v1alpha3.WorkloadGroup.ObjectMeta.annotations": {items: [2]int{0, 256}},
	"istio.networking.v1alpha3.WorkloadGroup.ObjectMeta.labels":      {items: [2]int{0, 256}},
	"istio.networking.v1alpha3.ReadinessProbe.initial_delay_seconds": atLeast0,
	"istio.networking.v1alpha3.ReadinessProbe.timeout_seconds":       atLeast0,
	"istio.networking.v1alpha3.ReadinessProbe.period_seconds":        atLeast0,
	"istio.networking.v1alpha3.ReadinessProbe.success_threshold":     atLeast0,
	"istio.networking.v1alpha3.ReadinessProbe.failure_threshold":     atLeast0,
	"istio.networking.v1alpha3.HTTPHealthCheckConfig.port":           *anyPort,
	"istio.networking.v1alpha3.HTTPHealthCheckConfig.scheme": {check: func(s string) string {
		return unless(slices.Contains([]string{"", "HTTP", "HTTPS"}, s), "is neither HTTP nor HTTPS")
	}},
	"istio.networking.v1alpha3.HTTPHeader.name":               {pattern: headerPattern},
	"istio.networking.v1alpha3.TCPHealthCheckConfig.port":     *anyPort,
	"istio.networking.v1alpha3.GrpcHealthCheckConfig.port":    *anyPort,
	"istio.networking.v1alpha3.ExecHealthCheckConfig.command": {each: several},

	"istio.networking.v1alpha3.ServerTLSSettings.credential_names": {items: [2]int{1, 2}},
	"istio.networking.v1alpha3.ServerTLSSettings.tls_certificates": {items: [2]int{1, 2}},

	"istio.networking.v1alpha3.WarmupConfiguration.minimum_percent":                 percent,
	"istio.networking.v1alpha3.WarmupConfiguration.aggression":                      {number: [2]float64{0, math.MaxFloat64}},
	"istio.networking.v1alpha3.ZoneAwareLoadBalancerSetting.min_cluster_size":       {number: [2]float64{1, math.MaxUint32}},
	"istio.networking.v1alpha3.OutlierDetection.failure_percentage_threshold":       percent,
	"istio.networking.v1alpha3.OutlierDetection.outlier_detection_http_error_codes": {each: &bound{number: [2]float64{100, 599}}},
	"istio.networking.v1alpha3.TrafficPolicy.RetryBudget.percent":                   percent,

	"istio.networking.v1alpha3.EnvoyFilter.target_refs":               {items: [2]int{0, 16}},
	"istio.networking.v1alpha3.EnvoyFilter.WaypointMatch.port_number": *anyPort,

	"istio.networking.v1beta1.ProxyConfig.concurrency":           atLeast0,
	"istio.networking.v1beta1.ProxyConfig.environment_variables": {each: &bound{length: [2]int{0, 2048}}},

	"istio.security.v1beta1.AuthorizationPolicy.rules":       {items: [2]int{0, 512}},
	"istio.security.v1beta1.AuthorizationPolicy.target_refs": {items: [2]int{0, 16}},
	"istio.security.v1beta1.Rule.from":                       {items: [2]int{0, 512}},
	"istio.security.v1beta1.Source.service_accounts":         {items: [2]int{0, 16}, each: &bound{length: [2]int{0, 320}}},
	"istio.security.v1beta1.Source.not_service_accounts":     {items: [2]int{0, 16}, each: &bound{length: [2]int{0, 320}}},
	"istio.security.v1beta1.PeerAuthentication.port_level_mtls": {items: [2]int{1}, key: func(s string) string {
		n, err := strconv.Atoi(s)
		return unless(err == nil && n > 0 && n <= 65535, "is not a port: 1 to 65535")
	}},
	"istio.security.v1beta1.RequestAuthentication.jwt_rules":   {items: [2]int{0, 4096}},
	"istio.security.v1beta1.RequestAuthentication.target_refs": {items: [2]int{0, 16}},
	"istio.security.v1beta1.JWTRule.audiences":                 {each: several},
	"istio.security.v1beta1.JWTRule.from_cookies":              {each: several},
	"istio.security.v1beta1.JWTRule.from_params":               {each: several},
	"istio.security.v1beta1.JWTRule.issuer":                    given,
	"istio.security.v1beta1.JWTRule.jwks_uri":                  {length: [2]int{1, 2048}},
	"istio.security.v1beta1.JWTRule.space_delimited_claims":    {items: [2]int{0, 64}, each: several},
	"istio.security.v1beta1.JWTHeader.name":                    given,
	"istio.security.v1beta1.ClaimToHeader.claim":               given,
	"istio.security.v1beta1.ClaimToHeader.header":              {length: [2]int{1}, pattern: headerPattern},

	"istio.telemetry.v1alpha1.Telemetry.target_refs":              {items: [2]int{0, 16}},
	"istio.telemetry.v1alpha1.ProviderRef.name":                   given,
	"istio.telemetry.v1alpha1.MetricSelector.custom_metric":       given,
	"istio.telemetry.v1alpha1.Tracing.random_sampling_percentage": percent,
	"istio.telemetry.v1alpha1.Tracing.Environment.name":           given,
	"istio.telemetry.v1alpha1.Tracing.Formatter.value":            given,
	"istio.telemetry.v1alpha1.Tracing.RequestHeader.name":         given,
	"istio.telemetry.v1alpha1.Tracing.Literal.value":              given,

	"istio.extensions.v1alpha1.WasmPlugin.image_pull_secret":     {length: [2]int{1, 253}},
	"istio.extensions.v1alpha1.WasmPlugin.plugin_name":           {length: [2]int{1, 256}},
	"istio.extensions.v1alpha1.WasmPlugin.url":                   given,
	"istio.extensions.v1alpha1.WasmPlugin.target_refs":           {items: [2]int{0, 16}},
	"istio.extensions.v1alpha1.WasmPlugin.TrafficSelector.ports": {unique: "number"},
	"istio.extensions.v1alpha1.WasmConfig.image_pull_secret":     {length: [2]int{1, 253}},
	"istio.extensions.v1alpha1.WasmConfig.plugin_name":           {length: [2]int{1, 256}},
	"istio.extensions.v1alpha1.WasmConfig.url":                   given,
	"istio.extensions.v1alpha1.TrafficExtension.target_refs":     {items: [2]int{0, 16}},
	"istio.extensions.v1alpha1.TrafficSelector.ports":            {unique: "number"},
	"istio.extensions.v1alpha1.LuaConfig.inline_code":            {length: [2]int{1, 65536}},
	"istio.extensions.v1alpha1.VmConfig.env":                     {items: [2]int{0, 256}, unique: "name"},
	"istio.extensions.v1alpha1.EnvVar.name":                      {length: [2]int{1, 256}},
	"istio.extensions.v1alpha1.EnvVar.value":                     {length: [2]int{0, 2048}},
}

// anyDuration are the durations that may be shorter than a millisecond: all others may not.
var anyDuration = []protoreflect.FullName{
	"istio.networking.v1alpha3.TrafficPolicy.RetryBudget.budget_interval",
	"istio.networking.v1alpha3.LoadBalancerSettings.ConsistentHashLB.HTTPCookie.ttl",
	"istio.networking.v1alpha3.LoadBalancerSettings.BackendUtilization.weight_stabilization_period",
	"istio.networking.v1alpha3.LoadBalancerSettings.BackendUtilization.weight_expiration_period",
	"istio.networking.v1alpha3.LoadBalancerSettings.BackendUtilization.weight_update_period",
	"istio.networking.v1alpha3.ConnectionPoolSettings.TCPSettings.idle_timeout",
}

func unless(fine bool, why string) string {
	if fine {
		return ""
	}
	return why
}

func noWildcard(s string) string {
	return unless(!strings.Contains(s, "*"), "a label is selected by its whole name and value, without wildcards")
}

func oneHost(s string) string {
	return unless(s != "*", "registers every host there is; name the hosts that are called")
}

func socket(s string) string {
	file, ok := strings.CutPrefix(s, "unix://")
	return unless(!ok || (strings.HasPrefix(file, "/") || strings.HasPrefix(file, "@")) && !strings.HasSuffix(s, "/"), "is not the absolute path of a socket")
}

// bounded checks the value of a field, or an element of it, against its bounds.
func (c *checker) bounded(v *value, b *bound, path string) {
	switch v.kind {
	case text:
		c.textIn(v, b, path)
	case number:
		if n, err := strconv.ParseFloat(v.text, 64); b.number[1] != 0 && (err != nil || n < b.number[0] || n > b.number[1]) {
			c.errorf(v.line, path, "%s", b.outside(v.text))
		}
	case array:
		c.count(v, len(v.items), b, path)
		seen := map[string]bool{}
		for i, item := range v.items {
			if b.each != nil {
				c.bounded(item, b.each, index(path, i))
			}
			if k := item.get(b.unique); k != nil {
				if seen[k.text] {
					c.errorf(k.line, index(path, i)+"."+b.unique, "%q is given twice", k.text)
				}
				seen[k.text] = true
			}
		}
	case object:
		c.count(v, len(v.fields), b, path)
		for _, f := range v.fields {
			at := path + `["` + f.key + `"]`
			if b.key != nil {
				if why := b.key(f.key); why != "" {
					c.errorf(f.line, at, "%s", why)
				}
			}
			if b.each != nil {
				c.bounded(f.value, b.each, at)
			}
		}
	}
}

// outside says that a number is out of bounds.
func (b *bound) outside(n string) string {
	if b.number == anyPort.number {
		return n + " is not a port: 1 to 65535"
	}
	if b.number[1] >= math.MaxInt32 {
		return fmt.Sprintf("%s is less than %v", n, b.number[0])
	}
	return fmt.Sprintf("%s is not in %v to %v", n, b.number[0], b.number[1])
}

func (c *checker) textIn(v *value, b *bound, path string) {
	n := utf8.RuneCountInString(v.text)
	switch {
	case n == 0 && b.length[0] > 0:
		c.errorf(v.line, path, "is empty")
	case b.length[1] > 0 && n > b.length[1]:
		c.errorf(v.line, path, "has %d characters, and at most %d are allowed", n, b.length[1])
	case b.pattern != nil && !b.pattern.MatchString(v.text):
		c.errorf(v.line, path, "%q does not match %s", v.text, b.pattern)
	case b.check != nil:
		if why := b.check(v.text); why != "" {
			c.errorf(v.line, path, "%q %s", v.text, why)
		}
	}
}

func (c *checker) count(v *value, n int, b *bound, path string) {
	switch {
	case n < b.items[0]:
		c.errorf(v.line, path, "is empty: at least %d is needed", b.items[0])
	case b.items[1] > 0 && n > b.items[1]:
		c.errorf(v.line, path, "has %d, and at most %d are allowed", n, b.items[1])
	}
}

// duration checks the string that a duration is written as.
func (c *checker) duration(v *value, fd protoreflect.FieldDescriptor, path string) {
	if c.is(v, path, text); v.kind != text {
		return
	}
	d, err := time.ParseDuration(v.text)
	switch {
	case err != nil:
		c.errorf(v.line, path, "%q is no duration, such as 1.5s", v.text)
	case d < time.Millisecond && !slices.Contains(anyDuration, fd.FullName()):
		c.errorf(v.line, path, "%s is no duration: at least 1ms", v.text)
	}
}

// together are the fields of which at most one may be given, by message: not even an empty
// list may stand beside another.
var together = map[protoreflect.FullName][][]string{
	"istio.networking.v1alpha3.EnvoyFilter":        {{"workloadSelector", "targetRefs"}},
	"istio.networking.v1alpha3.ServiceEntry":       {{"endpoints", "workloadSelector"}},
	"istio.networking.v1alpha3.ServerTLSSettings":  {{"credentialNames", "credentialName"}, {"credentialNames", "tlsCertificates"}},
	"istio.security.v1beta1.AuthorizationPolicy":   {{"selector", "targetRef", "targetRefs"}},
	"istio.security.v1beta1.RequestAuthentication": {{"selector", "targetRef", "targetRefs"}},
	"istio.security.v1beta1.JWTRule":               {{"jwks", "jwksUri"}},
	"istio.telemetry.v1alpha1.Telemetry":           {{"selector", "targetRef", "targetRefs"}},
	"istio.extensions.v1alpha1.WasmPlugin":         {{"selector", "targetRef", "targetRefs"}},
	"istio.extensions.v1alpha1.TrafficExtension":   {{"selector", "targetRefs"}},
}

// rules check what the definitions check by expressions, by message.
var rules = map[protoreflect.FullName]func(c *checker, v *value, path string){
	"istio.networking.v1alpha3.ServiceEntry":  (*checker).serviceEntry,
	"istio.networking.v1alpha3.WorkloadEntry": (*checker).workloadEntry,
	"istio.networking.v1alpha3.EnvoyFilter.EnvoyConfigObjectMatch": func(c *checker, v *value, path string) {
		if at := v.get("context").str() == "WAYPOINT"; at != v.has("waypoint") {
			c.errorf(v.line, path+".waypoint", "stands with context: WAYPOINT, and with no other")
		}
	},
	"istio.security.v1beta1.PeerAuthentication": func(c *checker, v *value, path string) {
		if ports := v.get("portLevelMtls"); v.has("portLevelMtls") && len(v.at("selector", "matchLabels").members()) == 0 {
			c.errorf(ports.line, path+".portLevelMtls", "is for some workloads; a whole namespace, or mesh, has none")
		}
	},
	"istio.security.v1beta1.Source": func(c *checker, v *value, path string) {
		if !v.has("serviceAccounts") && !v.has("notServiceAccounts") {
			return
		}
		for _, key := range []string{"principals", "notPrincipals", "namespaces", "notNamespaces"} {
			if v.has(key) {
				c.errorf(v.get(key).line, path+"."+key, "cannot stand beside service accounts")
			}
		}
	},
	"istio.telemetry.v1alpha1.MetricsOverrides.TagOverride": func(c *checker, v *value, path string) {
		switch operation := v.get("operation").str(); {
		case operation == "UPSERT" && v.get("value").str() == "":
			c.errorf(v.line, path+".value", "missing: UPSERT writes a value")
		case operation == "REMOVE" && v.has("value"):
			c.errorf(v.get("value").line, path+".value", "cannot stand beside operation REMOVE")
		}
	},
	"istio.extensions.v1alpha1.EnvVar": func(c *checker, v *value, path string) {
		if v.get("valueFrom").str() == "HOST" && v.has("value") {
			c.errorf(v.get("value").line, path+".value", "cannot stand beside valueFrom: HOST")
		}
	},
}

// has reports whether an object has a field that is not null.
func (v *value) has(key string) bool {
	f := v.get(key)
	return f != nil && f.kind != null
}

// members are the fields of an object; a nil value has none.
func (v *value) members() []*field {
	if v == nil {
		return nil
	}
	return v.fields
}

// cross checks the fields of one message against each other.
func (c *checker) cross(v *value, md protoreflect.MessageDescriptor, path string) {
	for _, keys := range together[md.FullName()] {
		first := ""
		for _, k := range keys {
			switch {
			case !v.has(k):
			case first != "":
				c.errorf(v.get(first).line, join(path, first), "cannot stand beside %s: only one of them may be given", k)
			default:
				first = k
			}
		}
	}
	if rule := rules[md.FullName()]; rule != nil {
		rule(c, v, path)
	}
}

// serviceEntry checks resolution against what is given to resolve.
func (c *checker) serviceEntry(v *value, path string) {
	endpoints, resolution := v.get("endpoints"), v.get("resolution").str()
	if v.has("endpoints") && (resolution == "" || resolution == "NONE") {
		c.errorf(endpoints.line, path+".endpoints", "resolution NONE takes no endpoints; write resolution: STATIC or DNS")
	}
	if n := len(endpoints.list()); resolution == "DNS_ROUND_ROBIN" && n > 1 {
		c.errorf(endpoints.line, path+".endpoints", "resolution DNS_ROUND_ROBIN takes one endpoint, not %d", n)
	}
	for i, a := range v.get("addresses").list() {
		if strings.Contains(a.str(), "/") && !slices.Contains([]string{"", "NONE", "STATIC"}, resolution) {
			c.errorf(a.line, index(path+".addresses", i), "a CIDR range needs resolution NONE or STATIC, not %s", resolution)
		}
	}
}

// workloadEntry checks that a Unix domain socket has no ports.
func (c *checker) workloadEntry(v *value, path string) {
	if ports := v.get("ports"); v.has("ports") && strings.HasPrefix(v.get("address").str(), "unix://") {
		c.errorf(ports.line, path+".ports", "a Unix domain socket has no ports")
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
