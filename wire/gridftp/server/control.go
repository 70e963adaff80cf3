package server

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// A control is the control connection. One goroutine reads from it; any may
// reply.
type control struct {
	conn    net.Conn
	reader  *bufio.Reader
	timeout time.Duration // for a write

	mu      sync.Mutex
	gss     *gsi.Session // set at the end of the handshake: all is protected from then on
	out     []byte       // written, and not yet on its way
	line    []byte
	failed  error
	flusher *time.Timer
}

func newControl(conn net.Conn, timeout time.Duration) *control {
	return &control{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10), timeout: timeout}
}

// A request is one command as it was read.
type request struct {
	verb string // in upper case
	arg  string
	bare bool // it came unprotected
}

// errTooLong says that a command line exceeds the limit.
var errTooLong = errors.New("command line too long")

// read reads the next command. A line that is too long, or whose protection
// is broken, ends the session: what follows it could be anything.
func (c *control) read(limit int) (request, error) {
	line, err := gridftp.ReadLine(c.reader, limit)
	if errors.Is(err, gridftp.ErrReplyTooLarge) {
		err = errTooLong
	}
	if err != nil {
		return request{}, err
	}
	req := parseRequest(line)
	req.bare = true
	if req.verb != "ENC" && req.verb != "MIC" && req.verb != "CONF" {
		return req, nil
	}
	gss := c.session()
	if gss == nil {
		return req, nil // the session refuses it, as any unknown command
	}
	token, err := base64.StdEncoding.DecodeString(req.arg)
	if err != nil {
		return request{}, fmt.Errorf("a protected command is not base64: %w", err)
	}
	plain, err := gss.Unwrap(token)
	if err != nil {
		return request{}, err
	}
	return parseRequest(strings.TrimRight(string(plain), "\r\n\x00")), nil
}

// parseRequest splits a command line. Verbs are letters; telnet's interrupt
// and synch, which old clients put before ABOR (RFC 959, 4.1.3), are dropped.
func parseRequest(line string) request {
	for len(line) > 0 && line[0] >= 0xf0 {
		line = line[1:]
	}
	verb, arg, _ := strings.Cut(line, " ")
	return request{verb: strings.ToUpper(verb), arg: arg}
}

func (c *control) session() *gsi.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gss
}

// protect sends a last reply in the clear, and makes everything after it
// protected. Both are one step: the client may answer before it returns.
func (c *control) protect(gss *gsi.Session, last gridftp.Reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(last)
	c.gss = gss
	return c.flush()
}

// reply sends a reply.
func (c *control) reply(r gridftp.Reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(r)
	return c.flush()
}

// lazily is how long a preliminary reply waits for the final one, with which
// it then shares a packet.
const lazily = 2 * time.Millisecond

// replySoon sends a reply with the next one, or by itself a little later.
func (c *control) replySoon(r gridftp.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(r)
	if c.flusher == nil {
		c.flusher = time.AfterFunc(lazily, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			_ = c.flush() // kept in failed
		})
		return
	}
	c.flusher.Reset(lazily)
}

// put appends a reply to what is to be sent, protected if it must be.
func (c *control) put(r gridftp.Reply) {
	if c.gss == nil {
		c.out = r.Append(c.out)
		return
	}
	c.line = r.Append(c.line[:0])
	c.putLines(c.line, true)
}

// putLines appends lines of a reply; ends says that the last one is the
// reply's last. The code around a protected line that is not must have the
// hyphen: globus-url-copy stops with a failed assertion otherwise.
func (c *control) putLines(lines []byte, ends bool) {
	if c.gss == nil {
		c.out = append(c.out, lines...)
		return
	}
	for len(lines) > 0 && c.failed == nil {
		end := bytes.IndexByte(lines, '\n') + 1
		token, err := c.gss.Wrap(lines[:end])
		if err != nil {
			c.failed = err
			return
		}
		if lines = lines[end:]; len(lines) == 0 && ends {
			c.out = append(c.out, "632 "...)
		} else {
			c.out = append(c.out, "632-"...)
		}
		c.out = base64.StdEncoding.AppendEncode(c.out, token)
		c.out = append(c.out, "\r\n"...)
	}
}

// flush is called with the mutex held. After a failure nothing is sent any
// more, and the connection is closed, which ends the session.
func (c *control) flush() error {
	if c.failed == nil && len(c.out) > 0 {
		c.failed = c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
		if c.failed == nil {
			_, c.failed = c.conn.Write(c.out)
		}
		if c.failed != nil {
			_ = c.conn.Close()
		}
	}
	if cap(c.out) > 1<<20 {
		c.out = nil
	} else {
		c.out = c.out[:0]
	}
	return c.failed
}

func (c *control) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.flush() // whoever does not take it in time goes without
	_ = c.conn.Close()
	if c.flusher != nil {
		c.flusher.Stop()
	}
}

// A multiline is a reply whose lines are not known all at once.
type multiline struct {
	control *control
	code    int
}

// begin sends the first line.
func (c *control) begin(code int, text string) *multiline {
	m := &multiline{c, code}
	_ = m.send(gridftp.Reply{Code: code, Lines: []string{text, ""}}, false) // kept in failed
	return m
}

// middle sends lines between the first and the last. They must begin with a
// space.
func (m *multiline) middle(lines []string) error {
	all := append(append([]string{""}, lines...), "")
	return m.send(gridftp.Reply{Code: m.code, Lines: all}, true)
}

// send sends a reply without its last line, and without its first if that was
// sent before.
func (m *multiline) send(r gridftp.Reply, begun bool) error {
	lines := r.Append(nil)
	lines = lines[:bytes.LastIndexByte(lines[:len(lines)-1], '\n')+1]
	if begun {
		lines = lines[bytes.IndexByte(lines, '\n')+1:]
	}
	c := m.control
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLines(lines, false)
	return c.flush()
}
