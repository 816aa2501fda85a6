package validation

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	typev1beta1 "istio.io/api/type/v1beta1"
)

// selectorLabels checks by which labels the networking API selects workloads
// (ValidateAlphaWorkloadSelector).
func (c *checker) selectorLabels(path string, s *networking.WorkloadSelector) {
	c.selected(path+".labels", s.GetLabels())
}

// selector checks by which labels the other APIs do (validateWorkloadSelector).
func (c *checker) selector(path string, s *typev1beta1.WorkloadSelector) {
	c.selected(path+".matchLabels", s.GetMatchLabels())
}

func (c *checker) selected(path string, labels map[string]string) {
	for _, k := range sorted(labels) {
		if k == "" || strings.Contains(k+labels[k], "*") {
			c.refuse(key(path, k), "a label is selected by its whole name and value, without wildcards")
		}
	}
}

// targets checks to which workloads or objects a policy applies.
func (c *checker) targets(selector *typev1beta1.WorkloadSelector, one *typev1beta1.PolicyTargetReference, all []*typev1beta1.PolicyTargetReference) {
	set := 0
	for _, given := range []bool{selector != nil, one != nil, len(all) > 0} {
		if given {
			set++
		}
	}
	if set > 1 {
		c.refuse("spec", "has more than one of selector, targetRef and targetRefs")
	}
	c.selector("spec.selector", selector)
	if one != nil {
		c.target("spec.targetRef", one)
	}
	for i, r := range all {
		c.target(index("spec.targetRefs", i), r)
	}
}

// targetKinds are the kinds that a policy may apply to, each behind its group.
var targetKinds = []string{"/Service", "core/Service", "networking.istio.io/ServiceEntry", "gateway.networking.k8s.io/Gateway", "gateway.networking.k8s.io/GatewayClass"}

// target checks a reference to what a policy applies to (validatePolicyTargetReference).
func (c *checker) target(path string, r *typev1beta1.PolicyTargetReference) {
	if r.GetName() == "" {
		c.refuse(path+".name", "missing")
	}
	if r.GetNamespace() != "" {
		c.refuse(path+".namespace", "a policy applies to objects of its own namespace alone; leave it out")
	}
	if !slices.Contains(targetKinds, r.GetGroup()+"/"+r.GetKind()) {
		c.refuse(path, "%s/%s is none of %s", r.GetGroup(), r.GetKind(), strings.Join(targetKinds, ", "))
	}
}
