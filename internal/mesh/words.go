package mesh

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/internal/told"
)

// What others wrote is quoted in messages: names, hosts, values. Objects may be
// megabytes, of one word or of very many, and messages are for people.
const (
	// MaxFew is how many names [Few] gives.
	MaxFew = 5
	// maxWord is how many bytes of a word [Short] leaves: more than a name or a
	// host can have.
	maxWord = 256
)

// Few lists names for a message: the first few, and how many of the count are
// left out.
func Few(names []string, count int) string {
	names = names[:min(len(names), MaxFew)]
	short := make([]string, len(names))
	for i, name := range names {
		short[i] = Short(name)
	}
	list := strings.Join(short, ", ")
	if count > len(names) {
		list += fmt.Sprintf(" and %d more", count-len(names))
	}
	return list
}

// Short is a word for a message: as it is, or its beginning where it is longer
// than any word that means something.
func Short(s string) string { return Cut(s, maxWord) }

// Cut shortens a text to at most n bytes, at the border of a character, with a
// mark where it was cut.
func Cut(s string, n int) string {
	const mark = "..."
	if len(s) <= n {
		return s
	}
	cut := max(n-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}

// The longest strings that an object may have whose spec is made of names:
// Istio programs nothing for a longer host, and what a review allocates grows
// with a word as often as it is repeated, for every client and every port.
const (
	longestName = 253  // of an object, and of what it names (DNS)
	longestWord = 512  // of a host, with what Istio allows around it, or of a key
	longestText = 4096 // of any other string
)

// words are the fields that hold hosts, names and addresses.
var words = map[string]bool{
	"host": true, "hosts": true, "sniHosts": true, "hostname": true, "hostnames": true, "externalName": true, "authority": true,
	":authority": true, "Host": true, "subset": true, "name": true, "namespace": true, "protocol": true, "address": true,
	"addresses": true, "gateways": true, "exportTo": true, "sourceNamespace": true, "uriPrefix": true, "network": true, "locality": true,
	"serviceAccount": true, "subjectAltNames": true, "sni": true, "targetRef": true, "kind": true, "group": true, "bind": true,
	"egress": true, "mode": true, "resolution": true, "location": true, "cidr": true, "except": true, "cidrs": true,
	"destinationSubnets": true, "sourceSubnet": true, "externalIPs": true, "ip": true, "clusterIP": true, "targetPort": true, "port": true,
}

// texts are the fields that hold what nobody here reads.
var texts = map[string]bool{"string": true, "bytes": true}

// verbose are the kinds whose specs hold programs, keys and commands.
var verbose = map[string]bool{
	"EnvoyFilter": true, "WasmPlugin": true, "TrafficExtension": true, "Telemetry": true, "ProxyConfig": true,
	"RequestAuthentication": true, "Ingress": true, "Node": true, "CiliumEnvoyConfig": true, "CiliumClusterwideEnvoyConfig": true,
	IstioConfigKind: true, "Pod": true, "ReplicationController": true, "Deployment": true, "StatefulSet": true, "DaemonSet": true, "ReplicaSet": true, "Job": true, "CronJob": true,
}

// CheckWords returns an error for an object with a name, a host or another
// string that is longer than any that means something. What it repeats in paths
// and messages is bounded then. raw is the JSON of the object.
func CheckWords(o Object, raw []byte) error {
	meta := o.Metadata()
	for _, part := range []struct{ field, value string }{{"name", meta.Name}, {"namespace", meta.Namespace}} {
		if len(part.value) > longestName {
			return fmt.Errorf("metadata.%s has %d bytes; the limit is %d", part.field, len(part.value), longestName)
		}
	}
	if verbose[meta.Kind] || len(raw) <= longestWord {
		return nil
	}
	var found error
	err := rawjson.Members(raw, func(name, value []byte) error {
		if found == nil && string(name) != "metadata" {
			found = checkStrings(value)
		}
		return nil
	})
	if err != nil { // not as plain as an API server writes it
		found = checkStrings(raw)
	}
	return found
}

// checkStrings checks every string in the JSON, by the key before it.
func checkStrings(raw []byte) error {
	var key []byte
	for at := 0; at < len(raw); {
		open := bytes.IndexByte(raw[at:], '"')
		if open < 0 {
			return nil
		}
		from := at + open + 1
		end := endOfString(raw, from)
		value := raw[from:end]
		at = end + 1
		if at < len(raw) && followedBy(raw[at:], ':') {
			if key = value; len(key) > longestWord {
				return fmt.Errorf("a key of %d bytes, %q, is too long; the limit is %d", len(key), Cut(string(key), 40), longestWord)
			}
			continue
		}
		limit := longestText
		if words[string(key)] {
			limit = longestWord
		}
		if len(value) > limit && !texts[string(key)] {
			return fmt.Errorf("field %s has a string of %d bytes, %q; the limit is %d", key, len(value), Cut(string(value), 40), limit)
		}
	}
	return nil
}

// endOfString returns where the string ends that begins at from: at its
// closing quote.
func endOfString(raw []byte, from int) int {
	for i := from; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(raw)
}

func followedBy(raw []byte, c byte) bool {
	for _, b := range raw {
		switch b {
		case ' ', '\t', '\n', '\r':
		default:
			return b == c
		}
	}
	return false
}

// FewNamespaces is [Few] of namespaces, with a word before the first of them, for a
// message that may be told to somebody
// who does not know them: how many more there are is for those who know the ones
// that are named.
func FewNamespaces(word string, names []string, count int) told.Text {
	items := make([]told.Text, min(len(names), MaxFew))
	for i := range items {
		items[i] = told.Namespace(names[i]).As(word + Short(names[i])).Text()
		word = ""
	}
	return told.List(told.Namespaces, items...) + more(names[:len(items)], count)
}

func more(names []string, count int) told.Text {
	if count <= len(names) {
		return ""
	}
	text := told.F(" and %d more", count-len(names))
	for _, name := range names {
		text = told.If(told.Namespace(name), text)
	}
	return text
}
