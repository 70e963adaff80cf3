package durability

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gridferry/gridferry/integration/globus"
)

// catch looks every millisecond until sign is true.
func catch(t *testing.T, what string, sign func() bool) {
	t.Helper()
	limit := time.After(3 * time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !sign() {
		select {
		case <-limit:
			t.Fatalf("there was no sign of it: %s", what)
		case <-tick.C:
		}
	}
}

// sessions follows a server's account of what its clients say.
type sessions struct {
	server *globus.Server
	read   int64
	rest   string // of a line

	count map[string]int    // commands by verb
	open  map[string]string // by session: the last command, while it has no final reply
}

func follow(s *globus.Server) *sessions {
	return &sessions{server: s, count: make(map[string]int), open: make(map[string]string)}
}

// update reads what is new.
func (s *sessions) update() {
	more := s.server.SessionLogFrom(s.read)
	s.read += int64(len(more))
	text := s.rest + more
	for {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole {
			s.rest = line
			return
		}
		text = rest
		s.line(line)
	}
}

// line takes in a command or a reply:
// "[555] Sat Nov 21 02:58:05 2026 :: localhost:52524: [CLIENT]: CKSM MD5 0 -1 /b".
// It is called for every line within milliseconds, and so takes them apart by hand.
func (s *sessions) line(line string) {
	session, _, _ := strings.Cut(line, " ")
	if _, command, ok := strings.Cut(line, ": [CLIENT]: "); ok {
		verb, _, _ := strings.Cut(command, " ")
		s.count[verb]++
		s.open[session] = command
	} else if _, reply, ok := strings.Cut(line, ": [SERVER]: "); ok && !strings.HasPrefix(reply, "1") { // preliminary, RFC 959, 4.2.1
		delete(s.open, session)
	}
}

// under returns the command of a verb, on a path with that in it, which the
// server is at.
func (s *sessions) under(verb, path string) string {
	for _, command := range s.open {
		if strings.HasPrefix(command, verb+" ") && strings.Contains(command, path) {
			return command
		}
	}
	return ""
}

// lockStore takes the one writer's lock of the workers' store: whoever wants
// to write there waits until it is released.
func (s *site) lockStore() (release func()) {
	s.t.Helper()
	query := url.Values{"_pragma": {"busy_timeout(20000)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(s.dir, "store.db"), RawQuery: query.Encode()}).String())
	must(s.t, err)
	// Not the test's context, whose end would give the lock back early.
	tx, err := db.BeginTx(context.Background(), nil)
	must(s.t, err)
	return func() {
		_ = tx.Rollback() // nothing was written
		must(s.t, db.Close())
	}
}
