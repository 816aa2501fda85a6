// Package validation says what Istio's validating webhook refuses
// (pkg/config/validation in Istio), beyond what the schemas of its kinds do. It follows
// Istio's answers, not its documentation: what Istio lets pass by oversight passes here.
// Where Istio only warns, nothing is said.
//
// The module test/istio puts random and mutated objects of every kind to both.
package validation

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	extensions "istio.io/api/extensions/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
)

// Meta is what the checks need of an object beside its spec.
type Meta struct {
	Name, Namespace     string
	Labels, Annotations map[string]string
}

// Problem is a reason for which Istio refuses an object.
type Problem struct {
	Path    string // JSON path in the object
	Message string
	// NoHost is true where the name of a host is none by any version of Istio.
	NoHost bool
}

// Istio returns the reasons for which Istio refuses an object of one of its kinds, in the
// order of the fields of the kind; none for a kind that Istio does not check.
func Istio(meta Meta, spec proto.Message) []Problem {
	c := &checker{Meta: meta}
	c.annotations(spec)
	switch s := spec.(type) {
	case *networking.ServiceEntry:
		c.serviceEntry(s)
	case *networking.WorkloadEntry:
		c.workloadEntry("spec", s, nil, true)
	case *networking.WorkloadGroup:
		c.workloadGroup(s)
	case *networking.VirtualService:
		c.virtualService(s)
	case *networking.DestinationRule:
		c.destinationRule(s)
	case *networking.Gateway:
		c.gateway(s)
	case *networking.Sidecar:
		c.sidecar(s)
	case *networking.EnvoyFilter:
		c.envoyFilter(s)
	case *networkingv1beta1.ProxyConfig:
		c.selector("spec.selector", s.GetSelector())
		if s.GetConcurrency().GetValue() < 0 {
			c.refuse("spec.concurrency", "%d is less than nothing", s.GetConcurrency().GetValue())
		}
	case *security.AuthorizationPolicy:
		c.authorizationPolicy(s)
	case *security.RequestAuthentication:
		c.requestAuthentication(s)
	case *security.PeerAuthentication:
		c.peerAuthentication(s)
	case *telemetry.Telemetry:
		c.telemetry(s)
	case *extensions.WasmPlugin:
		c.wasmPlugin(s)
	case *extensions.TrafficExtension:
		c.trafficExtension(s)
	}
	return c.problems
}

// checker collects what is wrong with one object.
type checker struct {
	Meta
	problems []Problem
}

func (c *checker) refuse(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// why refuses a host for a reason of [notAHost], where there is one.
func (c *checker) why(path, reason string) {
	if reason != "" {
		c.problems = append(c.problems, Problem{Path: path, Message: reason, NoHost: !strings.HasSuffix(reason, anAddress)})
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func key(path, k string) string { return path + `["` + k + `"]` }

// sorted yields the keys of a map in order, so that an answer is always the same.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// inOrder yields the entries of a map by their keys.
func inOrder[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range sorted(m) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// Annotations by which Istio's own controllers mark the objects that they make of others.
// Its validation looks at those of the first two, and lets nobody set the last.
const (
	gatewaySemantics = "internal.istio.io/gateway-semantics"
	routeSemantics   = "internal.istio.io/route-semantics"
	dryRun           = "istio.io/dry-run"
)

var reserved = []string{"internal.istio.io/webhook-always-reject", "internal.istio.io/parent-namespace", "internal.istio.io/parents"}

func (c *checker) annotations(spec proto.Message) {
	if value, ok := c.Annotations[dryRun]; ok {
		path := key("metadata.annotations", dryRun)
		policy, ok := spec.(*security.AuthorizationPolicy)
		switch action := policy.GetAction(); {
		case !ok:
			c.refuse(path, "is for an AuthorizationPolicy alone")
		case action != security.AuthorizationPolicy_ALLOW && action != security.AuthorizationPolicy_DENY:
			c.refuse(path, "is for the actions ALLOW and DENY alone, not %s", action)
		default:
			if _, err := strconv.ParseBool(value); err != nil {
				c.refuse(path, `%q is neither "true" nor "false"`, value)
			}
		}
	}
	for _, a := range reserved {
		if _, ok := c.Annotations[a]; ok {
			c.refuse(key("metadata.annotations", a), "is Istio's own: nobody else may set it")
		}
	}
}

// port checks the number of a port.
func (c *checker) port(path string, n uint32) {
	if n < 1 || n > 65535 {
		c.refuse(path, "%d is not a port: 1 to 65535", n)
	}
}

// optionalPort checks the number of a port of which zero is none.
func (c *checker) optionalPort(path string, n uint32) {
	if n != 0 {
		c.port(path, n)
	}
}

// duration checks a duration that is given.
func (c *checker) duration(path string, d *durationpb.Duration) {
	if d == nil {
		return
	}
	switch d := d.AsDuration(); {
	case d.Milliseconds() < 1:
		c.refuse(path, "%s is no duration: at least 1ms", d)
	case d.Nanoseconds()%1e6 != 0:
		c.refuse(path, "%s is finer than 1ms", d)
	}
}

// address checks an IP address.
func (c *checker) address(path, s string) {
	if !isAddress(s) {
		c.refuse(path, "%q is no IP address", s)
	}
}

// subnet checks an IP address or a CIDR range.
func (c *checker) subnet(path, s string) {
	if _, err := netip.ParsePrefix(s); err != nil && !isAddress(s) {
		c.refuse(path, "%q is neither an IP address nor a CIDR range", s)
	}
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
