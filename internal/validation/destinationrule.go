package validation

import (
	"math"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// destinationRule checks a DestinationRule (ValidateDestinationRule).
func (c *checker) destinationRule(r *networking.DestinationRule) {
	c.domain("spec.host", r.GetHost())
	c.trafficPolicy("spec.trafficPolicy", r.GetTrafficPolicy())
	seen := map[string]bool{}
	for i, s := range r.GetSubsets() {
		path, name := index("spec.subsets", i), s.GetName()
		if seen[name] {
			c.refuse(path+".name", "%q is the name of another subset already", name)
		}
		seen[name] = true
		if name == "" {
			c.refuse(path+".name", "missing: a subset has a name")
		} else {
			c.subset(path+".name", name)
		}
		c.labels(path+".labels", s.GetLabels())
		c.trafficPolicy(path+".trafficPolicy", s.GetTrafficPolicy())
	}
	c.exportTo(r.GetExportTo(), false, r.GetWorkloadSelector() != nil)
	c.selector("spec.workloadSelector", r.GetWorkloadSelector())
}

// subset checks the name of a subset.
func (c *checker) subset(path, s string) {
	if !isLabel(s) {
		c.refuse(path, "%q is not the name of a subset: at most 63 letters, digits and '-', of which the last stands inside", s)
	}
}

func (c *checker) trafficPolicy(path string, p *networking.TrafficPolicy) {
	switch {
	case p == nil:
		return
	case p.OutlierDetection == nil && p.ConnectionPool == nil && p.LoadBalancer == nil && p.Tls == nil &&
		p.PortLevelSettings == nil && p.Tunnel == nil && p.ProxyProtocol == nil && p.RetryBudget == nil:
		c.refuse(path, "is empty: a traffic policy has a setting")
		return
	case p.Tunnel != nil && p.ProxyProtocol != nil:
		c.refuse(path+".tunnel", "cannot stand beside proxyProtocol")
		return
	}
	c.outlierDetection(path+".outlierDetection", p.OutlierDetection)
	c.connectionPool(path+".connectionPool", p.ConnectionPool)
	c.loadBalancer(path+".loadBalancer", p.LoadBalancer)
	c.clientTLS(path+".tls", p.Tls)
	for i, s := range p.PortLevelSettings {
		path := index(path+".portLevelSettings", i)
		if s.GetPort() == nil {
			c.refuse(path+".port", "missing: the settings are for one port")
		}
		if s.OutlierDetection == nil && s.ConnectionPool == nil && s.LoadBalancer == nil && s.Tls == nil {
			c.refuse(path, "is empty: the settings of a port have a setting")
			continue
		}
		c.outlierDetection(path+".outlierDetection", s.OutlierDetection)
		c.connectionPool(path+".connectionPool", s.ConnectionPool)
		c.loadBalancer(path+".loadBalancer", s.LoadBalancer)
		c.clientTLS(path+".tls", s.Tls)
	}
	if t := p.Tunnel; t != nil {
		if !slices.Contains([]string{"", "CONNECT", "POST"}, t.GetProtocol()) {
			c.refuse(path+".tunnel.protocol", "%q is neither CONNECT nor POST", t.GetProtocol())
		}
		c.fqdnOrAddress(path+".tunnel.targetHost", t.GetTargetHost())
		c.port(path+".tunnel.targetPort", t.GetTargetPort())
	}
}

func (c *checker) outlierDetection(path string, o *networking.OutlierDetection) {
	if o == nil {
		return
	}
	c.duration(path+".baseEjectionTime", o.BaseEjectionTime)
	c.duration(path+".interval", o.Interval)
	if !o.SplitExternalLocalOriginErrors && o.GetConsecutiveLocalOriginFailures().GetValue() > 0 {
		c.refuse(path+".consecutiveLocalOriginFailures", "needs splitExternalLocalOriginErrors: true")
	}
	c.percent(path+".maxEjectionPercent", float64(o.MaxEjectionPercent))
	c.percent(path+".minHealthPercent", float64(o.MinHealthPercent))
}

// percent checks a part of a hundred.
func (c *checker) percent(path string, n float64) {
	if n < 0 || n > 100 {
		c.refuse(path, "%v is no percentage: 0 to 100", n)
	}
}

// notNegative checks a count.
func (c *checker) notNegative(path string, n int32) {
	if n < 0 {
		c.refuse(path, "%d is less than nothing", n)
	}
}

func (c *checker) connectionPool(path string, p *networking.ConnectionPoolSettings) {
	if p == nil {
		return
	}
	if p.Http == nil && p.Tcp == nil {
		c.refuse(path, "is empty: a connection pool has http or tcp")
		return
	}
	if h := p.Http; h != nil {
		path := path + ".http"
		c.notNegative(path+".http1MaxPendingRequests", h.Http1MaxPendingRequests)
		c.notNegative(path+".http2MaxRequests", h.Http2MaxRequests)
		c.notNegative(path+".maxRequestsPerConnection", h.MaxRequestsPerConnection)
		c.notNegative(path+".maxRetries", h.MaxRetries)
		c.notNegative(path+".maxConcurrentStreams", h.MaxConcurrentStreams)
		c.duration(path+".idleTimeout", h.IdleTimeout)
		if h.H2UpgradePolicy == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE && h.UseClientProtocol {
			c.refuse(path+".useClientProtocol", "cannot stand beside h2UpgradePolicy: UPGRADE")
		}
		if k := h.Http2KeepAlive; k != nil {
			if k.Interval == nil {
				c.refuse(path+".http2KeepAlive.interval", "missing")
			}
			if k.Timeout == nil {
				c.refuse(path+".http2KeepAlive.timeout", "missing")
			}
			c.duration(path+".http2KeepAlive.interval", k.Interval)
			c.duration(path+".http2KeepAlive.timeout", k.Timeout)
		}
	}
	if t := p.Tcp; t != nil {
		path := path + ".tcp"
		c.notNegative(path+".maxConnections", t.MaxConnections)
		c.duration(path+".connectTimeout", t.ConnectTimeout)
		c.duration(path+".maxConnectionDuration", t.MaxConnectionDuration)
		if t.IdleTimeout.AsDuration().Milliseconds() != 0 { // 0s: none
			c.duration(path+".idleTimeout", t.IdleTimeout)
		}
		c.duration(path+".tcpKeepalive.time", t.GetTcpKeepalive().GetTime())
		c.duration(path+".tcpKeepalive.interval", t.GetTcpKeepalive().GetInterval())
	}
}

// maxMaglev is the size of Envoy's largest table.
const maxMaglev = 5000011

func (c *checker) loadBalancer(path string, lb *networking.LoadBalancerSettings) {
	if lb == nil {
		return
	}
	hash := lb.GetConsistentHash()
	if cookie := hash.GetHttpCookie(); cookie != nil {
		path := path + ".consistentHash.httpCookie"
		if cookie.GetName() == "" {
			c.refuse(path+".name", "missing: a cookie has a name")
		}
		seen := map[string]bool{}
		for i, a := range cookie.GetAttributes() {
			at := index(path+".attributes", i) + ".name"
			if a.GetName() == "" || seen[a.GetName()] {
				c.refuse(at, "%q is empty, or the name of another attribute already", a.GetName())
			}
			seen[a.GetName()] = true
		}
	}
	if hash.GetMinimumRingSize() != 0 && hash.GetHashAlgorithm() != nil { //nolint:staticcheck // deprecated, and served
		c.refuse(path+".consistentHash.minimumRingSize", "cannot stand beside ringHash or maglev")
	}
	if m := hash.GetMaglev(); m != nil && (m.TableSize >= maxMaglev || !prime(m.TableSize)) {
		c.refuse(path+".consistentHash.maglev.tableSize", "%d is no prime number below %d", m.TableSize, maxMaglev)
	}
	if lb.LocalityLbSetting != nil && lb.ZoneAwareLbSetting != nil {
		c.refuse(path+".zoneAwareLbSetting", "cannot stand beside localityLbSetting")
	}
	c.locality(path+".localityLbSetting", lb.LocalityLbSetting)
	if z := lb.ZoneAwareLbSetting; z != nil {
		for i, label := range z.GetFailoverPriority() {
			if topology(label) {
				c.refuse(index(path+".zoneAwareLbSetting.failoverPriority", i), "%q is considered anyhow", label)
			}
		}
		for i, f := range z.GetFailover() {
			c.failover(index(path+".zoneAwareLbSetting.failover", i), f.GetFrom(), f.GetTo())
		}
	}
	if w := lb.Warmup; w != nil {
		if w.Duration == nil {
			c.refuse(path+".warmup.duration", "missing")
		}
		c.duration(path+".warmup.duration", w.Duration)
		if w.MinimumPercent.GetValue() > 100 {
			c.refuse(path+".warmup.minimumPercent", "%v is no percentage: 0 to 100", w.MinimumPercent.GetValue())
		}
		if w.Aggression != nil && w.Aggression.GetValue() <= 0 {
			c.refuse(path+".warmup.aggression", "%v is not more than nothing", w.Aggression.GetValue())
		}
	}
}

// prime reports whether a number is prime to Envoy.
func prime(n uint64) bool {
	if n < 4 {
		return n != 0
	}
	for f := uint64(2); f <= uint64(math.Sqrt(float64(n))); f++ {
		if n%f == 0 {
			return false
		}
	}
	return true
}

// topology reports whether a label is of where a workload is.
func topology(label string) bool {
	return slices.Contains([]string{"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"}, label)
}

// locality checks which endpoints are near (ValidateLocalityLbSetting).
func (c *checker) locality(path string, l *networking.LocalityLoadBalancerSetting) {
	if l == nil {
		return
	}
	if len(l.GetFailover()) > 0 && len(l.GetDistribute()) > 0 {
		c.refuse(path+".failover", "cannot stand beside distribute")
		return
	}
	if i := slices.IndexFunc(l.GetFailoverPriority(), topology); i >= 0 && len(l.GetFailover()) > 0 {
		c.refuse(index(path+".failoverPriority", i), "%q cannot stand beside failover", l.GetFailoverPriority()[i])
		return
	}
	var from []string
	for i, d := range l.GetDistribute() {
		path := index(path+".distribute", i)
		from = append(from, d.GetFrom())
		var total uint32
		for _, to := range sorted(d.GetTo()) {
			weight := d.GetTo()[to]
			if weight == 0 || weight > 100 {
				c.refuse(key(path+".to", to), "%d is no weight: 1 to 100", weight)
				return
			}
			total += weight
		}
		if total != 100 {
			c.refuse(path+".to", "the weights come to %d, not 100", total)
			return
		}
		c.localities(path+".to", sorted(d.GetTo()))
	}
	c.localities(path+".distribute", from)
	for i, f := range l.GetFailover() {
		c.failover(index(path+".failover", i), f.GetFrom(), f.GetTo())
	}
}

// failover checks from which region to which one.
func (c *checker) failover(path, from, to string) {
	if from == to || strings.ContainsAny(from+to, "/*") {
		c.refuse(path, "%q to %q is not from one region to another", from, to)
	}
}

// localities checks that no place, "region/zone/subzone" or shorter, lies within one that
// stands before it, nor has one within it (validateLocalities, to which a wildcard holds
// only what comes after it).
func (c *checker) localities(path string, places []string) {
	for i, p := range places {
		parts := strings.SplitN(p, "/", 3)
		if n := strings.Count(p, "*"); n > 1 || n == 1 && !strings.HasSuffix(p, "*") || slices.Contains(parts, "") {
			c.refuse(path, "%q is no place: REGION, REGION/ZONE or REGION/ZONE/SUBZONE, of which the last may be a wildcard", p)
			return
		}
		for _, before := range places[:i] {
			if nested(parts, strings.SplitN(before, "/", 3)) {
				c.refuse(path, "%q and %q overlap", before, p)
				return
			}
		}
	}
}

// nested reports whether one of two places lies within the other.
func nested(place, before []string) bool {
	for i := range min(len(place), len(before)) {
		if before[i] == "*" {
			return true
		}
		if place[i] != before[i] {
			return false
		}
	}
	return true
}

// configMap begins the name of credentials that are in a ConfigMap.
const configMap = "configmap://"

// clientTLS checks how TLS is begun (ValidateTLS).
func (c *checker) clientTLS(path string, t *networking.ClientTLSSettings) {
	if t == nil {
		return
	}
	if name, ok := strings.CutPrefix(t.CredentialName, configMap); ok {
		if parts := strings.Split(name, "/"); len(parts) < 2 || parts[0] != c.Namespace || parts[0] == "" || parts[1] == "" {
			c.refuse(path+".credentialName", "%q is no ConfigMap of the namespace; write configmap://%s/NAME", t.CredentialName, c.Namespace)
		}
	}
	simple, mutual := t.Mode == networking.ClientTLSSettings_SIMPLE, t.Mode == networking.ClientTLSSettings_MUTUAL
	if t.GetInsecureSkipVerify().GetValue() && (simple || mutual) &&
		(t.CaCertificates != "" || t.SubjectAltNames != nil || simple && t.CredentialName != "") {
		c.refuse(path+".insecureSkipVerify", "cannot stand beside what a server is verified by: caCertificates, credentialName, subjectAltNames")
	}
	if (simple || mutual) && t.CredentialName != "" {
		if t.ClientCertificate != "" || t.CaCertificates != "" || t.PrivateKey != "" || t.CaCrl != "" {
			c.refuse(path+".credentialName", "cannot stand beside certificates, keys and lists of revoked ones in files")
		}
		return
	}
	if mutual && t.ClientCertificate == "" {
		c.refuse(path+".clientCertificate", "missing: mode MUTUAL shows a certificate; it may be in a Secret that credentialName names")
	}
	if mutual && t.PrivateKey == "" {
		c.refuse(path+".privateKey", "missing: mode MUTUAL has the key of its certificate; it may be in a Secret that credentialName names")
	}
}
