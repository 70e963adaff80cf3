package gridftp

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// A PortRange is the ports from Low to High; the zero value is any port.
type PortRange struct{ Low, High uint16 }

// ParsePortRange reads "low,high" or "low high", as Globus's variables have
// it; the empty string is any port.
func ParsePortRange(text string) (PortRange, error) {
	if strings.TrimSpace(text) == "" {
		return PortRange{}, nil
	}
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(fields) == 2 {
		low, err1 := strconv.ParseUint(fields[0], 10, 16)
		high, err2 := strconv.ParseUint(fields[1], 10, 16)
		if err1 == nil && err2 == nil && low > 0 && low <= high {
			return PortRange{uint16(low), uint16(high)}, nil
		}
	}
	return PortRange{}, fmt.Errorf("gridftp: port range %q: use \"low,high\", such as \"50000,51000\"", text)
}

// Network is how this host's data channels meet its firewall.
type Network struct {
	Listen   PortRange  // ports to listen on: GLOBUS_TCP_PORT_RANGE
	Source   PortRange  // local ports of connections made: GLOBUS_TCP_SOURCE_RANGE
	External netip.Addr // address to tell servers in place of the local one: GLOBUS_HOSTNAME
}

// NetworkFromEnvironment reads what the Globus tools read. GLOBUS_HOSTNAME may
// be a name; resolve, such as net.DefaultResolver's LookupNetIP, turns it into
// addresses, of which the first counts.
func NetworkFromEnvironment(resolve func(host string) ([]netip.Addr, error)) (Network, error) {
	var n Network
	var err error
	if n.Listen, err = ParsePortRange(os.Getenv("GLOBUS_TCP_PORT_RANGE")); err != nil {
		return n, fmt.Errorf("GLOBUS_TCP_PORT_RANGE: %w", err)
	}
	if n.Source, err = ParsePortRange(os.Getenv("GLOBUS_TCP_SOURCE_RANGE")); err != nil {
		return n, fmt.Errorf("GLOBUS_TCP_SOURCE_RANGE: %w", err)
	}
	host := os.Getenv("GLOBUS_HOSTNAME")
	if host == "" {
		return n, nil
	}
	if n.External, err = netip.ParseAddr(host); err == nil {
		return n, nil
	}
	addrs, err := resolve(host)
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("it has no address")
	}
	if err != nil {
		return n, fmt.Errorf("GLOBUS_HOSTNAME %q: %w", host, err)
	}
	n.External = addrs[0]
	return n, nil
}
