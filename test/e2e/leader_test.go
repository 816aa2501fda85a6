package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// testLeadership takes the lead away from the server, as an outage of the API
// server or another replica would, and gives it back. The process goes on, and
// answers all the while; it writes only while it leads.
func testLeadership(t *testing.T, c *cluster) {
	answers := func() {
		c.denied(t, entry("shop", "paste", "paste.example.org", tls443), "create", "--dry-run=server", "-f", "-")
	}
	eventually(t, "the server leads", c.leads(t, true))
	pid := c.server.Process().PID()

	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	c.kubectl(t, "", "-n", "sallyport-system", "patch", "lease", "sallyport-webhook", "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{"holderIdentity":"another","leaseDurationSeconds":300,"acquireTime":%q,"renewTime":%q}}`, now, now))
	answers()
	eventually(t, "the server has lost the lead", c.leads(t, false))
	answers()
	before := c.versions(t, istioKinds)
	c.kubectl(t, entry("shop", "leaderless", "leaderless.example.com", tls443), "apply", "-f", "-")
	c.kubectl(t, "", "delete", "serviceentry", "-n", "shop", "leaderless")
	c.kubectl(t, entry("shop", "leaderless", "leaderless.example.com", tls443), "apply", "-f", "-")
	for range 30 {
		answers()
		time.Sleep(100 * time.Millisecond)
	}
	after := c.versions(t, istioKinds)
	delete(after, "ServiceEntry shop/leaderless")
	for name, version := range after {
		if before[name] != version {
			t.Errorf("a server that does not lead has written %s", name)
		}
	}

	// The Lease is gone: whoever comes first leads.
	c.kubectl(t, "", "-n", "sallyport-system", "delete", "lease", "sallyport-webhook")
	eventually(t, "the server leads again", c.leads(t, true))
	eventually(t, "it does what was left undone", func() error {
		if companions := c.companions(t, "leaderless.example.com"); len(companions) < 4 {
			return fmt.Errorf("only %q", companions)
		}
		return nil
	})
	select {
	case <-c.server.Process().Done():
		t.Error("the process has ended")
	default:
	}
	if got := c.server.Process().PID(); got != pid {
		t.Errorf("the process is another one: %d, was %d", got, pid)
	}
	if restarts := strings.Count(c.server.Process().LogTail(100_000), `"msg":"starting"`); restarts != 1 {
		t.Errorf("the process has been started %d times", restarts)
	}
}

// leads reports by an error where the server does not lead, or does.
func (c *cluster) leads(t *testing.T, want bool) func() error {
	return func() error {
		page := c.get(t, strings.TrimSuffix(c.server.Metrics, "/metrics")+"/status?format=json")
		if got := strings.Contains(page, `"leader": true`); got != want {
			return fmt.Errorf("it leads: %v, want %v", got, want)
		}
		return nil
	}
}
