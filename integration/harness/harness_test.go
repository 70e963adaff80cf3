package harness_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

func shell(t *testing.T, script string) *harness.Process {
	t.Helper()
	return harness.Start(t, harness.Command{Path: "/bin/sh", Args: []string{"-c", script}})
}

func says(p *harness.Process, want string) func() error {
	return func() error {
		if !strings.Contains(p.Log(), want) {
			return errors.New("it has said only " + strconv.Quote(p.Log()))
		}
		return nil
	}
}

func TestProcess(t *testing.T) {
	p := shell(t, `trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.01; done`)
	p.Ready(5*time.Second, says(p, "hello\n"))
	var exit *exec.ExitError
	if err := p.Terminate(5 * time.Second); !errors.As(err, &exit) || p.ExitCode() != 3 {
		t.Errorf("it ended with %v, code %d", err, p.ExitCode())
	}
	if p.Log() != "hello\nbye\n" {
		t.Errorf("it said %q", p.Log())
	}
	p.Restart()
	p.Ready(5*time.Second, says(p, "hello\nbye\nhello\n"))
	p.Kill()
	if p.ExitCode() != -1 {
		t.Errorf("a killed process has exit code %d", p.ExitCode())
	}
}

func TestSignalsReachChildren(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := shell(t, `sleep 100 & echo $!; wait`)
	p.Ready(5*time.Second, says(p, "\n"))
	child := strings.TrimSpace(p.Log())
	state := func(want ...string) func() error {
		return func() error {
			out, _ := exec.Command("ps", "-o", "stat=", "-p", child).Output()
			for _, w := range want {
				if strings.HasPrefix(string(out), w) {
					return nil
				}
			}
			return errors.New("the child's state is " + strconv.Quote(string(out)))
		}
	}
	p.Freeze()
	harness.Eventually(t, 5*time.Second, state("T"))
	p.Thaw()
	harness.Eventually(t, 5*time.Second, state("S"))
	p.Kill()
	harness.Eventually(t, 5*time.Second, func() error {
		if out, err := exec.Command("ps", "-o", "stat=", "-p", child).Output(); err == nil && !strings.HasPrefix(string(out), "Z") {
			return errors.New("the child lives on: " + string(out))
		}
		return nil
	})
}

func TestFreePorts(t *testing.T) {
	first, last := harness.FreePorts(t, 5)
	if last != first+4 || last >= 32768 {
		t.Errorf("five ports from %d to %d", first, last)
	}
	for port := first; port <= last; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

// TestMain makes this test binary a server or a client, too, for use in a
// network namespace.
func TestMain(m *testing.M) {
	if address := os.Getenv("HARNESS_LISTEN"); address != "" {
		listen(address)
	}
	if address := os.Getenv("HARNESS_DIAL"); address != "" {
		if _, err := net.DialTimeout("tcp", address, time.Second); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// listen reads what comes, one connection after the other.
func listen(address string) {
	l, err := net.Listen("tcp", address)
	for err == nil {
		var conn net.Conn
		if conn, err = l.Accept(); err == nil {
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestNetwork(t *testing.T) {
	n := harness.NewNetwork(t)
	a, b := n.Host("a"), n.Host("b")
	address := b.Address + ":7000"
	server := harness.Start(t, harness.Command{
		Path: os.Args[0], Namespace: b.Namespace, Env: harness.Environment("HARNESS_LISTEN=" + address),
	})
	fromA := func() error {
		cmd := exec.Command("ip", "netns", "exec", a.Namespace, os.Args[0])
		cmd.Env = harness.Environment("HARNESS_DIAL=" + address)
		return cmd.Run()
	}
	server.Ready(10*time.Second, fromA)
	b.Block(a)
	if fromA() == nil {
		t.Error("a blocked host gets through")
	}
	if conn, err := net.DialTimeout("tcp", address, 5*time.Second); err != nil {
		t.Errorf("the test itself is blocked, too: %v", err)
	} else {
		conn.Close()
	}
	b.Unblock()
	if err := fromA(); err != nil {
		t.Errorf("still blocked: %v", err)
	}

	const rate, size = 4 << 20, 2 << 20
	b.Limit(rate)
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Error(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF { // once all has arrived
		t.Error(err)
	}
	if took := time.Since(start); took < size*time.Second/rate/2 {
		t.Errorf("%d bytes took %v at %d bytes a second", size, took, rate)
	}
}

func TestTemporal(t *testing.T) {
	s := harness.NewTemporal(t, harness.TemporalOptions{UI: true})
	if s.Namespace != "default" || s.UI == "" {
		t.Errorf("the server has the namespace %q and the Web UI %q", s.Namespace, s.UI)
	}
	c := s.Client()
	if _, err := c.CheckHealth(t.Context(), nil); err != nil {
		t.Error(err)
	}
	address := s.Address
	s.Restart()
	if s.Address != address {
		t.Errorf("it has moved from %s to %s", address, s.Address)
	}
	if _, err := c.CheckHealth(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
