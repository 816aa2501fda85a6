package doctor

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

var clusterDNS = &Check{
	Name:  "cluster-dns",
	Group: groupWall,
	Doc: `walls leave open where the cluster's DNS is

A wall opens the pods behind the Service of DNS, and the caches on the nodes.
Distributions have that Service in different places; where none is found, walls
open the pods labelled k8s-app=kube-dns in kube-system, which may be nobody's, and
a namespace behind such a wall resolves no name.`,
	Sources: []string{"https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/", "https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/"},
	Check: func(e *Exam) {
		if !e.need(kinds("Service", "ServiceCIDR")...) {
			return
		}
		const find = "kubectl get services --all-namespaces | grep ' 53/'   # and name it in walls.dns of Sallyport's configuration"
		configured := e.Settings.Walls.DNS
		found := netpol.DNS(e.Mesh())
		for _, s := range found {
			e.pass(s.Ref, "spec.ports", "it serves DNS, and walls open it")
		}
		for _, d := range configured {
			at := mesh.Ref{Kind: "Service", Namespace: d.Namespace, Name: d.Service}
			if e.Mesh().Get(at) == nil {
				e.fail(at, "", find, "the configuration names it (walls.dns), and it does not exist")
			}
		}
		if len(found) == 0 && len(configured) == 0 {
			e.fail(mesh.Ref{}, "", find, "no Service of the cluster's DNS is found: walls may close it, and with it every name")
		}
	},
}
