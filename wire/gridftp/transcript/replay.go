package transcript

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// patience bounds how long a replayed server waits for the client.
const patience = 2 * time.Minute

// Identities are whom the servers and the client are when a transcript is
// replayed. Their keys take longer to make than most replays, which can share
// them.
type Identities struct {
	Host, User *gsi.Credential
	Trust      *gsi.Trust
}

// NewIdentities has a CA issue them.
func NewIdentities(ca *gsitest.CA) Identities {
	return Identities{Host: ca.Host(), User: ca.Proxy(ca.User("Ada")), Trust: ca.Trust()}
}

// Replay is ReplayAs with identities of its own.
func (t *Transcript) Replay(test testing.TB, ca *gsitest.CA, scenario Scenario) []string {
	test.Helper()
	return t.ReplayAs(test, NewIdentities(ca), scenario)
}

// ReplayAs performs the scenario against the recorded servers and returns what
// the client made of them. It fails the test where the client does not do what
// it did then.
func (t *Transcript) ReplayAs(test testing.TB, who Identities, scenario Scenario) []string {
	test.Helper()
	addrs := map[string]string{}
	roots := map[string]string{}
	var stages []*Stage
	pace := newPace()
	for _, s := range t.Sessions {
		stage, err := s.serve(gsi.ServerConfig{Credential: who.Host, Trust: who.Trust}, pace)
		if err != nil {
			test.Fatal(err)
		}
		stages = append(stages, stage)
		addrs[s.Name], roots[s.Name] = stage.Addr(), Root(s.Name)
	}
	notes := scenario.Perform(test, &Play{Roots: roots, Config: func(session string) gridftp.Config {
		return scenario.Peer.Login(addrs[session], who.User, who.Trust)
	}})
	for i, stage := range stages {
		if err := stage.Close(); err != nil {
			test.Errorf("session %s: %v", t.Sessions[i].Name, err)
		}
	}
	return notes
}

// Root is the tree of a session's server in transcripts.
func Root(session string) string { return "/srv/" + session }

// A Stage is where a session is played to the one client that connects.
type Stage struct {
	listener net.Listener
	player   *player
	done     chan error
}

// Serve makes a stage for the session. config is for GSI sessions.
func (s *Session) Serve(config gsi.ServerConfig) (*Stage, error) { return s.serve(config, newPace()) }

func (s *Session) serve(config gsi.ServerConfig, pace *pace) (*Stage, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	stage := &Stage{listener: l, player: &player{session: s, config: config, pace: pace}, done: make(chan error, 1)}
	go func() {
		if s.Name == source {
			defer pace.end()
		}
		conn, err := l.Accept()
		if err != nil {
			stage.done <- errors.New("nobody connected")
			return
		}
		p := stage.player
		p.conn, p.in = conn, bufio.NewReader(conn)
		defer p.close()
		stage.done <- p.play()
	}()
	return stage, nil
}

// Addr is where the client is to connect to.
func (s *Stage) Addr() string { return s.listener.Addr().String() }

// Close waits for the session's end, and returns where the client said anything
// else than was recorded, or said it before it had the replies that it had then.
func (s *Stage) Close() error {
	_ = s.listener.Close() // nobody else is expected
	return <-s.done
}

// A player is one session being played.
type player struct {
	session *Session
	config  gsi.ServerConfig
	pace    *pace
	stores  int // files that a destination was told to store

	conn net.Conn
	in   *bufio.Reader
	gss  *gsi.Session // once the client has authenticated
	out  gridftp.ReplyParser
	data []net.Listener
}

func (p *player) close() {
	_ = p.conn.Close() // all was said
	for _, l := range p.data {
		_ = l.Close()
	}
}

func (p *player) play() error {
	lines := p.session.Lines
	for len(lines) > 0 {
		var err error
		switch {
		case lines[0].Kind == Server:
			lines, err = p.say(lines)
			var gone *goneError
			if errors.As(err, &gone) {
				return unsaid(lines)
			}
		case strings.HasPrefix(lines[0].Text, "AUTH "):
			lines, err = p.authenticate(lines)
		default:
			err = p.hear(lines[0].Text)
			lines = lines[1:]
		}
		if err != nil {
			return err
		}
	}
	if line, err := p.read(); err == nil {
		return fmt.Errorf("the client goes on after the end with %q", line)
	} else if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("the client does not hang up at the end")
	}
	return nil
}

// A goneError says that the client has hung up.
type goneError struct{ err error }

func (e *goneError) Error() string { return e.err.Error() }

// unsaid is an error when the client has hung up before it said what it was
// going to.
func unsaid(lines []Line) error {
	for _, line := range lines {
		if line.Kind == Client {
			return fmt.Errorf("the client hung up before it sent %q", line.Text)
		}
	}
	return nil
}

// say sends what the server said up to the client's next line, and returns the
// rest.
func (p *player) say(lines []Line) ([]Line, error) {
	if p.session.Name == destination {
		p.pace.await(p.stores)
	}
	if p.in.Buffered() > 0 {
		line, err := p.read()
		return lines, fmt.Errorf("the client sends %q (%v) before it hears %q", line, err, lines[0].Text)
	}
	for len(lines) > 0 && lines[0].Kind == Server {
		text := lines[0].Text
		lines = lines[1:]
		var data strings.Builder
		for len(lines) > 0 && lines[0].Kind == Data {
			data.WriteString(lines[0].Text)
			lines = lines[1:]
		}
		if data.Len() > 0 {
			var err error
			if text, err = p.serveData(text, data.String()); err != nil {
				return lines, err
			}
		}
		if err := p.write(text); err != nil {
			return lines, err
		}
	}
	return lines, nil
}

func (p *player) write(text string) error {
	line := text + "\r\n"
	_, final, err := p.out.Line(text)
	if err != nil {
		return err
	}
	if p.gss != nil {
		token, err := p.gss.Wrap([]byte(line))
		if err != nil {
			return err
		}
		code := "632-"
		if final {
			code = "632 "
		}
		line = code + base64.StdEncoding.EncodeToString(token) + "\r\n"
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(p.conn, line); err != nil {
		return &goneError{err}
	}
	return nil
}

// hear takes the client's next line, which must be the one recorded.
func (p *player) hear(want string) error {
	got, err := p.read()
	if err != nil {
		return fmt.Errorf("instead of %q the client has nothing to say: %w", want, err)
	}
	verb, secret := strings.CutSuffix(want, " ***")
	if got != want && !(secret && strings.HasPrefix(got, verb+" ")) {
		return fmt.Errorf("the client sends %q where it sent %q", got, want)
	}
	switch verb, _, _ = strings.Cut(want, " "); {
	case p.session.Name == source && (verb == "RETR" || verb == "ERET"):
		p.pace.asked()
	case p.session.Name == destination && (verb == "STOR" || verb == "ESTO"):
		p.stores++
	}
	return nil
}

// A pace keeps a destination from answering for files of which the source has
// not heard: no bytes of theirs can have come. A client that hears of a refusal
// as early as that would not ask the source any more.
type pace struct {
	mu      sync.Mutex
	changed *sync.Cond
	files   int // that the source was asked for
	over    bool
}

func newPace() *pace {
	p := new(pace)
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pace) asked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files++
	p.changed.Broadcast()
}

func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.changed.Broadcast()
}

func (p *pace) await(files int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.files < files && !p.over {
		p.changed.Wait()
	}
}

func (p *player) read() (string, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	line, err := gridftp.ReadLine(p.in, gridftp.MaxReplyLine)
	if err != nil || p.gss == nil {
		return line, err
	}
	text, ok := strings.CutPrefix(line, "ENC ")
	if !ok {
		return "", fmt.Errorf("the client sends %.20q unprotected", line)
	}
	token, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	plain, err := p.gss.Unwrap(token)
	return strings.TrimSuffix(string(plain), "\r\n"), err
}

// authenticate carries out a handshake of today's in place of the recorded one,
// which no two sessions have in common.
func (p *player) authenticate(lines []Line) ([]Line, error) {
	if err := p.hear(lines[0].Text); err != nil {
		return nil, err
	}
	if err := p.write("334 Using authentication type; ADAT must follow."); err != nil {
		return nil, err
	}
	gss, err := gsi.ServerHandshake(p, p.config)
	if err != nil {
		return nil, err
	}
	for i, line := range lines {
		if line.Kind == Server && strings.HasPrefix(line.Text, "235 ") {
			err := p.write(line.Text)
			p.gss = gss
			return lines[i+1:], err
		}
	}
	return nil, errors.New("the recorded handshake has no end")
}

// WriteToken implements gsi.TokenTransport.
func (p *player) WriteToken(token []byte) error {
	return p.write("335 ADAT=" + base64.StdEncoding.EncodeToString(token))
}

// ReadToken implements gsi.TokenTransport.
func (p *player) ReadToken() ([]byte, error) {
	line, err := p.read()
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(line, "ADAT ")
	if !ok {
		return nil, fmt.Errorf("the client sends %.20q in the handshake", line)
	}
	return base64.StdEncoding.DecodeString(text)
}

// passive is where a reply to PASV names the port.
var passive = regexp.MustCompile(`\([0-9,]+\)`)

// serveData gives content to the first who connects to the port that it puts
// into a reply to PASV.
func (p *player) serveData(reply, content string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	p.data = append(p.data, l)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, content) // the client says what it misses
		_ = conn.Close()
	}()
	named := gridftp.PassiveReply(l.Addr().(*net.TCPAddr).AddrPort()).String()
	return passive.ReplaceAllString(reply, passive.FindString(named)), nil
}
