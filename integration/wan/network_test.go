//go:build linux

package wan_test

import (
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gridferry/gridferry/integration/wan"
)

// within calls f where new sockets belong to a namespace.
func within(t *testing.T, namespace string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + namespace)
		if err == nil {
			defer file.Close()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// sink listens at a host and takes what comes, until the test ends.
func sink(t *testing.T, h *wan.Host) (address string) {
	t.Helper()
	var l net.Listener
	within(t, h.Namespace, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(h.Address, "0"))
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			// Says that all has come.
			conn.Close()
		}
	}()
	return l.Addr().String()
}

const limit = 30 * time.Second

// send connects, sends so many bytes, and waits until they have come.
func send(address string, bytes int) (connect, all time.Duration, err error) {
	start := time.Now()
	conn, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	connect = time.Since(start)
	if err := conn.SetDeadline(start.Add(limit)); err != nil {
		return 0, 0, err
	}
	if _, err := conn.Write(make([]byte, bytes)); err != nil {
		return 0, 0, err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, 0, err
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return 0, 0, err
	}
	return connect, time.Since(start), nil
}

// Every way has its round trip: from the test's own namespace, and between two
// others.
func TestRoundTrips(t *testing.T) {
	const rtt = 40 * time.Millisecond
	n := wan.New(t, wan.Options{RTT: rtt})
	a, b := n.Host("a"), n.Host("b")
	address := sink(t, a)
	check := func() error {
		// The first connection may wait for whatever sets up a host.
		least := limit
		for range 5 {
			connect, _, err := send(address, 1)
			if err != nil {
				return err
			}
			least = min(least, connect)
		}
		if least < rtt || least > 3*rtt {
			t.Errorf("to connect takes %v and not %v", least, rtt)
		}
		return nil
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	within(t, b.Namespace, check)
	if chance, full := n.Dropped(); chance != 0 || full != 0 {
		t.Errorf("%d and %d packets were lost", chance, full)
	}
}

// What is sent takes at least as long as the rate says, and arrives although
// packets are lost.
func TestRateAndLoss(t *testing.T) {
	const bytes, rate = 2 << 20, 10 << 20
	n := wan.New(t, wan.Options{RTT: 2 * time.Millisecond, Rate: rate, Loss: 0.05})
	a := n.Host("a")
	_, all, err := send(sink(t, a), bytes)
	if err != nil {
		t.Fatal(err)
	}
	if least := time.Second * bytes / rate; all < least {
		t.Errorf("%d bytes took %v, less than %v", bytes, all, least)
	}
	if chance, _ := n.Dropped(); chance == 0 {
		t.Error("nothing was lost")
	}
}
