package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

// check returns everything that a decoded file says and cannot mean. It runs
// before defaults are set.
func (d *document) check(c *Config) error {
	var errs []error
	fail := func(path, format string, args ...any) {
		errs = append(errs, d.errorf(path, format, args...))
	}
	if c.APIVersion != APIVersion || c.Kind != Kind {
		return d.errorf("apiVersion", "this is not a configuration: it has apiVersion %q and kind %q, and must have %q and %q",
			c.APIVersion, c.Kind, APIVersion, Kind)
	}
	if c.Gateways != nil && len(c.Gateways) == 0 {
		fail("gateways", "name at least one egress gateway, or leave the field out to use Istio's default one")
	}
	names := make(map[string]int)
	for i, g := range c.Gateways {
		path := fmt.Sprintf("gateways[%d]", i)
		if first, ok := names[g.Name]; ok {
			fail(path+".name", "%q is the name of gateways[%d] already; give each gateway its own", g.Name, first)
		}
		names[g.Name] = i
		for _, msg := range content.IsDNS1123Label(g.Name) {
			fail(path+".name", "%q: %s", g.Name, msg)
		}
		checkNamespacedName(g.Service, func(msg string) { fail(path+".service", "%s", msg) })
		if len(g.Selector) == 0 {
			fail(path+".selector", "must hold the labels of the gateway's pods, for example istio: egressgateway")
		}
	}
	checkWildcards(c.Gateways, fail)
	c.InMesh.check(fail)
	for i, e := range c.MetadataExceptions {
		e.check(fmt.Sprintf("metadataExceptions[%d]", i), fail)
	}
	checkCredentials(c, fail)
	for i, ns := range c.PlatformNamespaces {
		for _, msg := range content.IsDNS1123Label(ns) {
			fail(fmt.Sprintf("platformNamespaces[%d]", i), "%q is not the name of a namespace: %s", ns, msg)
		}
	}
	checkSwitch := func(path string, s Switch) {
		if s != "" && s != Enabled && s != Disabled {
			fail(path, "must be %s or %s, is %q", Enabled, Disabled, s)
		}
	}
	if i := c.Injection; i != "" && i != InjectAll && i != InjectNew && i != InjectNone {
		fail("injection", "must be %s, %s or %s, is %q", InjectAll, InjectNew, InjectNone, i)
	}
	checkSwitch("dnsCapture", c.DNSCapture)
	checkSwitch("authorization", c.Authorization)
	for i, g := range c.Gateways {
		if c.Authorization == Enabled && g.MutualTLS != nil && !*g.MutualTLS {
			fail("authorization", "gateways[%d] is reached without mutual TLS and cannot tell who calls: set its mutualTLS to true, or authorization to %s", i, Disabled)
		}
	}
	if p := c.NetworkPolicy; p != "" && p != Confined && p != Staged && p != Unconfined {
		fail("networkPolicy", "must be %s, %s or %s, is %q", Confined, Staged, Unconfined, p)
	}
	c.Ambient.check(fail)
	c.Ownership.check(fail)
	c.Versions.check(fail)
	c.Walls.check(c.Gateways, fail)
	if c.Limits.ObjectBytes < 0 {
		fail("limits.objectBytes", "must be a number of bytes above 0, is %d", c.Limits.ObjectBytes)
	}
	if c.Limits.NamespaceBytes < 0 {
		fail("limits.namespaceBytes", "must be a number of bytes above 0, is %d", c.Limits.NamespaceBytes)
	}
	checkSwitch("policies.configMaps", c.Policies.ConfigMaps)
	c.Policies.check(fail)
	c.Server.check(fail)
	for path, ns := range map[string]string{"rootNamespace": c.RootNamespace, "istioNamespace": c.IstioNamespace} {
		if ns == "" {
			continue
		}
		for _, msg := range content.IsDNS1123Label(ns) {
			fail(path, "%q is not the name of a namespace: %s", ns, msg)
		}
	}
	if c.SharedMeshConfig != "" {
		for _, msg := range content.IsDNS1123Subdomain(c.SharedMeshConfig) {
			fail("sharedMeshConfig", "%q is not the name of a ConfigMap: %s", c.SharedMeshConfig, msg)
		}
	}
	if c.ClusterDomain != "" {
		for _, msg := range content.IsDNS1123Subdomain(c.ClusterDomain) {
			fail("clusterDomain", "%q: %s", c.ClusterDomain, msg)
		}
	}
	modes := []string{meshconfig.RegistryOnly, meshconfig.AllowAny, meshconfig.AllowAnyDynamicDNS}
	if p := c.OutboundTrafficPolicy; p != "" && !slices.Contains(modes, p) {
		fail("outboundTrafficPolicy", "must be %s or %s, is %q", strings.Join(modes[:2], ", "), modes[2], p)
	}
	checkExport := func(path string, exportTo []string) {
		for i, to := range exportTo {
			if to == "." || to == "*" || to == "~" {
				continue
			}
			for _, msg := range content.IsDNS1123Label(to) {
				fail(fmt.Sprintf("%s[%d]", path, i), "%q is neither \".\", \"*\" nor \"~\", nor the name of a namespace: %s", to, msg)
			}
		}
	}
	checkExport("defaultServiceExportTo", c.DefaultServiceExportTo)
	checkExport("defaultVirtualServiceExportTo", c.DefaultVirtualServiceExportTo)
	for i, to := range c.DefaultDestinationRuleExportTo {
		if to != "." && to != "*" {
			fail(fmt.Sprintf("defaultDestinationRuleExportTo[%d]", i), "must be \".\" or \"*\": Istio honours nothing else here, is %q", to)
		}
	}
	if c.ServiceAccount != "" {
		checkNamespacedName(c.ServiceAccount, func(msg string) { fail("serviceAccount", "%s", msg) })
	}
	return errors.Join(errs...)
}

// checkNamespacedName reports where s is not NAMESPACE/NAME.
func checkNamespacedName(s string, fail func(msg string)) {
	ns, name, ok := strings.Cut(s, "/")
	if !ok {
		fail(fmt.Sprintf("must be NAMESPACE/NAME, is %q", s))
		return
	}
	for _, msg := range content.IsDNS1123Label(ns) {
		fail(fmt.Sprintf("%q is not the name of a namespace: %s", ns, msg))
	}
	for _, msg := range content.IsDNS1123Subdomain(name) {
		fail(fmt.Sprintf("%q is not a name: %s", name, msg))
	}
}
