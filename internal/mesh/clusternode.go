package mesh

// Node is a node of the cluster: where its pods' addresses lie, and its own.
type Node struct {
	Meta
	PodCIDRs  []string
	Addresses []string // of every type but its names
}

// ServiceCIDR is a range of addresses of Services.
type ServiceCIDR struct {
	Meta
	CIDRs []string `json:"cidrs"`
}

func decodeNode(m Meta, _, raw []byte) (Object, error) {
	var w struct {
		Spec struct {
			PodCIDR  string   `json:"podCIDR"`
			PodCIDRs []string `json:"podCIDRs"`
		} `json:"spec"`
		Status struct {
			Addresses []struct {
				Type    string `json:"type"`
				Address string `json:"address"`
			} `json:"addresses"`
		} `json:"status"`
	}
	if err := unmarshal(raw, &w); err != nil {
		return nil, fieldError("object", err)
	}
	// Labels and annotations are many, and bear on nothing.
	m.Labels, m.Annotations = nil, nil
	n := &Node{Meta: m, PodCIDRs: w.Spec.PodCIDRs}
	if len(n.PodCIDRs) == 0 && w.Spec.PodCIDR != "" {
		n.PodCIDRs = []string{w.Spec.PodCIDR}
	}
	for _, a := range w.Status.Addresses {
		if a.Type == "InternalIP" || a.Type == "ExternalIP" {
			n.Addresses = append(n.Addresses, a.Address)
		}
	}
	return n, nil
}
