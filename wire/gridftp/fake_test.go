package gridftp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/internal/pipes"
)

// A fakeServer speaks plain FTP as its script says. Tests use it for what real
// servers do too rarely.
type fakeServer struct {
	t        testing.TB
	listener net.Listener
	// script answers a command, and with the verb "" greets: it returns the
	// reply's lines with codes, "-" for silence, or "" for the usual answer. It
	// may say more by itself.
	script func(s *fakeSession, verb, argument string) string

	dialer func(ctx context.Context, network, addr string) (net.Conn, error) // nil is TCP's

	mu       sync.Mutex
	sessions int
	heard    []string
}

type fakeSession struct {
	net.Conn
	server *fakeServer
}

func (s *fakeSession) say(lines string) {
	_, _ = s.Write([]byte(strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n")) // the client may be gone
}

func newFake(t testing.TB, script func(s *fakeSession, verb, argument string) string) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startFake(t, &fakeServer{t: t, listener: l, script: script})
}

// newPiped is newFake without sockets, for a bubble of synctest, where time
// passes only while nobody has anything to do.
func newPiped(t testing.TB, script func(s *fakeSession, verb, argument string) string) *fakeServer {
	t.Helper()
	l := pipes.Listen(2811)
	return startFake(t, &fakeServer{t: t, listener: l, script: script, dialer: l.Dial})
}

// bubble is a test whose time passes only while nobody has anything to do.
func bubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

func startFake(t testing.TB, f *fakeServer) *fakeServer {
	l := f.listener
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.sessions++
			f.mu.Unlock()
			go f.serve(&fakeSession{conn, f})
		}
	}()
	return f
}

func (f *fakeServer) serve(s *fakeSession) {
	defer s.Close()
	s.answer("", "")
	in := bufio.NewReader(s)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		f.mu.Lock()
		f.heard = append(f.heard, line)
		f.mu.Unlock()
		verb, argument, _ := strings.Cut(line, " ")
		s.answer(verb, argument)
		if verb == "QUIT" {
			return
		}
	}
}

func (s *fakeSession) answer(verb, argument string) {
	answer := s.server.script(s, verb, argument)
	if answer == "" {
		answer = usual(verb)
	}
	if answer != "-" {
		s.say(answer)
	}
}

// usual answers what scripts leave out.
func usual(verb string) string {
	switch verb {
	case "":
		return "220 fake GridFTP ready"
	case "USER":
		return "331 who says so?"
	case "PASS":
		return "230 come in"
	case "FEAT":
		return "211-Extensions\n PARALLEL\n ERET\n ESTO\n MLST type*;size*;\n MLSC\n211 End"
	case "PASV":
		return "227 Entering Passive Mode (127,0,0,1,7,208)"
	case "QUIT":
		return "221 bye"
	case "REST", "RNFR":
		return "350 go on"
	}
	return "200 ok"
}

func (f *fakeServer) config() Config {
	return Config{Scheme: FTP, Addr: f.listener.Addr().String(), Dialer: f.dialer}
}

func (f *fakeServer) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions
}

func (f *fakeServer) heardLines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.heard...)
}

func (f *fakeServer) dial() *Client {
	f.t.Helper()
	c, err := Dial(bounded(f.t), f.config())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// answers scripts fixed answers by verb.
func answers(by map[string]string) func(*fakeSession, string, string) string {
	return func(_ *fakeSession, verb, _ string) string { return by[verb] }
}

func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatal("never came true: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

// serveData makes a listener that writes content to the first who connects,
// and returns the reply to PASV that names it.
func serveData(t testing.TB, content string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = fmt.Fprint(conn, content)
		_ = conn.Close()
	}()
	return PassiveReply(l.Addr().(*net.TCPAddr).AddrPort()).String()
}
