package oracle

import (
	"slices"
	"strings"
)

// Facts is the form in which the observed cases record Istio's answer.
type Facts struct {
	// Direct and Via list, for each client, the ways to services other than
	// the egress gateway and to the gateway. They go by host name, not by
	// address: a ServiceEntry that takes the gateway's name counts as via.
	Direct map[string][]string `json:"direct"`
	Via    map[string][]string `json:"via"`
	// Gateway lists the ways through the egress gateway.
	Gateway []string `json:"gateway"`
	// GatewayUpstreamTLS is the TLS of the gateway's external clusters.
	GatewayUpstreamTLS map[string]string `json:"gatewayUpstreamTLS"`
	// MeshHop is the TLS of the clients' clusters for the gateway's subsets.
	MeshHop map[string]string `json:"meshHop"`
}

// Facts returns the facts of the world.
func (w *World) Facts() Facts {
	f := Facts{Direct: map[string][]string{}, GatewayUpstreamTLS: map[string]string{}, MeshHop: map[string]string{}}
	for _, c := range w.Clients {
		for _, l := range c.Leaves {
			into := &f.Direct
			switch cl := c.Clusters[l.Cluster]; {
			case l.Cluster == "", l.Cluster == "BlackHoleCluster":
				continue
			case strings.HasSuffix(l.Cluster, "|"+GatewayHost):
				if l.Address == gatewayVIP || strings.HasPrefix(l.VirtualHost, GatewayHost) {
					continue // the gateway's own Service, which every sidecar knows
				}
				into = &f.Via
			case cl == nil:
				continue
			}
			if *into == nil {
				*into = map[string][]string{}
			}
			line := describe(l)
			if c.Clusters[l.Cluster] == nil {
				line += " MISSING"
			}
			(*into)[c.String()] = append((*into)[c.String()], line)
		}
	}
	for _, m := range []map[string][]string{f.Direct, f.Via} {
		for client := range m {
			m[client] = distinct(m[client])
		}
	}
	for _, l := range w.Gateway.Leaves {
		if l.Cluster != "" && l.Cluster != "BlackHoleCluster" {
			f.Gateway = append(f.Gateway, describe(l))
		}
	}
	f.Gateway = distinct(f.Gateway)
	for name, c := range w.Gateway.Clusters {
		if c.Host != "" && c.Host != GatewayHost {
			f.GatewayUpstreamTLS[name] = c.TLS.String()
		}
	}
	for _, client := range w.Clients {
		for name, c := range client.Clusters {
			if c.Host == GatewayHost && c.Subset != "" {
				f.MeshHop[name] = c.TLS.String()
			}
		}
	}
	return f
}

func describe(l Leaf) string {
	var b strings.Builder
	b.WriteString(l.Listener)
	if len(l.SNI) > 0 {
		b.WriteString(" sni=" + strings.Join(l.SNI, ","))
	}
	if l.Terminates {
		if l.ClientCert {
			b.WriteString(" tls(client=true)")
		} else {
			b.WriteString(" tls(client=false)")
		}
	}
	if l.HTTP {
		b.WriteString(" http " + l.VirtualHost)
	} else {
		b.WriteString(" tcp")
	}
	if l.Mirror {
		b.WriteString(" mirror")
	}
	b.WriteString(" -> " + l.Cluster)
	return b.String()
}

func distinct(lines []string) []string {
	slices.Sort(lines)
	return slices.Compact(lines)
}
