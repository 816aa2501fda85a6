package companion

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Names of companions are a function of the host and of the administrator's
// configuration. A host reaches a name only through its hash: no string of a
// tenant becomes a name, a namespace or a kind.
const (
	namePrefix = "sallyport-"
	// hashLength is that of the hash in a name, in hexadecimal digits. 80
	// bits keep anybody from finding a host that shares another's companions.
	hashLength = 20

	meshSuffix      = "-mesh"   // the mesh hop
	spareMark       = "-spare-" // and a hash of the user's route: the mesh hop behind it
	hopSuffix       = "-hop"    // the mesh hop's own DestinationRule, where one is needed
	originateSuffix = "-origin" // the DestinationRule by which the gateway originates TLS
	portSuffix      = "-p"      // and a port's number: the lane of that port alone

	gatewayMark = "-g" // and a hash of the gateway's name
	markLength  = 8

	// internalSuffix ends names that no DNS server knows.
	internalSuffix = ".sallyport.internal"
)

// Kinds are the kinds of the companions.
var Kinds = []string{"ServiceEntry", "Gateway", "DestinationRule", "VirtualService", "AuthorizationPolicy"}

// Is reports whether the Ref is one that Sallyport uses for companions: such
// objects may be written by nobody else. The names are the prefix, the host's
// hash, a mark of the gateway where a namespace has several, and the
// companion's part: sallyport-HASH[-gGATEWAY][-mesh|-spare-ROUTE|-hop|-origin|-pPORT].
func Is(ref mesh.Ref) bool {
	return slices.Contains(Kinds, ref.Kind) && mesh.Reserved(ref.Name)
}

// MeshHop reports whether a companion belongs to the clients' side, which
// leads to the gateway's: it is written last and deleted first.
func MeshHop(ref mesh.Ref) bool {
	return strings.HasSuffix(ref.Name, meshSuffix) || strings.HasSuffix(ref.Name, hopSuffix) || Spare(ref)
}

// Spare reports whether a companion is a mesh hop behind a user's own.
func Spare(ref mesh.Ref) bool { return strings.Contains(ref.Name, spareMark) }

// Key is what the names of a canonical host's companions begin with.
func Key(host string) string { return namePrefix + digest(host, hashLength) }

// OriginationName is the name of the DestinationRule by which a gateway speaks
// TLS to a canonical host.
func OriginationName(host string) string { return Key(host) + originateSuffix }

// KeyOf is the [Key] that a companion's name begins with. The Ref must be one
// for which [Is] holds.
func KeyOf(ref mesh.Ref) string { return ref.Name[:len(namePrefix)+hashLength] }

// syntheticSNI is the server name of a lane that the host's own name cannot
// tell apart: a second TLS server on one port of the gateway. It is never
// resolved; it exists between sidecar and gateway only.
func syntheticSNI(host string, port int) string {
	return "p" + strconv.Itoa(port) + "." + digest(host, hashLength) + internalSuffix
}

func digest(s string, length int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:length/2])
}

// MadeOf reports whether a name, of an object or of a server, is one that is made
// of a canonical host.
func MadeOf(name, host string) bool { return strings.Contains(name, digest(host, hashLength)) }

// Internal reports whether a server name is one that only Sallyport's own
// companions use.
func Internal(name string) bool { return strings.HasSuffix(name, internalSuffix) }
