package netpol

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// Flow is one connection that a log has seen.
type Flow struct {
	Namespace string            // of the pod that opened it
	Labels    map[string]string // of that pod
	To        Destination
	// Names are what DNS called the destination, or the log does.
	Names []string
}

func (f Flow) name() string {
	switch {
	case len(f.Names) > 0 && f.To.Namespace == "":
		return f.Names[0]
	case f.To.Namespace != "":
		return f.To.Namespace + "/" + cmp.Or(first(f.Names), "pod")
	}
	return f.To.Address.String()
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// ReadFlows reads a log of flows, one JSON object a line: of Hubble ("hubble
// observe -o json") or of Calico (flow log files). Lines that are not about
// the start of a connection of a pod are passed over. name is the log's name,
// for errors.
func ReadFlows(name string, r io.Reader) ([]Flow, error) {
	var flows []Flow
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var either struct {
			hubble
			calico
		}
		if err := json.Unmarshal(line, &either); err != nil {
			return nil, fmt.Errorf("%s:%d: %w: %s", name, n, err, compact(line))
		}
		var f Flow
		var ok bool
		var err error
		switch {
		case either.Flow != nil:
			f, ok, err = either.Flow.flow()
		case either.Reporter != "":
			f, ok, err = either.calico.flow()
		default:
			err = fmt.Errorf("this is neither a flow of Hubble (flow) nor of Calico (reporter): %s", compact(line))
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if ok {
			flows = append(flows, f)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return flows, nil
}

// hubble is a line of Hubble's log
// (https://docs.cilium.io/en/stable/_api/v1/flow/README/).
type hubble struct {
	Flow *hubbleFlow `json:"flow"`
}

type hubbleFlow struct {
	IP struct {
		Destination string `json:"destination"`
	} `json:"IP"`
	L4 struct {
		TCP, UDP, SCTP *struct {
			DestinationPort int `json:"destination_port"`
		}
	} `json:"l4"`
	Source           hubbleEndpoint `json:"source"`
	Destination      hubbleEndpoint `json:"destination"`
	DestinationNames []string       `json:"destination_names"`
	IsReply          *bool          `json:"is_reply"`
}

type hubbleEndpoint struct {
	Namespace string   `json:"namespace"`
	PodName   string   `json:"pod_name"`
	Labels    []string `json:"labels"` // "k8s:app=web"
}

func (h *hubbleFlow) flow() (Flow, bool, error) {
	f := Flow{
		Namespace: h.Source.Namespace,
		Labels:    labelMap(h.Source.Labels),
		Names:     h.DestinationNames,
		To:        Destination{Namespace: h.Destination.Namespace, Labels: labelMap(h.Destination.Labels)},
	}
	switch {
	case h.L4.TCP != nil:
		f.To.Protocol, f.To.Port = "TCP", h.L4.TCP.DestinationPort
	case h.L4.UDP != nil:
		f.To.Protocol, f.To.Port = "UDP", h.L4.UDP.DestinationPort
	case h.L4.SCTP != nil:
		f.To.Protocol, f.To.Port = "SCTP", h.L4.SCTP.DestinationPort
	}
	if f.Namespace == "" || f.To.Protocol == "" || h.IsReply != nil && *h.IsReply {
		return f, false, nil
	}
	if f.To.Namespace != "" && h.Destination.PodName != "" {
		f.Names = []string{h.Destination.PodName}
	}
	var err error
	f.To.Address, err = netip.ParseAddr(h.IP.Destination)
	return f, true, err
}

// calico is a line of Calico's flow log
// (https://docs.tigera.io/calico/latest/observability/elastic/flow/datatypes).
type calico struct {
	Reporter        string        `json:"reporter"`
	SourceNamespace string        `json:"source_namespace"`
	SourceLabels    *calicoLabels `json:"source_labels"`
	DestNamespace   string        `json:"dest_namespace"`
	DestName        string        `json:"dest_name_aggr"`
	DestLabels      *calicoLabels `json:"dest_labels"`
	DestDomains     []string      `json:"dest_domains"`
	DestIP          *string       `json:"dest_ip"`
	DestPort        *int          `json:"dest_port"`
	Proto           string        `json:"proto"`
}

type calicoLabels struct {
	Labels []string `json:"labels"` // "app=web"
}

func (c *calico) flow() (Flow, bool, error) {
	// "-" stands for "none". The destination reports the same flow again.
	if c.Reporter != "src" || c.SourceNamespace == "" || c.SourceNamespace == "-" || c.DestPort == nil {
		return Flow{}, false, nil
	}
	f := Flow{
		Namespace: c.SourceNamespace,
		Names:     c.DestDomains,
		To:        Destination{Protocol: strings.ToUpper(c.Proto), Port: *c.DestPort},
	}
	if c.SourceLabels != nil {
		f.Labels = labelMap(c.SourceLabels.Labels)
	}
	if c.DestNamespace != "-" {
		f.To.Namespace = c.DestNamespace
		f.Names = []string{c.DestName}
		if c.DestLabels != nil {
			f.To.Labels = labelMap(c.DestLabels.Labels)
		}
	} else if len(f.Names) == 0 && c.DestIP == nil {
		f.Names = []string{c.DestName} // "pub" or "pvt": addresses were aggregated
	}
	var err error
	if c.DestIP != nil {
		f.To.Address, err = netip.ParseAddr(*c.DestIP)
	}
	return f, true, err
}

// labelMap reads labels written as KEY=VALUE, perhaps with Cilium's source in
// front of the key.
func labelMap(list []string) map[string]string {
	m := map[string]string{}
	for _, l := range list {
		key, value, _ := strings.Cut(strings.TrimPrefix(l, "k8s:"), "=")
		m[key] = value
	}
	return m
}
