package mesh

import (
	"iter"
	"strings"
)

// Parts of the names that Sallyport gives to companions:
// sallyport-HASH[-gGATEWAY][-mesh|-spare-ROUTE|-hop|-origin|-pPORT].
const (
	reservedPrefix = "sallyport-"
	reservedHash   = 20 // hexadecimal digits
	reservedMark   = 8  // hexadecimal digits
)

// Reserved reports whether a name is of the form that Sallyport gives to
// companions. Package companion makes such names, and admission keeps
// everybody else from using them.
func Reserved(name string) bool {
	rest, ok := strings.CutPrefix(name, reservedPrefix)
	if !ok || len(rest) < reservedHash || !only(rest[:reservedHash], isHex) {
		return false
	}
	rest = rest[reservedHash:]
	if mark, ok := strings.CutPrefix(rest, "-g"); ok && len(mark) >= reservedMark && only(mark[:reservedMark], isHex) {
		rest = mark[reservedMark:]
	}
	switch rest {
	case "", "-mesh", "-hop", "-origin":
		return true
	}
	if route, ok := strings.CutPrefix(rest, "-spare-"); ok {
		return len(route) == reservedMark && only(route, isHex)
	}
	port, ok := strings.CutPrefix(rest, "-p")
	return ok && len(port) >= 1 && len(port) <= 5 && only(port, isDigit)
}

func only(s string, class func(byte) bool) bool {
	for i := range len(s) {
		if !class(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }

// Binders yields the Gateways that program an approved egress gateway, but for
// Sallyport's own: those are as many as there are hosts, these are few.
func (m *Mesh) Binders() iter.Seq[*Gateway] {
	return func(yield func(*Gateway) bool) {
		for g := range m.binders.under("") {
			if m.Spend(1); !yield(g) {
				return
			}
		}
	}
}
