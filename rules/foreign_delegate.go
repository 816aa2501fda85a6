package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var foreignDelegate = &Rule{
	Name: "foreign-delegate",
	Doc: `routes are not delegated to another namespace

A delegate chooses the destinations after its root has been reviewed. Sallyport
judges the roots again whenever a delegate is written, and a delegate that is
missing as the direct path that it is; but the namespace of the delegate now
decides where the root's traffic goes.`,
	Severity: Warn,
	Rows:     []string{"V-14"},
	Kinds:    []string{"VirtualService"},
	Check: On(func(p *Pass, vs *mesh.VirtualService) {
		for i, r := range vs.HTTP {
			if r.Delegate == nil || r.Delegate.Namespace == "" || r.Delegate.Namespace == vs.Namespace || p.After.Settings().Platform(r.Delegate.Namespace) {
				continue
			}
			p.Reportf(fmt.Sprintf("spec.http[%d].delegate", i), "leaves the choice of destinations to VirtualService %s/%s", r.Delegate.Namespace, r.Delegate.Name)
		}
	}),
}
