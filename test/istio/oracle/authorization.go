package oracle

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rbactcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/test"
)

// Door is a filter chain of the egress gateway or of a waypoint, and whom it lets in.
type Door struct {
	Port uint32 // of the gateway's pods
	SNI  []string
	HTTP bool

	rules []*rbac.RBAC // all of them have to let a peer in
}

// Doors feeds the manifests to Istio and returns the filter chains of the
// egress gateway, and how many bytes its listeners are.
func Doors(manifests string) (doors []Door, size int, err error) {
	in, err := parse(manifests)
	if err != nil {
		return nil, 0, err
	}
	err = test.Wrap(func(t test.Failer) {
		s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			Configs:                in.configs,
			KubernetesObjectString: strings.Join(in.kubernetes, "\n---\n"),
			MeshConfig:             in.mesh,
		})
		for _, l := range s.Listeners(s.SetupProxy(gateway())) {
			size += proto.Size(l)
			for _, c := range l.FilterChains {
				doors = append(doors, doorOf(l.GetAddress().GetSocketAddress().GetPortValue(), c))
			}
		}
	})
	return doors, size, err
}

func doorOf(port uint32, c *listener.FilterChain) Door {
	d := Door{Port: port, SNI: c.GetFilterChainMatch().GetServerNames()}
	for _, f := range c.Filters {
		switch any := f.GetTypedConfig(); {
		case any.MessageIs(&rbactcp.RBAC{}):
			d.rules = append(d.rules, unpack(any, &rbactcp.RBAC{}).GetRules())
		case any.MessageIs(&hcm.HttpConnectionManager{}):
			d.HTTP = true
			for _, h := range unpack(any, &hcm.HttpConnectionManager{}).HttpFilters {
				if h.GetTypedConfig().MessageIs(&rbachttp.RBAC{}) {
					d.rules = append(d.rules, unpack(h.GetTypedConfig(), &rbachttp.RBAC{}).GetRules())
				}
			}
		}
	}
	return d
}

// Caller is who comes to the proxy, and by which names.
type Caller struct {
	Principal string // spiffe://...; empty without a client certificate
	SNI       string
	Authority string
	Port      uint32 // to which it connects
}

// Admits evaluates the chain's RBAC filters as Envoy does. A matcher that is
// not known here is an error.
func (d Door) Admits(c Caller) (bool, error) {
	for _, r := range d.rules {
		if r == nil {
			continue
		}
		matched := false
		for name, p := range r.Policies {
			permitted, err := anyOf(p.Permissions, c.permission)
			if err != nil {
				return false, fmt.Errorf("%s: %w", name, err)
			}
			known, err := anyOf(p.Principals, c.principal)
			if err != nil {
				return false, fmt.Errorf("%s: %w", name, err)
			}
			matched = matched || permitted && known
		}
		if matched != (r.Action == rbac.RBAC_ALLOW) {
			return false, nil
		}
	}
	return true, nil
}

func anyOf[T any](list []T, match func(T) (bool, error)) (bool, error) {
	found := false
	for _, v := range list {
		ok, err := match(v)
		if err != nil {
			return false, err
		}
		found = found || ok
	}
	return found, nil
}

func allOf[T any](list []T, match func(T) (bool, error)) (bool, error) {
	missing, err := anyOf(list, func(v T) (bool, error) {
		ok, err := match(v)
		return !ok, err
	})
	return !missing, err
}

func (c Caller) permission(p *rbac.Permission) (bool, error) {
	switch r := p.Rule.(type) {
	case *rbac.Permission_Any:
		return r.Any, nil
	case *rbac.Permission_AndRules:
		return allOf(r.AndRules.Rules, c.permission)
	case *rbac.Permission_OrRules:
		return anyOf(r.OrRules.Rules, c.permission)
	case *rbac.Permission_NotRule:
		ok, err := c.permission(r.NotRule)
		return !ok, err
	case *rbac.Permission_DestinationPort:
		return r.DestinationPort == c.Port, nil
	case *rbac.Permission_RequestedServerName:
		// Envoy keeps the name in lower case (setRequestedServerName).
		return stringMatches(r.RequestedServerName, strings.ToLower(c.SNI))
	case *rbac.Permission_Header:
		if r.Header.Name != ":authority" {
			return false, fmt.Errorf("header %s is not known here", r.Header.Name)
		}
		return stringMatches(r.Header.GetStringMatch(), c.Authority)
	}
	return false, fmt.Errorf("permission %T is not known here", p.Rule)
}

func (c Caller) principal(p *rbac.Principal) (bool, error) {
	switch i := p.Identifier.(type) {
	case *rbac.Principal_Any:
		return i.Any, nil
	case *rbac.Principal_AndIds:
		return allOf(i.AndIds.Ids, c.principal)
	case *rbac.Principal_OrIds:
		return anyOf(i.OrIds.Ids, c.principal)
	case *rbac.Principal_NotId:
		ok, err := c.principal(i.NotId)
		return !ok, err
	case *rbac.Principal_Authenticated_:
		if c.Principal == "" {
			return false, nil
		}
		return stringMatches(i.Authenticated.PrincipalName, c.Principal)
	case *rbac.Principal_FilterState:
		if i.FilterState.Key != "io.istio.peer_principal" {
			return false, fmt.Errorf("filter state %s is not known here", i.FilterState.Key)
		}
		return stringMatches(i.FilterState.GetStringMatch(), c.Principal)
	}
	return false, fmt.Errorf("principal %T is not known here", p.Identifier)
}

func stringMatches(m *matcher.StringMatcher, s string) (bool, error) {
	if m.GetIgnoreCase() {
		s = strings.ToLower(s)
	}
	fold := func(pattern string) string {
		if m.GetIgnoreCase() {
			return strings.ToLower(pattern)
		}
		return pattern
	}
	switch p := m.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		return s == fold(p.Exact), nil
	case *matcher.StringMatcher_Prefix:
		return strings.HasPrefix(s, fold(p.Prefix)), nil
	case *matcher.StringMatcher_Suffix:
		return strings.HasSuffix(s, fold(p.Suffix)), nil
	case *matcher.StringMatcher_SafeRegex:
		re, err := regexp.Compile("^(?:" + p.SafeRegex.Regex + ")$")
		return err == nil && re.MatchString(s), err
	}
	return false, errors.New("a matcher of strings is not known here")
}

// Named reports whether the chain is the one for a server name.
func (d Door) Named(sni string) bool { return slices.Contains(d.SNI, sni) }
