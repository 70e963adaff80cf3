package notify

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

// A wiretap stands between the daemon and the mail server, on a connection
// without TLS, and calls at once when the daemon or the server has said the
// line that is waited for. The line itself goes no further.
type wiretap struct {
	listener net.Listener
	server   string

	mu   sync.Mutex
	said func(fromServer bool, line string) bool // nil: nothing is waited for
	then func()
}

func newWiretap(t *testing.T, server string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	w := &wiretap{listener: l, server: server}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(conn)
		}
	}()
	return w
}

func (w *wiretap) serve(daemon net.Conn) {
	defer daemon.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	gone := make(chan struct{}, 2)
	tap := func(from, to net.Conn, fromServer bool) {
		defer func() { gone <- struct{}{} }()
		for r := bufio.NewReader(from); ; {
			line, err := r.ReadString('\n')
			if err != nil || w.hears(fromServer, strings.TrimSpace(line)) {
				return
			}
			if _, err := to.Write([]byte(line)); err != nil {
				return
			}
		}
	}
	go tap(daemon, server, false)
	go tap(server, daemon, true)
	<-gone
}

func (w *wiretap) hears(fromServer bool, line string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said == nil || !w.said(fromServer, line) {
		return false
	}
	w.said = nil
	w.then()
	return true
}

// TestOnce kills the daemon at every step of handing a mail over. Only where
// the server has the mail and the daemon has not marked it may it come twice,
// and then under one Message-ID.
func TestOnce(t *testing.T) {
	t.Parallel()
	accepted := false // the server has taken the mail of this run on
	points := []struct {
		name  string
		said  func(fromServer bool, line string) bool
		twice bool
	}{
		{"when the server greets", func(s bool, line string) bool { return s && strings.HasPrefix(line, "220 ") }, false},
		{"before the recipient", func(s bool, line string) bool { return !s && strings.HasPrefix(line, "RCPT ") }, false},
		{"in the middle of the mail", func(s bool, line string) bool { return !s && strings.HasPrefix(line, "Subject:") }, false},
		{"before the end of the mail", func(s bool, line string) bool { return !s && line == "." }, false},
		{"when the server has taken it", func(s bool, line string) bool {
			if !s && line == "." {
				accepted = true
			}
			return s && accepted && strings.HasPrefix(line, "250 ")
		}, true},
		{"once it is marked", nil, false},
	}
	box := newMailbox(t, "", "")
	tap := newWiretap(t, box.address)
	s := newSite(t, fmt.Sprintf("from: ferry@example.org, smtp: {server: %q, tls: none}", tap.listener.Addr()))
	daemon := s.Daemon(t, "gridferryd")
	seen := 0
	for _, at := range points {
		killed := make(chan struct{})
		tap.mu.Lock()
		tap.said, tap.then = at.said, func() { daemon.Kill(); close(killed) }
		tap.mu.Unlock()
		before := strings.Count(daemon.Log(), "notice sent")
		id := s.submit("results.dat", "ada@example.org")
		if at.said == nil {
			harness.Eventually(t, time.Minute, func() error {
				if strings.Count(daemon.Log(), "notice sent") == before {
					return fmt.Errorf("no mail was marked as sent")
				}
				return nil
			})
			daemon.Kill()
		} else {
			select {
			case <-killed:
			case <-time.After(time.Minute):
				t.Fatalf("%s: the daemon did not get there", at.name)
			}
		}
		daemon.Restart()
		s.ended(id)
		// The workflow waits for its errands before it ends.
		_, err := s.Service.Wait(t.Context(), id)
		must(t, err)
		all := box.letters()
		ids := make(map[string]int)
		for _, l := range all {
			if strings.Contains(l.text, string(id)) {
				ids[l.Get("Message-Id")]++
			}
		}
		most := 1
		if at.twice {
			most = 2
		}
		for message, n := range ids {
			t.Logf("%s: %d mails of %s", at.name, n, message)
			if n > most {
				t.Errorf("killed %s, the mail came %d times", at.name, n)
			}
		}
		if len(ids) != 1 {
			t.Errorf("killed %s, there are %d Message-IDs, want one", at.name, len(ids))
		}
		if len(all) <= seen {
			t.Errorf("killed %s: no mail", at.name)
		}
		seen = len(all)
	}
}
