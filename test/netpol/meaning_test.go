package netpol_test

import (
	"bufio"
	"bytes"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/netpol/netpoltest"
)

// TestMeaning asks an evaluator of NetworkPolicies that is not ours
// (github.com/mattfenwick/cyclonus) whether traffic passes, for every row of the
// matrices in testdata/meaning*.txtar. A row is
//
//	FROM -> TO PROTOCOL/PORT[=NAME] yes|no  reason
//
// where FROM and TO are names of peers.yaml, or addresses outside the cluster.
func TestMeaning(t *testing.T) {
	rows := 0
	files, err := filepath.Glob("testdata/meaning*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rows += matrix(t, a)
		})
	}
	if rows < 150 {
		t.Errorf("%d rows are too few to prove anything", rows)
	}
}

func matrix(t *testing.T, a *txtar.Archive) int {
	t.Helper()
	m := netpoltest.Mesh(t, a)
	var policies []*networkingv1.NetworkPolicy
	for _, ns := range netpol.Namespaces(m, netpol.Enforced) {
		policies = append(policies, netpol.For(m, ns)...)
	}
	for _, doc := range netpoltest.Documents(netpoltest.Section(a, "others.yaml")) {
		var p networkingv1.NetworkPolicy
		if err := yaml.UnmarshalStrict(doc, &p); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, &p)
	}
	evaluator := matcher.BuildNetworkPolicies(false, policies)
	var peers map[string]struct {
		Namespace string
		Labels    map[string]string
		IP        string
	}
	if err := yaml.UnmarshalStrict(netpoltest.Section(a, "peers.yaml"), &peers); err != nil {
		t.Fatal(err)
	}
	peer := func(name string) *matcher.TrafficPeer {
		p, ok := peers[name]
		if !ok {
			return &matcher.TrafficPeer{IP: name}
		}
		if p.Namespace == "" {
			return &matcher.TrafficPeer{IP: p.IP}
		}
		ns := m.Namespace(p.Namespace)
		if ns == nil {
			t.Fatalf("peer %s is in namespace %s, which the mesh lacks", name, p.Namespace)
		}
		labels := map[string]string{"kubernetes.io/metadata.name": ns.Name}
		maps.Copy(labels, ns.Labels)
		return &matcher.TrafficPeer{
			IP:       p.IP,
			Internal: &matcher.InternalPeer{Namespace: ns.Name, NamespaceLabels: labels, PodLabels: p.Labels},
		}
	}
	rows := 0
	lines := bufio.NewScanner(bytes.NewReader(netpoltest.Section(a, "matrix")))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) < 6 || fields[1] != "->" || fields[4] != "yes" && fields[4] != "no" {
			t.Fatalf("no row: %s", lines.Text())
		}
		protocol, port, _ := strings.Cut(fields[3], "/")
		port, name, _ := strings.Cut(port, "=")
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatalf("no row: %s", lines.Text())
		}
		rows++
		from, to := peer(fields[0]), peer(fields[2])
		traffic := &matcher.Traffic{
			Source: from, Destination: to,
			ResolvedPort: number, ResolvedPortName: name, Protocol: corev1.Protocol(protocol),
		}
		if got := evaluator.IsTrafficAllowed(traffic).IsAllowed(); got != (fields[4] == "yes") {
			t.Errorf("%s: the evaluator says %t", lines.Text(), got)
		}
		if from.Internal == nil {
			continue
		}
		// The preview's own reading of egress must be the evaluator's.
		own := slices.DeleteFunc(slices.Clone(policies), func(p *networkingv1.NetworkPolicy) bool {
			return p.Namespace != from.Internal.Namespace
		})
		destination := netpol.Destination{
			Address: netip.MustParseAddr(to.IP), Protocol: protocol, Port: number, PortName: name,
		}
		if to.Internal != nil {
			destination.Namespace, destination.Labels = to.Internal.Namespace, to.Internal.PodLabels
		}
		want := evaluator.IsIngressOrEgressAllowed(traffic, false).IsAllowed()
		if got := netpol.Permits(m, own, from.Internal.PodLabels, destination); got != want {
			t.Errorf("%s: as to egress, Permits says %t, the evaluator %t", lines.Text(), got, want)
		}
	}
	return rows
}
