// Package metadata knows the metadata services of clouds: by which addresses and
// names they are reached, and where that is written (services.json). Such a service
// tells by where a request comes from who asks, and answers with the credentials
// of that machine.
package metadata

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/address"
)

// Service is a metadata service as its cloud documents it.
type Service struct {
	Cloud     string       `json:"cloud"`
	Source    string       `json:"source"` // the page that says so
	Addresses []netip.Addr `json:"addresses"`
	// Names are host names in lower case; a label "*" stands for any one label.
	Names []string `json:"names"`

	labels  [][]string // of the names
	written []string   // the addresses of IPv4 as they stand in names of others
}

//go:embed services.json
var data []byte

// Services are the ones that are known, the most common first. Nobody changes them.
var Services = func() []Service {
	var all []Service
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil {
		panic(fmt.Sprintf("services.json: %v", err)) // it is part of the program
	}
	for i := range all {
		s := &all[i]
		for _, name := range s.Names {
			s.labels = append(s.labels, strings.Split(name, "."))
		}
		for _, ip := range s.Addresses {
			if ip.Is4() {
				a, dotted := ip.As4(), ip.String()
				s.written = append(s.written, dotted, strings.ReplaceAll(dotted, ".", "-"), hex.EncodeToString(a[:]))
			}
		}
	}
	return all
}()

// Mention is a metadata service that was found in what somebody has written.
type Mention struct {
	Service Service
	// Exactly is the name or address of the service, where it is what was written
	// in some spelling; empty where that stands for other hosts too, or hides it.
	Exactly string
}

// Host reports whether a canonical host (a name, a pattern or an address in any
// spelling) is a metadata service, covers one, or is or covers one of those names
// that public DNS servers resolve to the address that stands in them.
func Host(host string) (Mention, bool) {
	if ip, ok := address.Parse(host); ok {
		return Address(ip)
	}
	labels := strings.Split(host, ".")
	for _, s := range Services {
		for _, name := range s.labels {
			if !meets(labels, name) {
				continue
			}
			if strings.HasPrefix(host, "*") {
				return Mention{Service: s}, true
			}
			return Mention{Service: s, Exactly: host}, true
		}
	}
	if len(labels) < 2 {
		return Mention{}, false
	}
	for _, s := range Services {
		for _, written := range s.written {
			if writtenInto(host, written) || covers(labels, written) {
				return Mention{Service: s}, true
			}
		}
	}
	return Mention{}, false
}

// publicDNS are the domains of servers that resolve a name to the address that stands
// in it, as far as they are well known. Under others it has to stand there to be seen.
var publicDNS = []string{"nip.io", "sslip.io"}

// covers reports whether a pattern covers an address written into a name of those.
func covers(pattern []string, written string) bool {
	return strings.HasPrefix(pattern[0], "*") && slices.ContainsFunc(publicDNS, func(domain string) bool {
		return meets(pattern, strings.Split(written+"."+domain, "."))
	})
}

// Address reports whether traffic for an address reaches a metadata service.
func Address(ip netip.Addr) (Mention, bool) {
	for _, in := range address.Embedded(ip) {
		for _, s := range Services {
			if slices.Contains(s.Addresses, in) {
				return Mention{Service: s, Exactly: in.String()}, true
			}
		}
	}
	return Mention{}, false
}

// Range reports whether a range holds the address of a metadata service, be it
// written into one of IPv6.
func Range(p netip.Prefix) (Mention, bool) {
	if p.IsSingleIP() {
		return Address(p.Addr())
	}
	for _, s := range Services {
		for _, ip := range s.Addresses {
			if slices.ContainsFunc(address.Ranges(ip), p.Overlaps) {
				return Mention{Service: s}, true
			}
		}
	}
	return Mention{}, false
}

// meets reports whether the labels of a host, of which the first may be the star of
// a pattern, and those of a documented name can be the same name.
func meets(host, name []string) bool {
	if rest, pattern := strings.CutPrefix(host[0], "*"); pattern {
		host = host[1:]
		if len(host) > len(name) || rest != "" && len(host) == len(name) {
			return false
		}
		if at := len(name) - len(host) - 1; rest != "" && name[at] != "*" && !strings.HasSuffix(name[at], rest) {
			return false
		}
		name = name[len(name)-len(host):]
	}
	if len(host) != len(name) {
		return false
	}
	for i := range host {
		if name[i] != "*" && host[i] != name[i] {
			return false
		}
	}
	return true
}

// writtenInto reports whether a name has an address of IPv4 in it as servers like
// nip.io and sslip.io read it: in four labels, in one with hyphens, or in
// hexadecimal.
func writtenInto(host, written string) bool {
	for rest := host; ; {
		i := strings.Index(rest, written)
		if i < 0 {
			return false
		}
		end := i + len(written)
		if (i == 0 || !digit(rest[i-1])) && end < len(rest) && !digit(rest[end]) {
			return true
		}
		rest = rest[i+1:]
	}
}

// digit reports whether a character can go on with a number.
func digit(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' }
