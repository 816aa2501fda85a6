package validation

import (
	"net/url"
	"regexp"
	"slices"

	extensions "istio.io/api/extensions/v1alpha1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	typev1beta1 "istio.io/api/type/v1beta1"
)

// telemetry checks a Telemetry (ValidateTelemetry), but for what the expression says by
// which requests are chosen for the log.
func (c *checker) telemetry(t *telemetry.Telemetry) {
	c.targets(t.GetSelector(), t.GetTargetRef(), t.GetTargetRefs())
	for i, m := range t.GetMetrics() {
		path := index("spec.metrics", i)
		c.providers(path, m.GetProviders())
		for j, o := range m.GetOverrides() {
			path := index(path+".overrides", j)
			for _, name := range sorted(o.GetTagOverrides()) {
				tag, at := o.GetTagOverrides()[name], key(path+".tagOverrides", name)+".value"
				upsert := tag.GetOperation() == telemetry.MetricsOverrides_TagOverride_UPSERT
				if upsert && tag.GetValue() == "" {
					c.refuse(at, "missing: UPSERT writes a value")
				}
				if !upsert && tag.GetValue() != "" {
					c.refuse(at, "cannot stand beside operation REMOVE")
				}
			}
			if m, ok := o.GetMatch().GetMetricMatch().(*telemetry.MetricSelector_CustomMetric); ok && m.CustomMetric == "" {
				c.refuse(path+".match.customMetric", "is empty")
			}
		}
	}
	for i, tr := range t.GetTracing() {
		path := index("spec.tracing", i)
		c.providers(path, tr.GetProviders())
		c.percent(path+".randomSamplingPercentage", tr.GetRandomSamplingPercentage().GetValue())
		for _, name := range sorted(tr.GetCustomTags()) {
			at := key(path+".customTags", name)
			if name == "" {
				c.refuse(at, "a tag has a name")
			}
			c.customTag(at, tr.GetCustomTags()[name])
		}
	}
	for i, l := range t.GetAccessLogging() {
		path := index("spec.accessLogging", i)
		c.providers(path, l.GetProviders())
		if f := l.GetFilter(); f != nil && f.GetExpression() == "" {
			c.refuse(path+".filter.expression", "missing: a filter is an expression in CEL")
		}
	}
}

func (c *checker) customTag(path string, tag *telemetry.Tracing_CustomTag) {
	const missing = "missing"
	switch t := tag.GetType().(type) {
	case *telemetry.Tracing_CustomTag_Literal:
		if t.Literal.GetValue() == "" {
			c.refuse(path+".literal.value", missing)
		}
	case *telemetry.Tracing_CustomTag_Header:
		if t.Header.GetName() == "" {
			c.refuse(path+".header.name", missing)
		}
	case *telemetry.Tracing_CustomTag_Environment:
		if t.Environment.GetName() == "" {
			c.refuse(path+".environment.name", missing)
		}
	}
}

func (c *checker) providers(path string, list []*telemetry.ProviderRef) {
	for i, p := range list {
		if p.GetName() == "" {
			c.refuse(index(path+".providers", i)+".name", "missing")
		}
	}
}

// wasm is what an extension and a plugin have in common of a module.
type wasm interface {
	GetUrl() string
	GetSha256() string
	GetImagePullSecret() string
	GetPluginName() string
	GetVmConfig() *extensions.VmConfig
}

// wasmPlugin checks a WasmPlugin (ValidateWasmPlugin).
func (c *checker) wasmPlugin(p *extensions.WasmPlugin) {
	c.targets(p.GetSelector(), p.GetTargetRef(), p.GetTargetRefs())
	c.module("spec", p)
	for i, m := range p.GetMatch() {
		c.matchedPorts(index("spec.match", i), m.GetPorts())
	}
}

// trafficExtension checks a TrafficExtension (ValidateTrafficExtension).
func (c *checker) trafficExtension(e *extensions.TrafficExtension) {
	c.targets(e.GetSelector(), nil, e.GetTargetRefs())
	switch {
	case e.GetWasm() != nil:
		c.module("spec.wasm", e.GetWasm())
	case e.GetLua() != nil:
		if n := len(e.GetLua().GetInlineCode()); n == 0 || n > maxLua {
			c.refuse("spec.lua.inlineCode", "has %d bytes, and must have 1 to %d", n, maxLua)
		}
	default:
		c.refuse("spec", "has neither wasm nor lua")
	}
	for i, m := range e.GetMatch() {
		c.matchedPorts(index("spec.match", i), m.GetPorts())
	}
}

func (c *checker) matchedPorts(path string, ports []*typev1beta1.PortSelector) {
	for i, p := range ports {
		c.port(index(path+".ports", i)+".number", p.GetNumber())
	}
}

// Bounds of what an extension is written with, in bytes.
const (
	maxLua        = 64 << 10
	maxPluginName = 256
	maxPullSecret = 253
	maxEnvName    = 256
)

var sha256 = regexp.MustCompile(`^([a-f0-9]{64})?$`)

// module checks a WebAssembly module, and how it is run.
func (c *checker) module(path string, w wasm) {
	c.moduleURL(path+".url", w.GetUrl())
	if !sha256.MatchString(w.GetSha256()) {
		c.refuse(path+".sha256", "is not 64 hexadecimal digits in lower case")
	}
	if len(w.GetImagePullSecret()) > maxPullSecret {
		c.refuse(path+".imagePullSecret", "is longer than %d bytes", maxPullSecret)
	}
	if len(w.GetPluginName()) > maxPluginName {
		c.refuse(path+".pluginName", "is longer than %d bytes", maxPluginName)
	}
	seen := map[string]bool{}
	for i, e := range w.GetVmConfig().GetEnv() {
		at := index(path+".vmConfig.env", i)
		if n := e.GetName(); n == "" || len(n) > maxEnvName || seen[n] {
			c.refuse(at+".name", "is empty, longer than %d bytes, or given twice", maxEnvName)
		}
		seen[e.GetName()] = true
		if e.GetValueFrom() != extensions.EnvValueSource_INLINE && e.GetValue() != "" {
			c.refuse(at+".value", "cannot stand beside valueFrom: %s", e.GetValueFrom())
		}
	}
}

// moduleURL checks where a module is (validateWasmPluginURL): one without a scheme is an
// image.
func (c *checker) moduleURL(path, s string) {
	if s == "" {
		c.refuse(path, "missing")
		return
	}
	u, err := url.ParseRequestURI(s)
	if err != nil {
		s = "http://" + s
		u, err = url.ParseRequestURI(s)
	}
	if err == nil {
		_, err = url.Parse(s)
	}
	if err != nil || !slices.Contains([]string{"", "file", "http", "https", "oci"}, u.Scheme) {
		c.refuse(path, "is no URL of file, http, https or oci, nor the name of an image")
	}
}
