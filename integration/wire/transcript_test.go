package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/transcript"
)

var update = flag.Bool("update", false, "write the transcripts in wire/gridftp/testdata anew")

// TestTranscripts holds conversations with the real servers against those in
// wire/gridftp/testdata, which that package's own tests replay: the client must
// say the same. With -update it writes them.
func TestTranscripts(t *testing.T) {
	for _, s := range transcript.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			w := newWorld(t)
			fresh := record(t, w, s)
			file := filepath.Join("..", "..", "wire", "gridftp", "testdata", s.Name+".txt")
			if *update {
				// What the client makes of it is what it makes of the text.
				fresh.Result = fresh.Replay(t, w.ca, s)
				must(t, os.WriteFile(file, fresh.Format(), 0o644))
				return
			}
			text, err := os.ReadFile(file)
			must(t, err)
			old, err := transcript.Parse(text)
			must(t, err)
			for i, session := range fresh.Sessions {
				if said, once := sent(session), sent(old.Sessions[i]); !slices.Equal(said, once) {
					t.Errorf("session %s: the client sends\n%s\nwhere it sent\n%s", session.Name, strings.Join(said, "\n"), strings.Join(once, "\n"))
				}
			}
		})
	}
}

// sent returns what the client said after the handshake.
func sent(s *transcript.Session) []string {
	var lines []string
	for _, line := range s.Lines {
		if line.Kind == transcript.Client && !strings.HasPrefix(line.Text, "ADAT ") {
			lines = append(lines, line.Text)
		}
	}
	return lines
}

// record performs a scenario with real servers.
func record(t *testing.T, w *world, s transcript.Scenario) *transcript.Transcript {
	var recorder transcript.Recorder
	addrs := map[string]string{}
	roots := map[string]string{}
	for _, session := range s.Sessions {
		addrs[session], roots[session] = startPeer(t, w, s.Peer)
		plant(t, roots[session], s.Sparse)
	}
	var taps []*tap
	s.Perform(t, &transcript.Play{Context: t.Context(), Roots: roots, Config: func(session string) gridftp.Config {
		config := s.Peer.Login(addrs[session], w.user, w.ca.Trust())
		config.Trace = recorder.Trace(session)
		if s.Data {
			tap := &tap{t: t}
			taps = append(taps, tap)
			config.Dialer = tap.dial
		}
		return config
	}})
	out := &transcript.Transcript{About: s.About, Sessions: recorder.Sessions()}
	for i, session := range out.Sessions {
		if s.Data {
			taps[i].weave(session)
		}
		clean(t, session, roots[session.Name])
	}
	return out
}

func startPeer(t *testing.T, w *world, peer transcript.Peer) (addr, root string) {
	switch peer {
	case transcript.Vsftpd:
		s := globus.NewVsftpd(t, "")
		return s.Addr(), s.Root
	case transcript.Proftpd:
		s := globus.NewProftpd(t, "")
		return s.Addr(), s.Root
	case transcript.GlobusAnonymous, transcript.GlobusPassword:
		s := globus.NewServer(t, globus.Options{Plain: true})
		return s.Addr(), s.Root
	}
	s := w.server()
	return s.Addr(), s.Root
}

// plant makes the tree that scenarios begin with.
func plant(t *testing.T, root string, sparse int64) {
	t.Helper()
	files := transcript.Tree()
	if sparse > 0 {
		f, err := os.Create(filepath.Join(root, "sparse"))
		must(t, err)
		must(t, f.Truncate(sparse))
		must(t, f.Close())
	}
	for _, f := range files {
		path := filepath.Join(root, f.Name)
		if strings.HasSuffix(f.Name, "/") {
			must(t, os.Mkdir(path, 0o700))
		} else {
			must(t, os.WriteFile(path, transcript.Content(f.Size), 0o600))
		}
	}
	files = append([]transcript.TreeFile{{Name: ".", Mode: 0o755}}, files...)
	for _, f := range slices.Backward(files) {
		path := filepath.Join(root, f.Name)
		must(t, os.Chmod(path, os.FileMode(f.Mode)))
		must(t, os.Chtimes(path, transcript.TreeTime(), transcript.TreeTime()))
	}
}

// clean takes out of a session what is different every time.
func clean(t *testing.T, s *transcript.Session, root string) {
	t.Helper()
	runner, err := user.Current()
	must(t, err)
	const hour = "20240105120000"
	for i := range s.Lines {
		text := &s.Lines[i].Text
		*text = strings.ReplaceAll(*text, root, transcript.Root(s.Name))
		for pattern, becomes := range map[string]string{
			`127,0,0,1,\d+,\d+`:       "127,0,0,1,195,80",
			`\|\|\|\d+\|`:             "|||50000|",
			`Timestamp: +[\d.]+`:      "Timestamp: 1704456000.0",
			`Unique=[^;]*`:            "Unique=fd00-1",
			`UNIX\.([ug])id=\d+`:      "UNIX.${1}id=1000",
			`UNIX\.owner=[^;]*`:       "UNIX.owner=ada",
			`UNIX\.group=[^;]*`:       "UNIX.group=ada",
			`User ` + runner.Username: "User " + transcript.User,
		} {
			*text = regexp.MustCompile(pattern).ReplaceAllString(*text, becomes)
		}
		*text = regexp.MustCompile(`\b20\d{12}\b`).ReplaceAllStringFunc(*text, func(when string) string {
			if at, err := gridftp.ParseTime(when); err != nil || time.Since(at) > 24*time.Hour {
				return when
			}
			return hour
		})
	}
}

// A tap is between a client and a plain FTP server and keeps what comes over
// data connections.
type tap struct {
	t  *testing.T
	mu sync.Mutex
	// data holds what came, by the order of the replies that named the ports.
	data []*bytes.Buffer
	over sync.WaitGroup
}

func (p *tap) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &tapped{Conn: conn, in: bufio.NewReader(conn), tap: p}, nil
}

// A tapped is a control connection whose replies to PASV name the tap's ports.
type tapped struct {
	net.Conn
	in   *bufio.Reader
	rest []byte
	tap  *tap
}

func (c *tapped) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		line, err := c.in.ReadBytes('\n')
		if len(line) == 0 {
			return 0, err
		}
		if bytes.HasPrefix(line, []byte("227 ")) {
			if line, err = c.tap.relay(string(line)); err != nil {
				return 0, err
			}
		}
		c.rest = line
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// relay stands between the client and the port that a reply names.
func (p *tap) relay(reply string) ([]byte, error) {
	to, err := gridftp.ParsePassive(gridftp.NewReply(227, reply))
	if err != nil {
		return nil, err
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := l.SetDeadline(time.Now().Add(5 * time.Second)); err != nil { // a refused transfer has no connection
		return nil, err
	}
	p.t.Cleanup(func() { l.Close() })
	var kept bytes.Buffer
	p.mu.Lock()
	p.data = append(p.data, &kept)
	p.mu.Unlock()
	p.over.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", to.String())
		if err != nil {
			return
		}
		defer server.Close()
		_, _ = io.Copy(client, io.TeeReader(server, &kept)) // the client tells of what is missing
	})
	port := netip.MustParseAddrPort(l.Addr().String())
	return fmt.Appendf(nil, "227 Entering Passive Mode (%s).\r\n", gridftp.FormatHostPort(port)), nil
}

// weave puts what came over data connections where they were announced.
func (p *tap) weave(s *transcript.Session) {
	p.over.Wait()
	var lines []transcript.Line
	n := 0
	for _, line := range s.Lines {
		lines = append(lines, line)
		if line.Kind != transcript.Server || !strings.HasPrefix(line.Text, "227 ") {
			continue
		}
		for part := range strings.SplitAfterSeq(p.data[n].String(), "\n") {
			if part != "" {
				lines = append(lines, transcript.Line{Kind: transcript.Data, Text: part})
			}
		}
		n++
	}
	s.Lines = lines
}
