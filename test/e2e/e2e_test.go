package e2e

import (
	"fmt"
	"testing"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestEndToEnd walks one cluster through the product's promises. The steps
// use hosts of their own.
func TestEndToEnd(t *testing.T) {
	c := start(t)
	settings := settings(t)

	t.Run("the manifests are accepted as a whole", func(t *testing.T) { testManifests(t, c) })
	t.Run("one ServiceEntry is enough", func(t *testing.T) { testScenarios(t, c, settings) })
	t.Run("a way around the gateway is denied", func(t *testing.T) { testEnforcement(t, c) })
	t.Run("organisation policy", func(t *testing.T) { testPolicy(t, c) })
	t.Run("policies in ConfigMaps", func(t *testing.T) { testPolicyConfigMaps(t, c) })
	t.Run("NetworkPolicy", func(t *testing.T) { testNetworkPolicy(t, c) })
	t.Run("labels of pods", func(t *testing.T) { testPodLabels(t, c) })
	t.Run("every way to write", func(t *testing.T) { testWaysToWrite(t, c) })
	t.Run("dry run", func(t *testing.T) { testDryRun(t, c) })
	t.Run("dry run of a set", func(t *testing.T) { testDryRunOfSets(t, c) })
	t.Run("a dump is judged as the cluster is", func(t *testing.T) { testDump(t, c) })
	t.Run("no entry is seen early", func(t *testing.T) { testUnheld(t, c, settings) })
	t.Run("companions belong to Sallyport", func(t *testing.T) { testProtection(t, c) })
	t.Run("modes", func(t *testing.T) { testModes(t, c) })
	t.Run("who is not asked", func(t *testing.T) { testMatchConditions(t, c) })
	t.Run("a namespace can be deleted", func(t *testing.T) { testNamespaceDeletion(t, c) })
	t.Run("a renewed certificate is served", func(t *testing.T) { testCertificate(t, c) })
	t.Run("the mesh configuration", func(t *testing.T) { testMeshConfig(t, c) })
	t.Run("versions", func(t *testing.T) { testVersions(t, c) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, c) })
	t.Run("losing the lead", func(t *testing.T) { testLeadership(t, c) })
	t.Run("restart", func(t *testing.T) { testRestart(t, c, settings) })
}

func settings(t *testing.T) mesh.Settings {
	t.Helper()
	cfg, err := config.Load("testdata/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Settings()
}

// entry is a ServiceEntry of today's form.
func entry(namespace, name, host, ports string) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {namespace: %s, name: %s}
spec:
  hosts: [%s]
  ports: [%s]
  resolution: DNS
`, namespace, name, host, ports)
}

const tls443 = "{number: 443, name: tls, protocol: TLS}"
