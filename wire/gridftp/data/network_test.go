package data

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
)

func TestParsePortRange(t *testing.T) {
	for text, want := range map[string]PortRange{
		"": {}, "  ": {}, "50000,51000": {50000, 51000}, "50000 51000": {50000, 51000}, "7,7": {7, 7}, "50000-51000": {50000, 51000},
	} {
		if got, err := ParsePortRange(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"50000", "2,1", "0,5", "1,70000", "a,b", "1,2,3", ","} {
		if got, err := ParsePortRange(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")

func TestListenKeepsToItsRange(t *testing.T) {
	free, err := Network{}.Listen(t.Context(), loopback, 0)
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().Port()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	network := Network{ListenPorts: PortRange{port, port}, External: netip.MustParseAddr("192.0.2.7")}
	l, err := network.Listen(t.Context(), loopback, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if want := netip.AddrPortFrom(network.External, port); l.Addr() != want {
		t.Errorf("announces %v, want %v", l.Addr(), want)
	}
	if _, err := network.Listen(t.Context(), loopback, 0); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("with its only port taken: got %v", err)
	}
}

func TestDialLeavesFromItsRange(t *testing.T) {
	l, err := Network{}.Listen(t.Context(), loopback, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	network := Network{SourcePorts: PortRange{20000, 30000}}
	c, err := network.Dial(t.Context(), loopback, l.Addr(), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if port := netip.MustParseAddrPort(c.LocalAddr().String()).Port(); port < 20000 || port > 30000 {
		t.Errorf("dialled from port %d", port)
	}
}

func TestExternalAddressCountsForItsFamilyOnly(t *testing.T) {
	l, err := Network{External: netip.MustParseAddr("192.0.2.7")}.Listen(t.Context(), netip.IPv6Loopback(), 0)
	if err != nil {
		t.Skipf("needs IPv6 on the loopback interface: %v", err)
	}
	defer l.Close()
	if l.Addr().Addr() != netip.IPv6Loopback() {
		t.Errorf("announces %v", l.Addr())
	}
}
