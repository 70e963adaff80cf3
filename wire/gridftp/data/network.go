package data

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A PortRange is the TCP ports from Min to Max, both included. The zero value
// leaves the choice to the system.
type PortRange struct{ Min, Max uint16 }

// ParsePortRange reads "50000,51000", as GLOBUS_TCP_PORT_RANGE has it; a space
// or a hyphen may stand for the comma. Empty text is the zero range.
func ParsePortRange(text string) (PortRange, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '-' })
	if len(fields) == 0 && strings.TrimSpace(text) == "" {
		return PortRange{}, nil
	}
	if len(fields) != 2 {
		return PortRange{}, fmt.Errorf("port range %q is not of the form MIN,MAX", text)
	}
	low, err1 := strconv.ParseUint(fields[0], 10, 16)
	high, err2 := strconv.ParseUint(fields[1], 10, 16)
	if err1 != nil || err2 != nil || low == 0 || high < low {
		return PortRange{}, fmt.Errorf("port range %q is not two ports from 1 to 65535 in ascending order", text)
	}
	return PortRange{uint16(low), uint16(high)}, nil
}

// each calls try with the ports of the range, from a random one on, until it
// succeeds or fails for another reason than the port's being taken. Two
// processes that share a range would otherwise race for its first port.
func (p PortRange) each(try func(port uint16) error) error {
	if p.Max == 0 {
		return try(0)
	}
	n := int(p.Max) - int(p.Min) + 1
	start := rand.IntN(n)
	var err error
	for i := range n {
		err = try(p.Min + uint16((start+i)%n))
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return err
		}
	}
	return fmt.Errorf("no free port from %d to %d: %w", p.Min, p.Max, err)
}

// A Network says how data connections leave and reach this host. The zero
// value is a host without firewalls.
type Network struct {
	ListenPorts PortRange // where to listen: GLOBUS_TCP_PORT_RANGE
	SourcePorts PortRange // where to dial from: GLOBUS_TCP_SOURCE_RANGE

	// External is the address told to peers in place of the one listened on,
	// when this host is behind address translation: GLOBUS_HOSTNAME. It counts
	// only for listeners of its own family.
	External netip.Addr
}

// NetworkFromEnvironment reads the variables that the Globus tools read. A
// GLOBUS_HOSTNAME that is a name is looked up.
func NetworkFromEnvironment(ctx context.Context) (Network, error) {
	var n Network
	var err error
	if n.ListenPorts, err = ParsePortRange(os.Getenv("GLOBUS_TCP_PORT_RANGE")); err != nil {
		return Network{}, fmt.Errorf("GLOBUS_TCP_PORT_RANGE: %w", err)
	}
	if n.SourcePorts, err = ParsePortRange(os.Getenv("GLOBUS_TCP_SOURCE_RANGE")); err != nil {
		return Network{}, fmt.Errorf("GLOBUS_TCP_SOURCE_RANGE: %w", err)
	}
	if host := os.Getenv("GLOBUS_HOSTNAME"); host != "" {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return Network{}, fmt.Errorf("GLOBUS_HOSTNAME: %w", err)
		}
		n.External = addrs[0].Unmap()
	}
	return n, nil
}

// A Listener waits for data connections.
type Listener struct {
	tcp      *net.TCPListener
	external netip.Addr
}

// Listen listens on the local address, most often that of the control
// connection, on a port of the range. buffer is the TCP buffer in bytes, which
// must be known by now to count in the window's scale; 0 leaves it to the
// system.
func (n Network) Listen(ctx context.Context, local netip.Addr, buffer int) (*Listener, error) {
	config := net.ListenConfig{Control: setBuffers(buffer)}
	config.SetMultipathTCP(false) // the kernel's copying shortcuts need plain TCP
	var tcp *net.TCPListener
	err := n.ListenPorts.each(func(port uint16) error {
		l, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(local.Unmap(), port).String())
		if err == nil {
			tcp = l.(*net.TCPListener)
		}
		return err
	})
	if err != nil {
		return nil, &ConnectError{"listen on", local.String(), err}
	}
	return &Listener{tcp: tcp, external: n.External}, nil
}

// Addr returns the address to tell the peer.
func (l *Listener) Addr() netip.AddrPort {
	addr := l.tcp.Addr().(*net.TCPAddr).AddrPort()
	ip := addr.Addr().Unmap()
	if l.external.IsValid() && l.external.Is4() == ip.Is4() {
		ip = l.external
	}
	return netip.AddrPortFrom(ip, addr.Port())
}

// Close stops listening.
func (l *Listener) Close() error { return l.tcp.Close() }

// Dial connects to the peer from a port of the source range. local is the
// address to dial from, or the zero Addr.
func (n Network) Dial(ctx context.Context, local netip.Addr, to netip.AddrPort, buffer int) (net.Conn, error) {
	var conn net.Conn
	err := n.SourcePorts.each(func(port uint16) error {
		dialer := net.Dialer{Control: setBuffers(buffer)}
		dialer.SetMultipathTCP(false)
		if local.IsValid() || port != 0 {
			from := net.TCPAddr{Port: int(port)}
			if local.IsValid() {
				from.IP = local.Unmap().AsSlice()
			}
			dialer.LocalAddr = &from
		}
		var err error
		conn, err = dialer.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, &ConnectError{"dial", to.String(), err}
	}
	return conn, nil
}

// setBuffers returns a control function that sizes a socket's buffers and lets
// a port of a range be used again while old connections linger on it.
func setBuffers(size int) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = setSocketOptions(int(fd), size) }); e != nil {
			return e
		}
		return err
	}
}

func setSocketOptions(fd, size int) error {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if size <= 0 {
		return nil
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, size); err != nil {
		return err
	}
	return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, size)
}
