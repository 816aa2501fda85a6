package gitops_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// testFlux has kustomize-controller's engine apply each set and look for drift.
func testFlux(t *testing.T, c *cluster) {
	log.SetLogger(logr.Discard())
	kube, err := client.New(c.cp.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	manager := ssa.NewResourceManager(kube, nil, ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"})
	for _, name := range sets {
		t.Run(name, func(t *testing.T) {
			set := read(t, name, "flux")
			manager.SetOwnerLabels(set, "shop", "flux-system")
			apply := func(objects []*unstructured.Unstructured) (*ssa.ChangeSet, error) {
				// It changes what it is given.
				var copies []*unstructured.Unstructured
				for _, o := range objects {
					copies = append(copies, o.DeepCopy())
				}
				return manager.ApplyAllStaged(t.Context(), copies, ssa.DefaultApplyOptions())
			}
			_, err := apply(set)
			if name == "by-hand" {
				// The dry run of the whole set passes. That its entry is refused when it is
				// applied the page says, and to have it in a Kustomization of its own.
				if err == nil || !strings.Contains(err.Error(), "open-gap") || strings.Contains(err.Error(), "dry-run failed") {
					t.Errorf("the whole set at once: %v", err)
				}
				for _, kind := range []bool{false, true} {
					if _, err = apply(slices.DeleteFunc(slices.Clone(set), func(o *unstructured.Unstructured) bool { return isEntry(o) != kind })); err != nil {
						break
					}
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			c.converge(t, set)
			for _, o := range set {
				change, live, wanted, err := manager.Diff(t.Context(), o.DeepCopy(), ssa.DefaultDiffOptions())
				if err != nil {
					t.Fatal(err)
				}
				if change.Action != ssa.UnchangedAction {
					t.Errorf("%s has drifted: %s\nlive   %v\nwanted %v", change.Subject, change.Action, live, wanted)
				}
			}
			c.changesNothing(t, "a second reconciliation", set, func() {
				changes, err := apply(set)
				if err != nil {
					t.Fatal(err)
				}
				for _, change := range changes.Entries {
					if change.Action != ssa.UnchangedAction {
						t.Errorf("%s is %s", change.Subject, change.Action)
					}
				}
			})
		})
	}
}
