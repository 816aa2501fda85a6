package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// status is what the test reads of the status page.
type status struct {
	Leader   bool
	Waiting  string
	Mesh     struct{ Synced bool }
	Policies struct {
		Revision, Refused string
		Evaluation        *struct{ Objects, NewlyDenied int }
		Sources           []struct{ Name, Revision, Refused string }
		Policies          []struct{ Name, Severity, File string }
	}
}

func (c *cluster) status(t *testing.T) status {
	t.Helper()
	var s status
	page := strings.TrimSuffix(c.server.Metrics, "/metrics") + "/status?format=json"
	if err := json.Unmarshal([]byte(c.get(t, page)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// testPolicyConfigMaps brings a policy into a cluster by a ConfigMap, and
// follows it on the status page.
func testPolicyConfigMaps(t *testing.T, c *cluster) {
	before := c.status(t)
	if !before.Leader || !before.Mesh.Synced || before.Waiting != "" || len(before.Policies.Policies) == 0 {
		t.Errorf("status before: %+v", before)
	}
	partner := func(body string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {namespace: sallyport-system, name: partners, labels: {sallyport.io/policy: "true"}}
data:
  partners.rego: |
    # METADATA
    # title: partners are for the bank
    # description: Only the bank talks to partners.
    package sallyport.policies.partners

    deny contains {"msg": msg, "path": "spec.hosts", "fix": "ask the bank"} if {
    	%s
    	msg := "partners are for the bank"
    }
`, body)
	}
	c.kubectl(t, entry("shop", "judged", "judged.example.com", tls443), "apply", "-f", "-")
	write := func() (string, error) {
		return c.try(t, entry("shop", "partner", "api.partner.example.com", tls443), "apply", "--dry-run=server", "-f", "-")
	}
	if out, err := write(); err != nil {
		t.Fatalf("denied before there is a policy: %v\n%s", err, out)
	}
	c.kubectl(t, partner(`endswith(input.object.spec.hosts[_], ".partner.example.com")`), "apply", "-f", "-")
	defer func() {
		c.kubectl(t, "", "delete", "configmap", "partners", "-n", "sallyport-system")
		eventually(t, "the policy goes with its ConfigMap", func() error {
			if s := c.status(t); s.Policies.Revision != before.Policies.Revision || s.Policies.Refused != "" {
				return fmt.Errorf("status %+v", s)
			}
			return nil
		})
	}()
	eventually(t, "the policy judges", func() error {
		if out, err := write(); err == nil || !strings.Contains(out, "partners are for the bank") {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	good := c.status(t)
	if good.Policies.Revision == before.Policies.Revision || len(good.Policies.Policies) != len(before.Policies.Policies)+1 {
		t.Errorf("status with the policy: %+v", good)
	}
	if e := good.Policies.Evaluation; e == nil || e.Objects == 0 || e.NewlyDenied != 0 {
		t.Errorf("evaluation %+v; want one of what is in the cluster, without new denials", e)
	}

	// One that fails on what is in the cluster.
	c.kubectl(t, partner(`net.cidr_contains("10.0.0.0/8", input.object.spec.hosts[_])`), "apply", "-f", "-")
	eventually(t, "the policy is refused", func() error {
		s := c.status(t)
		if !strings.Contains(s.Policies.Refused, "could not be judged, by partners (configmaps/sallyport-system/partners/partners.rego:") {
			return fmt.Errorf("status %+v", s)
		}
		if s.Policies.Revision != good.Policies.Revision {
			t.Errorf("another revision is in force: %+v", s)
		}
		return nil
	})
	if out, err := write(); err == nil || !strings.Contains(out, "partners are for the bank") {
		t.Errorf("the policy before is no longer in force: %v\n%s", err, out)
	}
}
