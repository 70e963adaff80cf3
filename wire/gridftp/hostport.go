package gridftp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// FormatHostPort writes an IPv4 address as PORT and PASV have it (RFC 959):
// "127,0,0,1,7,208". The address must be IPv4; see FormatExtended.
func FormatHostPort(addr netip.AddrPort) string {
	ip := addr.Addr().Unmap().As4()
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d", ip[0], ip[1], ip[2], ip[3], addr.Port()>>8, addr.Port()&0xff)
}

// ParseHostPort reads the six numbers of PORT.
func ParseHostPort(text string) (netip.AddrPort, error) {
	parts := strings.Split(strings.TrimSpace(text), ",")
	if len(parts) != 6 {
		return netip.AddrPort{}, syntaxError("host-port", text)
	}
	var n [6]byte
	for i, part := range parts {
		v, err := strconv.ParseUint(strings.TrimSpace(part), 10, 8)
		if err != nil {
			return netip.AddrPort{}, syntaxError("host-port", text)
		}
		n[i] = byte(v)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(n[:4])), uint16(n[4])<<8|uint16(n[5])), nil
}

// PassiveReply returns the 227 answer to PASV for an IPv4 address.
func PassiveReply(addr netip.AddrPort) Reply {
	return Reply{Code: 227, Lines: []string{"Entering Passive Mode (" + FormatHostPort(addr) + ")"}}
}

// ParsePassive reads a 227 reply. The parentheses are optional: RFC 1123,
// 4.1.2.6 tells clients to look for the digits.
func ParsePassive(r Reply) (netip.AddrPort, error) {
	text := r.Lines[len(r.Lines)-1]
	if r.Code != 227 {
		return netip.AddrPort{}, syntaxError("passive reply", r.String())
	}
	start := strings.IndexByte(text, '(') + 1
	if start == 0 {
		start = strings.IndexAny(text, "0123456789")
	}
	if start < 0 {
		return netip.AddrPort{}, syntaxError("passive reply", text)
	}
	end := start
	for end < len(text) && (text[end] == ',' || text[end] >= '0' && text[end] <= '9') {
		end++
	}
	return ParseHostPort(text[start:end])
}

// FormatExtended writes an address as EPRT has it (RFC 2428): "|2|::1|2000|".
func FormatExtended(addr netip.AddrPort) string {
	family := 2
	ip := addr.Addr().Unmap()
	if ip.Is4() {
		family = 1
	}
	return fmt.Sprintf("|%d|%s|%d|", family, ip.WithZone(""), addr.Port())
}

// ParseExtended reads the argument of EPRT; any delimiter will do.
func ParseExtended(text string) (netip.AddrPort, error) {
	fields, ok := splitExtended(strings.TrimSpace(text))
	if !ok {
		return netip.AddrPort{}, syntaxError("extended address", text)
	}
	ip, err := netip.ParseAddr(fields[1])
	if err != nil || ip.Zone() != "" || (fields[0] == "1") != ip.Is4() || fields[0] != "1" && fields[0] != "2" {
		return netip.AddrPort{}, syntaxError("extended address", text)
	}
	port, err := strconv.ParseUint(fields[2], 10, 16)
	if err != nil {
		return netip.AddrPort{}, syntaxError("extended address", text)
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// splitExtended splits "|a|b|c|" into its three fields.
func splitExtended(text string) ([3]string, bool) {
	if text == "" || text[0] < 33 || text[0] > 126 {
		return [3]string{}, false
	}
	parts := strings.Split(text, text[:1])
	if len(parts) != 5 || parts[0] != "" || parts[4] != "" {
		return [3]string{}, false
	}
	return [3]string{parts[1], parts[2], parts[3]}, true
}

// ExtendedPassiveReply returns the 229 answer to EPSV.
func ExtendedPassiveReply(port uint16) Reply {
	return Reply{Code: 229, Lines: []string{fmt.Sprintf("Entering Extended Passive Mode (|||%d|)", port)}}
}

// ParseExtendedPassive reads a 229 reply to EPSV. The address is the control
// connection's, control; Globus servers may name another one all the same
// ("(|1|10.0.0.7|2811|)"), which then counts.
func ParseExtendedPassive(r Reply, control netip.Addr) (netip.AddrPort, error) {
	text := r.Lines[len(r.Lines)-1]
	start, end := strings.LastIndexByte(text, '('), strings.LastIndexByte(text, ')')
	if r.Code != 229 || start < 0 || end < start {
		return netip.AddrPort{}, syntaxError("extended passive reply", r.String())
	}
	fields, ok := splitExtended(strings.TrimSpace(text[start+1 : end]))
	if !ok {
		return netip.AddrPort{}, syntaxError("extended passive reply", text)
	}
	if fields[1] != "" {
		return ParseExtended(text[start+1 : end])
	}
	port, err := strconv.ParseUint(fields[2], 10, 16)
	if err != nil {
		return netip.AddrPort{}, syntaxError("extended passive reply", text)
	}
	return netip.AddrPortFrom(control, uint16(port)), nil
}

// maxStripeAddrs bounds the addresses of one striped exchange.
const maxStripeAddrs = 1024

// FormatStripes writes the argument of SPOR: the addresses, in PORT's form for
// IPv4 and EPRT's for IPv6, separated by spaces.
func FormatStripes(addrs []netip.AddrPort) string {
	parts := make([]string, len(addrs))
	for i, addr := range addrs {
		parts[i] = formatAddr(addr)
	}
	return strings.Join(parts, " ")
}

// ParseStripes reads the argument of SPOR.
func ParseStripes(text string) ([]netip.AddrPort, error) {
	var addrs []netip.AddrPort
	for field := range strings.FieldsSeq(text) {
		addr, err := parseAddr(field)
		if err != nil {
			return nil, err
		}
		if addrs = append(addrs, addr); len(addrs) > maxStripeAddrs {
			return nil, fmt.Errorf("gridftp: more than %d stripes", maxStripeAddrs)
		}
	}
	if len(addrs) == 0 {
		return nil, syntaxError("stripe addresses", text)
	}
	return addrs, nil
}

// StripedPassiveReply returns the 229 answer to SPAS, one address a line.
func StripedPassiveReply(addrs []netip.AddrPort) Reply {
	lines := []string{"Entering Striped Passive Mode."}
	for _, addr := range addrs {
		lines = append(lines, " "+formatAddr(addr))
	}
	return Reply{Code: 229, Lines: append(lines, "End")}
}

// ParseStripedPassive reads a 229 reply to SPAS.
func ParseStripedPassive(r Reply) ([]netip.AddrPort, error) {
	if r.Code != 229 {
		return nil, syntaxError("striped passive reply", r.String())
	}
	return ParseStripes(strings.Join(r.Middle(), " "))
}

func formatAddr(addr netip.AddrPort) string {
	if addr.Addr().Unmap().Is4() {
		return FormatHostPort(addr)
	}
	return FormatExtended(addr)
}

func parseAddr(text string) (netip.AddrPort, error) {
	if strings.HasPrefix(text, "|") {
		return ParseExtended(text)
	}
	return ParseHostPort(text)
}
