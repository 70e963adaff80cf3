package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A Network joins network namespaces made for one test, and the test's own, by
// a bridge. Its addresses are of 198.18.0.0/15, which RFC 2544 sets aside for
// tests, so that none is another machine's.
type Network struct {
	Address string // of the test's own namespace

	t      testing.TB
	id     string
	prefix string // of all addresses, with its last dot
	hosts  int
}

// A Host is a network namespace with one address.
type Host struct {
	Namespace string // for Command.Namespace and `ip netns exec`
	Address   string

	network *Network
	link    string // the bridge's end of its cable
}

// NewNetwork makes a network, or skips the test where that takes more rights
// or tools than there are.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	NeedRoot(t, "it makes network namespaces")
	Need(t, "ip")
	Need(t, "nft")
	Need(t, "tc")
	// Names of interfaces have 15 characters at most.
	n := &Network{
		t:      t,
		id:     fmt.Sprintf("gf%06x", rand.IntN(1<<24)),
		prefix: FreePrefix(t),
	}
	n.Address = n.prefix + "1"
	if out, err := exec.Command("ip", "link", "add", n.id, "type", "bridge").CombinedOutput(); err != nil {
		Lacking(t, fmt.Sprintf("needs the right to make network interfaces: %s", out))
	}
	t.Cleanup(func() { n.run("ip", "link", "del", n.id) })
	n.run("ip", "addr", "add", n.Address+"/24", "dev", n.id)
	n.run("ip", "link", "set", n.id, "up")
	return n
}

// FreePrefix returns the beginning of 254 addresses for tests, with its last
// dot, that no interface here has yet: packages are tested side by side.
func FreePrefix(t testing.TB) string {
	t.Helper()
	taken, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for {
		prefix := fmt.Sprintf("198.%d.%d.", 18+rand.IntN(2), rand.IntN(256))
		if !slices.ContainsFunc(taken, func(a net.Addr) bool { return strings.HasPrefix(a.String(), prefix) }) {
			return prefix
		}
	}
}

// Host adds a namespace to the network. Its name resolves there, as Globus
// servers want.
func (n *Network) Host(name string) *Host {
	n.t.Helper()
	n.hosts++
	h := &Host{
		network:   n,
		Namespace: n.id + "-" + name,
		Address:   fmt.Sprintf("%s%d", n.prefix, 1+n.hosts),
	}
	n.run("ip", "netns", "add", h.Namespace)
	n.t.Cleanup(func() { n.run("ip", "netns", "del", h.Namespace) })

	h.link = fmt.Sprintf("%s.%d", n.id, n.hosts)
	n.run("ip", "link", "add", h.link, "type", "veth", "peer", "name", "eth0", "netns", h.Namespace)
	n.run("ip", "link", "set", h.link, "master", n.id, "up")
	n.run("ip", "-n", h.Namespace, "addr", "add", h.Address+"/24", "dev", "eth0")
	n.run("ip", "-n", h.Namespace, "link", "set", "eth0", "up")
	n.run("ip", "-n", h.Namespace, "link", "set", "lo", "up")

	// `ip netns exec` shows these files in place of those in /etc.
	etc := filepath.Join("/etc/netns", h.Namespace)
	n.t.Cleanup(func() {
		if err := os.RemoveAll(etc); err != nil {
			n.t.Error(err)
		}
	})
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", h.Address, name)
	if err := os.MkdirAll(etc, 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "hosts"), []byte(hosts), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return h
}

// Block drops without a word what comes to h from another host, as a firewall
// between two sites does.
func (h *Host) Block(from *Host) {
	h.network.t.Helper()
	h.nft("add table inet gridferry")
	h.nft("add chain inet gridferry input { type filter hook input priority 0; }")
	h.nft("add rule inet gridferry input ip saddr " + from.Address + " drop")
}

// Unblock lets everything through again.
func (h *Host) Unblock() {
	h.network.t.Helper()
	h.nft("flush ruleset")
}

// Limit slows the host's cable, each way, to a number of bytes a second, so that
// a test can be sure to find a transfer under way.
func (h *Host) Limit(rate int64) {
	h.network.t.Helper()
	// The burst is what a timer tick lets through; a smaller one would slow
	// the cable further.
	tbf := []string{"root", "tbf", "rate", fmt.Sprintf("%dbit", 8*rate), "burst", "256k", "latency", "50ms"}
	h.network.run("tc", append([]string{"qdisc", "replace", "dev", h.link}, tbf...)...)
	h.network.run("tc", append([]string{"-n", h.Namespace, "qdisc", "replace", "dev", "eth0"}, tbf...)...)
}

func (h *Host) nft(rule string) {
	h.network.t.Helper()
	h.network.run("ip", "netns", "exec", h.Namespace, "nft", rule)
}

func (n *Network) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
