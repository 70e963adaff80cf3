//go:build linux

package wan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gridferry/gridferry/integration/harness"
)

// Options of a network.
type Options struct {
	RTT   time.Duration // between any two hosts, there and back
	Rate  int64         // bytes a second towards each host; 0 is as many as the machine can
	Loss  float64       // chance of each packet to be lost, 0 to 1
	Queue int64         // bytes that wait towards a host before more are dropped; 0 is 64 MiB
	MTU   int           // bytes; 0 is 9000, as on networks made for moving data
}

const (
	defaultQueue = 64 << 20
	defaultMTU   = 9000
)

// String is what a report says of the network.
func (o Options) String() string {
	rate := "no limit of rate"
	if o.Rate > 0 {
		rate = fmt.Sprintf("%g Mb/s", float64(8*o.Rate)/1e6)
	}
	return fmt.Sprintf("%v round trip, %s, loss %g, MTU %d, queues of %d MiB", o.RTT, rate, o.Loss, o.MTU, o.Queue>>20)
}

// A Network joins hosts, and the test's own namespace, which is the first host.
type Network struct {
	Options
	Address string // of the test's own namespace

	t      testing.TB
	id     string
	prefix string // of all addresses, with its last dot
	router *router
	hosts  int
}

// A Host is a network namespace with one address.
type Host struct {
	Namespace string // for harness.Command and `ip netns exec`
	Address   string
}

// New makes a network, or skips the test where that takes more rights or tools
// than there are. Its addresses are of 198.18.0.0/15, which RFC 2544 sets aside
// for tests.
func New(t testing.TB, o Options) *Network {
	t.Helper()
	harness.NeedRoot(t, "it makes network namespaces")
	harness.Need(t, "ip")
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	n := &Network{
		Options: o, t: t,
		id:     fmt.Sprintf("gf%06x", rand.IntN(1<<24)), // names of interfaces have 15 characters at most
		prefix: harness.FreePrefix(t),
		router: newRouter(o),
	}
	t.Cleanup(func() {
		if err := n.router.close(); err != nil {
			t.Error(err)
		}
	})
	n.Address = n.attach("")
	return n
}

// Host adds a namespace to the network. Its name resolves there, as Globus
// servers want.
func (n *Network) Host(name string) *Host {
	n.t.Helper()
	h := &Host{Namespace: n.id + "-" + name}
	n.run("netns", "add", h.Namespace)
	n.t.Cleanup(func() { n.run("netns", "del", h.Namespace) })
	n.run("-n", h.Namespace, "link", "set", "lo", "up")
	h.Address = n.attach(h.Namespace)

	// `ip netns exec` shows these files in place of those in /etc.
	etc := filepath.Join("/etc/netns", h.Namespace)
	n.t.Cleanup(func() {
		if err := os.RemoveAll(etc); err != nil {
			n.t.Error(err)
		}
	})
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", h.Address, name)
	err := os.MkdirAll(etc, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(etc, "hosts"), []byte(hosts), 0o644)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return h
}

// attach makes a device in a namespace, empty for the test's own, and returns
// its address.
func (n *Network) attach(namespace string) string {
	n.t.Helper()
	n.hosts++
	device := fmt.Sprintf("%s.%d", n.id, n.hosts)
	address := n.prefix + strconv.Itoa(n.hosts)
	tun, err := openTUN(device)
	if err != nil {
		harness.Lacking(n.t, fmt.Sprintf("needs a TUN device: %v", err))
	}
	// The device goes with its file, wherever it has been moved to.
	n.router.add(netip.MustParseAddr(address), tun)
	var inside []string
	if namespace != "" {
		n.run("link", "set", device, "netns", namespace)
		inside = []string{"-n", namespace}
	}
	n.run(append(inside, "addr", "add", address+"/24", "dev", device)...)
	n.run(append(inside, "link", "set", device, "mtu", strconv.Itoa(n.MTU), "txqueuelen", "10000", "up")...)
	return address
}

// openTUN makes a TUN device: what the kernel routes there is read from the
// file, one packet at a time.
func openTUN(name string) (*os.File, error) {
	// Non-blocking, so that closing it ends a Read.
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the device %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Dropped is how many packets were lost so far: by chance, and because a queue
// was full.
func (n *Network) Dropped() (chance, full int64) {
	return n.router.lost.Load(), n.router.full.Load()
}

// Kernel says what the kernel of these hosts lets TCP do by itself, which
// decides what one connection can carry over a distance.
func Kernel() string {
	read := func(name string) string {
		text, err := os.ReadFile("/proc/sys/net/" + name)
		if err != nil {
			return "unknown"
		}
		return strings.Join(strings.Fields(string(text)), " ")
	}
	return fmt.Sprintf("TCP buffers of this kernel (least, at first, most by its own tuning, in bytes): %s to receive, %s to send; at most %s and %s when asked for; congestion control %s.",
		read("ipv4/tcp_rmem"), read("ipv4/tcp_wmem"), read("core/rmem_max"), read("core/wmem_max"), read("ipv4/tcp_congestion_control"))
}

func (n *Network) run(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
