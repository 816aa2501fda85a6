// Package address reads addresses as those do who dial them: in every spelling
// that some resolver takes, and with what is written into them.
package address

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Parse reads an address in any spelling that some resolver takes: with a
// zone or without, and of IPv4 with up to four parts in decimal, octal or
// hexadecimal, as inet_aton does.
func Parse(host string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.WithZone(""), true
	}
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		n, ok := part4(part)
		last := i == len(parts)-1
		if !ok || !last && n > 0xff || last && n >= 1<<(8*(4-i)) {
			return netip.Addr{}, false
		}
		if last {
			value |= n
		} else {
			value |= n << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

// part4 reads one part of an address of IPv4.
func part4(part string) (uint64, bool) {
	base := 10
	lower := strings.ToLower(part)
	switch {
	case strings.HasPrefix(lower, "0x"):
		if part, base = part[2:], 16; part == "" {
			return 0, true
		}
	case len(part) > 1 && part[0] == '0':
		base = 8
	}
	if part == "" || strings.ContainsAny(part, "+-_") {
		return 0, false
	}
	n, err := strconv.ParseUint(part, base, 64)
	return n, err == nil
}

// Numeric reports whether a label of a name is one that no top-level domain has.
func Numeric(label string) bool {
	if label == "" {
		return false
	}
	if _, ok := part4(label); ok {
		return true
	}
	return strings.IndexFunc(label, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// Embedded returns the addresses that traffic for one may reach: the IPv4
// address that is written into one of IPv6, where it is mapped, compatible,
// translated (NAT64), of 6to4, of Teredo or of ISATAP, and else itself.
func Embedded(ip netip.Addr) []netip.Addr {
	ip = ip.Unmap()
	if ip.Is4() {
		return []netip.Addr{ip}
	}
	b := ip.As16()
	four := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	zero := func(from, to int) bool {
		return !slices.ContainsFunc(b[from:to], func(c byte) bool { return c != 0 })
	}
	switch {
	case zero(0, 12) && !zero(12, 15): // compatible; ::1 and :: are themselves
		return []netip.Addr{four(12)}
	case zero(0, 8) && b[8] == 0xff && b[9] == 0xff && zero(10, 12): // translated: ::ffff:0:a.b.c.d
		return []netip.Addr{four(12)}
	case b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b:
		if zero(4, 12) { // the well-known prefix of NAT64
			return []netip.Addr{four(12)}
		}
		return []netip.Addr{ip} // a network's own prefix of it: not global
	case b[0] == 0x20 && b[1] == 0x02: // 6to4
		return []netip.Addr{four(2)}
	case b[0] == 0x20 && b[1] == 0x01 && zero(2, 4): // Teredo: server, and the client's address turned over
		return []netip.Addr{four(4), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	case b[10] == 0x5e && b[11] == 0xfe: // ISATAP
		return []netip.Addr{ip, four(12)}
	}
	return []netip.Addr{ip}
}

// Ranges are the ranges that hold nothing but one address: the address, and for
// one of IPv4 what of IPv6 it is written into at a fixed place (see [Embedded]).
func Ranges(ip netip.Addr) []netip.Prefix {
	ip = ip.Unmap()
	own := netip.PrefixFrom(ip, ip.BitLen())
	if !ip.Is4() {
		return []netip.Prefix{own}
	}
	a := ip.As4()
	within := func(head ...byte) netip.Prefix {
		var b [16]byte
		copy(b[copy(b[:], head):], a[:])
		return netip.PrefixFrom(netip.AddrFrom16(b), 8*(len(head)+4))
	}
	at12 := func(b [12]byte) netip.Prefix { return within(b[:]...) }
	return []netip.Prefix{
		own,
		at12([12]byte{}),                 // compatible
		at12([12]byte{8: 0xff, 9: 0xff}), // translated
		at12([12]byte{1: 0x64, 2: 0xff, 3: 0x9b}), // NAT64
		at12([12]byte{10: 0xff, 11: 0xff}),        // mapped, where a range spells it so
		within(0x20, 0x02),                        // 6to4
		within(0x20, 0x01, 0, 0),                  // Teredo, as the server
	}
}
