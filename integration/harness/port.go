package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"
)

// Ports are taken from below those that Linux gives to outgoing connections
// (32768 and up): a server that starts a moment later would otherwise find its
// port in use by a client.
const lowestPort, highestPort = 20000, 32000

// FreePort returns a TCP port on which nothing listens, on either loopback
// address. Another process may take it before its user does: what must not fail
// for that listens on port 0 itself.
func FreePort(t testing.TB) int {
	t.Helper()
	first, _ := FreePorts(t, 1)
	return first
}

// FreePorts returns the first and the last of n neighbouring free ports, for
// GLOBUS_TCP_PORT_RANGE and the like.
func FreePorts(t testing.TB, n int) (first, last int) {
	t.Helper()
	for range 100 {
		first := lowestPort + rand.IntN(highestPort-lowestPort-n)
		if free(first, n) {
			return first, first + n - 1
		}
	}
	t.Fatalf("no %d neighbouring free ports between %d and %d", n, lowestPort, highestPort)
	return 0, 0
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		// The wildcard conflicts with a listener on any address.
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// Listening returns a check, for Process.Ready, that host:port takes
// connections and greets with the given bytes; an empty greeting is not waited
// for.
func Listening(host string, port int, greeting string) func() error {
	return func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		if greeting == "" {
			return nil
		}
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		b := make([]byte, len(greeting))
		for n := 0; n < len(b); {
			m, err := conn.Read(b[n:])
			if err != nil {
				return err
			}
			n += m
		}
		if string(b) != greeting {
			return fmt.Errorf("port %d greets with %q instead of %q", port, b, greeting)
		}
		return nil
	}
}
