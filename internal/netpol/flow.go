package netpol

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
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
// observe -o json", or what its exporter writes), of Calico Enterprise and
// Cloud (flow log files), or of Calico's Whisker (its stream of flows). Lines
// that are not about traffic that pods sent and that went through are passed
// over. lost is how many events the log says that it lacks: what they were about
// nobody knows. name is the log's name, for errors.
func ReadFlows(name string, r io.Reader) (flows []Flow, lost uint64, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("data:"))) // Whisker streams events
		if len(line) == 0 {
			continue
		}
		var either struct {
			hubble
			calico
		}
		if err := json.Unmarshal(line, &either); err != nil {
			return nil, 0, fmt.Errorf("%s:%d: %w: %s", name, n, err, compact(line))
		}
		var f Flow
		var ok bool
		var err error
		switch {
		case either.Flow != nil:
			f, ok, err = either.Flow.flow()
		case either.LostEvents != nil:
			lost += either.LostEvents.count()
		case either.about():
		case either.Reporter != "":
			f, ok, err = either.calico.flow()
		default:
			err = fmt.Errorf("this is neither a flow of Hubble (flow) nor of Calico (reporter): %s", compact(line))
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if ok {
			flows = append(flows, f)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	return flows, lost, nil
}

// protocols are those that NetworkPolicies know.
var protocols = []string{"TCP", "UDP", "SCTP"}

// hubble is a line of Hubble's log: a flow, or news of Hubble itself
// (https://docs.cilium.io/en/stable/_api/v1/observer/README/).
type hubble struct {
	Flow       *hubbleFlow     `json:"flow"`
	NodeStatus json.RawMessage `json:"node_status"`
	LostEvents *lostEvents     `json:"lost_events"`
	AgentEvent json.RawMessage `json:"agent_event"`
	DebugEvent json.RawMessage `json:"debug_event"`
}

// about reports whether the line is news of Hubble itself.
func (h hubble) about() bool {
	return h.NodeStatus != nil || h.AgentEvent != nil || h.DebugEvent != nil
}

// lostEvents is what a buffer of Hubble's could not hold. The number is a string, as
// protobuf has it in JSON, or a number.
type lostEvents struct {
	Number json.RawMessage `json:"num_events_lost"`
}

// count is how many events were lost; at least one, for there is a record of it.
func (l *lostEvents) count() uint64 {
	n, err := strconv.ParseUint(strings.Trim(string(l.Number), `"`), 10, 63)
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// hubbleFlow is https://docs.cilium.io/en/stable/_api/v1/flow/README/#flow.
type hubbleFlow struct {
	Verdict string `json:"verdict"`
	IP      struct {
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
	Labels    []string `json:"labels"` // "k8s:app=web", "reserved:world"
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
	// What is dropped today is nobody's loss tomorrow.
	dropped := h.Verdict == "DROPPED" || h.Verdict == "ERROR"
	if f.Namespace == "" || f.To.Protocol == "" || dropped || h.IsReply != nil && *h.IsReply {
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
// (https://docs.tigera.io/calico-enterprise/latest/observability/elastic/flow/datatypes),
// or a flow of Whisker, which has fewer fields and some of other names.
type calico struct {
	Reporter        string       `json:"reporter"` // src or dst; Src or Dst
	Action          string       `json:"action"`   // allow or deny; Allow or Deny
	SourceNamespace string       `json:"source_namespace"`
	SourceLabels    calicoLabels `json:"source_labels"`
	DestNamespace   string       `json:"dest_namespace"`
	DestNameAggr    string       `json:"dest_name_aggr"`
	DestName        string       `json:"dest_name"` // "-" where names are aggregated
	DestLabels      calicoLabels `json:"dest_labels"`
	DestDomains     []string     `json:"dest_domains"`
	DestIP          *string      `json:"dest_ip"`
	DestPort        *int         `json:"dest_port"` // null where ports are aggregated
	Proto           string       `json:"proto"`
	Protocol        string       `json:"protocol"`
}

// calicoLabels are written {"labels": ["app=web", ...]} or "app=web | ...".
type calicoLabels []string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *calicoLabels) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var list string
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		for label := range strings.SplitSeq(list, "|") {
			if label = strings.TrimSpace(label); label != "" {
				*l = append(*l, label)
			}
		}
		return nil
	}
	var object struct {
		Labels []string `json:"labels"`
	}
	err := json.Unmarshal(b, &object)
	*l = object.Labels
	return err
}

func (c *calico) flow() (Flow, bool, error) {
	f := Flow{
		Namespace: c.SourceNamespace,
		Labels:    labelMap(c.SourceLabels),
		Names:     c.DestDomains,
		To:        Destination{Protocol: strings.ToUpper(cmp.Or(c.Proto, c.Protocol))},
	}
	// "-" stands for "none". The destination reports the same flow again.
	if !strings.EqualFold(c.Reporter, "src") || strings.EqualFold(c.Action, "deny") ||
		f.Namespace == "" || f.Namespace == "-" || !slices.Contains(protocols, f.To.Protocol) {
		return f, false, nil
	}
	if c.DestPort != nil {
		f.To.Port = *c.DestPort
	}
	name := cmp.Or(c.DestNameAggr, c.DestName)
	if c.DestNamespace != "-" && c.DestNamespace != "" {
		f.To.Namespace, f.To.Labels = c.DestNamespace, labelMap(c.DestLabels)
		f.Names = []string{name}
	} else if len(f.Names) == 0 && c.DestIP == nil {
		f.Names = []string{name} // "pub" or "pvt": addresses were aggregated
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
