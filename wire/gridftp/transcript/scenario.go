package transcript

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// A Peer is a kind of server, and how one logs in to it.
type Peer string

// The peers of the scenarios.
const (
	Vsftpd          Peer = "vsftpd"           // anonymous
	Proftpd         Peer = "proftpd"          // name and password
	GlobusAnonymous Peer = "globus-anonymous" // plain FTP
	GlobusPassword  Peer = "globus-password"  // plain FTP
	Globus          Peer = "globus"           // GSI
)

// Name and password where a peer wants them.
const (
	User     = "ada"
	Password = "ferry"
)

// Login returns how to log in to a server of the kind.
func (p Peer) Login(addr string, user *gsi.Credential, trust *gsi.Trust) gridftp.Config {
	c := gridftp.Config{Scheme: gridftp.FTP, Addr: addr}
	switch p {
	case Proftpd, GlobusPassword:
		c.User, c.Password = User, Password
	case Globus:
		c.Scheme, c.Credential, c.Trust = gridftp.GSIFTP, user, trust
	}
	return c
}

// A Scenario is what a client does to one server, or to two.
type Scenario struct {
	Name  string // and that of its file, without ".txt"
	About string
	Peer  Peer
	// Sessions are the servers, each with a tree of its own; the name is that
	// of the sections of its sessions.
	Sessions []string
	// Data tells that the client itself opens data connections, which it must
	// do in stream mode, by PASV, and without protection.
	Data bool
	// Sparse is the size of the file "sparse", which is a hole; 0 is none.
	Sparse int64
	Run    func(p *Play) error
}

// A Play is one performance of a scenario.
type Play struct {
	context.Context
	// Config returns how to log in to a session's server.
	Config func(session string) gridftp.Config
	// Roots are the servers' trees, by session: see Tree.
	Roots map[string]string

	notes []string
}

// Path is where a name of a session's tree is.
func (p *Play) Path(session, name string) string { return p.Roots[session] + "/" + name }

// Dial logs in.
func (p *Play) Dial(session string, edit ...func(*gridftp.Config)) (*gridftp.Client, error) {
	config := p.Config(session)
	for _, f := range edit {
		f(&config)
	}
	return gridftp.Dial(p, config)
}

// Note adds a line to the result.
func (p *Play) Note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// NoteError adds what came of something to the result: of a refusal, what the
// client understood of it.
func (p *Play) NoteError(what string, err error) { p.Note("%s: %s", what, describe(err)) }

// Perform runs the scenario and returns its result.
func (s *Scenario) Perform(t testing.TB, p *Play) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p.Context = ctx
	if err := s.Run(p); err != nil {
		t.Errorf("%s: %v", s.Name, err)
	}
	return p.notes
}

// A TreeFile is a file of the tree that sessions begin with. A name that ends
// in a slash is a directory.
type TreeFile struct {
	Name string
	Size int64
	Mode uint32
}

// Tree returns what every server has, in the order in which it is to be made;
// all of it as old as TreeTime.
func Tree() []TreeFile {
	return []TreeFile{
		{"a file", 11, 0o644},
		{"dir/", 0, 0o755},
		{"dir/.hidden", 0, 0o600},
		{"dir/two words", 5, 0o640},
		{"dir/sub/", 0, 0o700},
		{"dir/sub/deep", 1, 0o644},
		{"empty/", 0, 0o755},
		{"big", 3_000_000, 0o644},
		{"huge", 16 << 20, 0o644},
		{"f0", 10, 0o644},
		{"f1", 0, 0o644},
		{"f2", 10, 0o644},
		{"f3", 20_000, 0o644},
		{"f4", 10, 0o644},
	}
}

// TreeTime is when the tree was last changed.
func TreeTime() time.Time { return time.Date(2024, 1, 5, 12, 0, 0, 0, time.UTC) }

// Content is what the files of the tree hold.
func Content(size int64) []byte {
	const text = "hello world "
	b := make([]byte, size)
	for i := range b {
		b[i] = text[i%len(text)]
	}
	return b
}
