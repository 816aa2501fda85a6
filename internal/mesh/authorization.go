package mesh

// AuthorizationPolicy is Istio's AuthorizationPolicy
// (https://istio.io/latest/docs/reference/config/security/authorization-policy/),
// as far as Sallyport writes such: it bears on no path.
type AuthorizationPolicy struct {
	Meta
	Selector *WorkloadSelector `json:"selector"`
	// TargetRefs, of the policy's own namespace, take the place of the selector.
	TargetRefs []PolicyTarget      `json:"targetRefs"`
	Action     string              `json:"action"` // ALLOW when absent
	Rules      []AuthorizationRule `json:"rules"`
}

// AuthorizationRule matches what comes from one of the sources, is one of the
// operations where any are listed, and meets all of the conditions.
type AuthorizationRule struct {
	From []AuthorizationFrom      `json:"from"`
	To   []AuthorizationTo        `json:"to"`
	When []AuthorizationCondition `json:"when"`
}

// AuthorizationFrom wraps a source, as the API does.
type AuthorizationFrom struct {
	Source AuthorizationSource `json:"source"`
}

// AuthorizationSource matches who is in none of the namespaces and is none of
// the principals.
type AuthorizationSource struct {
	NotNamespaces []string `json:"notNamespaces"`
	NotPrincipals []string `json:"notPrincipals"`
}

// AuthorizationTo wraps an operation, as the API does.
type AuthorizationTo struct {
	Operation AuthorizationOperation `json:"operation"`
}

// AuthorizationOperation matches what is sent to one of the ports.
type AuthorizationOperation struct {
	Ports []string `json:"ports"`
}

// AuthorizationCondition is met where the attribute has one of the values.
type AuthorizationCondition struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}
