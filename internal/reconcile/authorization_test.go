package reconcile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	security "istio.io/client-go/pkg/apis/security/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestAuthorizationIsKept checks that the gateway admits to a host whoever registers it, as soon as he does and as long as
// he does, and that nobody else can change that.
func TestAuthorizationIsKept(t *testing.T) {
	c := newCluster(t, "az-shop", "az-billing")
	c.settings.Authorization = true
	c.run()
	const host = "az.partner.com"
	key := client.ObjectKey{Namespace: "istio-system", Name: companion.Key(host)}
	if err := security.AddToScheme(c.Scheme()); err != nil {
		t.Fatal(err)
	}
	admitted := func(want ...string) *security.AuthorizationPolicy {
		t.Helper()
		var p security.AuthorizationPolicy
		c.eventually(fmt.Sprintf("the gateway to admit %v", want), func() error {
			if err := c.Get(t.Context(), key, &p); err != nil {
				return err
			}
			source := p.Spec.Rules[0].From[0].Source
			if d := cmp.Diff(want, append(source.NotNamespaces, source.NotPrincipals...)); d != "" {
				return fmt.Errorf("(-want +got):\n%s", d)
			}
			return nil
		})
		return &p
	}
	c.create(held("az-shop", "api", host, tls))
	entry := c.opens("az-shop", "api")
	policy := admitted("az-shop")
	if version(t, policy) > version(t, entry) {
		t.Error("the entry was opened before the gateway was closed to others")
	}
	if policy.Labels[mesh.ManagedByLabel] != mesh.ManagedBy || policy.Spec.Action.String() != "DENY" {
		t.Errorf("labels %v, action %s", policy.Labels, policy.Spec.Action)
	}

	c.create(strings.Replace(held("az-billing", "api", host, tls), "annotations: {", `annotations: {sallyport.io/service-accounts: web, `, 1))
	c.opens("az-billing", "api")
	policy = admitted("az-shop", "*/ns/az-billing/sa/web")

	policy.Spec.Rules[0].From[0].Source.NotNamespaces = []string{"az-shop", "attacker"}
	if err := c.Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	admitted("az-shop", "*/ns/az-billing/sa/web")

	if err := c.Delete(t.Context(), c.entry("az-billing", "api")); err != nil {
		t.Fatal(err)
	}
	admitted("az-shop")
	if err := c.Delete(t.Context(), c.entry("az-shop", "api")); err != nil {
		t.Fatal(err)
	}
	c.eventually("the policy to go with the host", func() error {
		err := c.Get(t.Context(), key, &security.AuthorizationPolicy{})
		if err == nil {
			return fmt.Errorf("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
}

// TestAuthorizationTurnedOff checks that no policy stays behind to keep out who comes later.
func TestAuthorizationTurnedOff(t *testing.T) {
	c := newCluster(t, "az-off")
	const host = "az-off.partner.com"
	key := client.ObjectKey{Namespace: "istio-system", Name: companion.Key(host)}
	if err := security.AddToScheme(c.Scheme()); err != nil {
		t.Fatal(err)
	}
	c.settings.Authorization = true
	c.run()
	c.create(held("az-off", "api", host, tls))
	c.opens("az-off", "api")
	if err := c.Get(t.Context(), key, &security.AuthorizationPolicy{}); err != nil {
		t.Fatal(err)
	}
	c.stop()
	c.settings.Authorization = false
	c.run()
	c.eventually("the policy to go", func() error {
		err := c.Get(t.Context(), key, &security.AuthorizationPolicy{})
		if err == nil {
			return fmt.Errorf("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
	c.opens("az-off", "api")
}

// TestServiceAccountsAreRefused checks that an entry which asks for what it cannot have is held and told why.
func TestServiceAccountsAreRefused(t *testing.T) {
	c := newCluster(t, "az-refused")
	c.run() // without authorization
	c.create(strings.Replace(held("az-refused", "api", "az-refused.partner.com", tls), "annotations: {", `annotations: {sallyport.io/service-accounts: web, `, 1))
	c.eventually("the refusal", func() error {
		e := c.entry("az-refused", "api")
		if got := e.Annotations[mesh.StatusAnnotation]; !strings.Contains(got, "service accounts") {
			return fmt.Errorf("%s is %q", mesh.StatusAnnotation, got)
		}
		if len(e.Spec.ExportTo) != 1 || e.Spec.ExportTo[0] != "~" {
			return fmt.Errorf("exportTo %v", e.Spec.ExportTo)
		}
		return nil
	})
	if left := c.companions("az-refused.partner.com"); len(left) > 0 {
		t.Errorf("companions %v", left)
	}
}
