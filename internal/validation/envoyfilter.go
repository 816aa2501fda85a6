package validation

import (
	"regexp"

	networking "istio.io/api/networking/v1alpha3"
)

// envoyFilter checks an EnvoyFilter (ValidateEnvoyFilter), but for the values of its
// patches: what those may be Envoy says.
func (c *checker) envoyFilter(f *networking.EnvoyFilter) {
	c.selectorLabels("spec.workloadSelector", f.GetWorkloadSelector())
	for i, p := range f.GetConfigPatches() {
		if p.GetMatch().GetContext() == networking.EnvoyFilter_WAYPOINT {
			continue // Istio does not look
		}
		c.patch(index("spec.configPatches", i), p)
	}
}

func (c *checker) patch(path string, p *networking.EnvoyFilter_EnvoyConfigObjectPatch) {
	switch operation := p.GetPatch().GetOperation(); {
	case p.GetApplyTo() == networking.EnvoyFilter_INVALID:
		c.refuse(path+".applyTo", "missing")
		return
	case p.GetPatch() == nil:
		c.refuse(path+".patch", "missing")
		return
	case operation == networking.EnvoyFilter_Patch_INVALID:
		c.refuse(path+".patch.operation", "missing")
		return
	case operation != networking.EnvoyFilter_Patch_REMOVE && p.GetPatch().GetValue() == nil:
		c.refuse(path+".patch.value", "missing: %s puts something in", operation)
		return
	}
	if v := p.GetMatch().GetProxy().GetProxyVersion(); len(v) <= maxRegex { // a longer one is passed over
		if _, err := regexp.Compile(v); err != nil {
			c.refuse(path+".match.proxy.proxyVersion", "%v; write it in the syntax of RE2", err)
		}
	}
	if p.GetMatch().GetObjectTypes() == nil {
		return
	}
	switch p.GetApplyTo() {
	case networking.EnvoyFilter_LISTENER, networking.EnvoyFilter_FILTER_CHAIN, networking.EnvoyFilter_NETWORK_FILTER, networking.EnvoyFilter_HTTP_FILTER:
		if p.GetMatch().GetListener() == nil {
			c.refuse(path+".match", "applyTo %s needs a match of a listener", p.GetApplyTo())
			return
		}
		c.filterMatch(path+".match.listener.filterChain.filter", p)
	case networking.EnvoyFilter_ROUTE_CONFIGURATION, networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE:
		if p.GetMatch().GetRouteConfiguration() == nil {
			c.refuse(path+".match", "applyTo %s needs a match of a routeConfiguration", p.GetApplyTo())
		}
	case networking.EnvoyFilter_CLUSTER:
		if p.GetMatch().GetCluster() == nil {
			c.refuse(path+".match", "applyTo %s needs a match of a cluster", p.GetApplyTo())
		}
	}
}

// filterMatch checks which filter of a listener a patch is for.
func (c *checker) filterMatch(path string, p *networking.EnvoyFilter_EnvoyConfigObjectPatch) {
	f := p.GetMatch().GetListener().GetFilterChain().GetFilter()
	switch sub := f.GetSubFilter(); {
	case f == nil:
	case f.GetName() == "":
		c.refuse(path+".name", "missing: a filter is matched by its name")
	case sub == nil:
	case p.GetApplyTo() != networking.EnvoyFilter_HTTP_FILTER:
		c.refuse(path+".subFilter", "is for applyTo HTTP_FILTER alone, not %s", p.GetApplyTo())
	case f.GetName() != "envoy.filters.network.http_connection_manager" && f.GetName() != "envoy.http_connection_manager":
		c.refuse(path+".subFilter", "is one of envoy.filters.network.http_connection_manager, not of %s", f.GetName())
	case sub.GetName() == "":
		c.refuse(path+".subFilter.name", "missing: a filter is matched by its name")
	}
}
