package mesh

import "github.com/sallyport-io/sallyport/internal/told"

// Verdict is what becomes of a client's traffic for an egress point.
type Verdict string

// The verdicts, from good to bad for Worse.
const (
	Via          Verdict = "via"          // through an approved egress gateway, all the way
	Blocked      Verdict = "blocked"      // the client's proxy drops it
	Broken       Verdict = "broken"       // it fails on the way; nothing leaks
	Undetermined Verdict = "undetermined" // beyond the model (EnvoyFilter and the like)
	Direct       Verdict = "direct"       // at least some of it leaves without the gateway
)

// AnyClient stands for every namespace that no object of the mesh singles
// out.
const AnyClient = "*"

// Path is the verdict for one egress point and one client namespace.
type Path struct {
	Host     string  `json:"host"` // canonical
	Port     int     `json:"port"`
	Protocol string  `json:"protocol"` // as registered, upper case: HTTP, HTTPS, TLS, TCP ...
	Client   string  `json:"client"`   // namespace, or AnyClient
	Verdict  Verdict `json:"verdict"`
	// Gateway is the configured name of the egress gateway that carries the
	// traffic; empty unless Verdict is Via (or Broken behind a gateway).
	Gateway string `json:"gateway"`
	// Because lists what decided the verdict, the decisive reason first. It
	// is never empty for Direct and Broken.
	Because []Reason `json:"because"`
	// Passed is true for a direct path that is the client's doing alone: its Sidecar,
	// or the mesh, lets traffic for unknown hosts out, or ztunnel connects by itself
	// to what another namespace registers. No entry makes that better or worse. It is
	// true of an undetermined path as well that an EnvoyFilter makes so in the client's
	// own proxies.
	Passed bool `json:"-"`
	// Entry is the object that registers the host for this client.
	Entry Ref `json:"-"`
	// Hops is the way the traffic takes, for explanations.
	Hops []Hop `json:"-"`
}

// Reason names an object, the JSON path of a field in it, and in one sentence
// what that field does to the traffic.
type Reason struct {
	Ref
	Path    string `json:"path"`
	Message string `json:"message"`
	// Told is Message with its names marked, for those who may not know all of
	// them; see package told.
	Told told.Text `json:"-"`
}

// Says is the sentence of the reason with its names marked, whoever has made it.
func (r Reason) Says() told.Text {
	if r.Told == "" && r.Message != "" {
		return told.F("%s", r.Message)
	}
	return r.Told
}

// Hop is one step of a path: who forwards, what decided it, and to where.
type Hop struct {
	From    string // "sidecar in namespace shop", "gateway istio-egressgateway"
	Decided Reason // the object and field that made the choice
	To      string // "istio-egressgateway.istio-system.svc.cluster.local:443 subset x, mutual TLS, SNI y"
	Subset  string // of the destination; empty for none
	// TLS is what the forwarding proxy wraps the traffic in, by a
	// DestinationRule; nil where none says so.
	TLS *ClientTLS
}

// Point is an egress point: a (host, port) that a ServiceEntry registers and
// whose endpoints lie outside the mesh.
type Point struct {
	Host     string // canonical; may be a wildcard
	Port     int
	Protocol string // as registered, upper case
	Entry    Ref
}
