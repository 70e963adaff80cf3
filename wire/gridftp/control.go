package gridftp

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// maxWrappedLine bounds one line of the control connection as it is on the
// wire, in bytes. A wrapped reply line is base64, a third longer than what is
// in it, and carries the records' overhead.
const maxWrappedLine = 2 * MaxReplyLine

// errUnprotected says that a line came in the clear after both sides agreed to
// protect them: whoever wrote it need not have been the server.
var errUnprotected = errors.New("gridftp: the server sent an unprotected reply in a protected session")

// A control is a control connection: lines out, replies in, protected once a
// security context is set. One goroutine may write while another reads.
type control struct {
	conn  net.Conn
	in    *bufio.Reader
	trace func(sent bool, line string)

	// session is nil before and without a security context. It is set between
	// commands, while nothing else is under way.
	session *gsi.Session
	// plain holds unwrapped text that has not been taken as lines yet, and
	// inside tells that the last of it came in a 63z- line: one inside a reply.
	// A server that lists a name with CRLF in it does not know the difference,
	// but its 632- does.
	plain  []byte
	inside bool
	// strict is set when the peer has ended a line with CRLF: from then on LF
	// alone ends none, so that a file name with a line feed in it cannot end a
	// listing or forge a reply.
	strict bool
	telnet telnetRule // set when the server has greeted

	writeTimeout time.Duration

	mu  sync.Mutex
	err error // why the connection is useless; nil while it is not
}

func newControl(conn net.Conn, writeTimeout time.Duration, trace func(bool, string)) *control {
	if trace == nil {
		trace = func(bool, string) {}
	}
	return &control{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), trace: trace, writeTimeout: writeTimeout}
}

// fail marks the connection useless, closes it, and returns the first reason
// there was.
func (c *control) fail(err error) error {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
	}
	err = c.err
	c.mu.Unlock()
	if first {
		_ = c.conn.Close() // the reason to close it is the error worth having
	}
	return err
}

// broken returns why the connection is useless, or nil.
func (c *control) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// send writes commands in one go, protected where the session is. Any error is
// final.
func (c *control) send(commands ...string) error {
	if err := c.broken(); err != nil {
		return err
	}
	var out []byte
	for _, command := range commands {
		if strings.ContainsAny(command, "\r\n\x00") {
			return fmt.Errorf("gridftp: a command cannot carry CR, LF or NUL: %q", redact(command))
		}
		c.trace(true, redact(command))
		if c.session == nil {
			if c.telnet == telnetDoubled {
				command = strings.ReplaceAll(command, iac, iac+iac)
			}
			out = append(append(out, command...), '\r', '\n')
			continue
		}
		token, err := c.session.Wrap([]byte(command + "\r\n"))
		if err != nil {
			return c.fail(err)
		}
		out = append(out, "ENC "...)
		out = base64.StdEncoding.AppendEncode(out, token)
		out = append(out, '\r', '\n')
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return c.fail(err)
	}
	if _, err := c.conn.Write(out); err != nil {
		return c.fail(fmt.Errorf("gridftp: send to %s: %w", c.conn.RemoteAddr(), err))
	}
	return nil
}

// setReadDeadline bounds the reading of the next reply; the zero time means no
// bound, for a reader whose watchdog calls fail.
func (c *control) setReadDeadline(t time.Time) error {
	if err := c.conn.SetReadDeadline(t); err != nil {
		return c.fail(err)
	}
	return nil
}

// readReply reads one reply. middle, when not nil, receives the middle lines
// of preliminary and positive replies. Any error is final, for the place in the stream is lost.
func (c *control) readReply(middle func(line string) error) (Reply, error) {
	if err := c.broken(); err != nil {
		return Reply{}, err
	}
	var p ReplyParser
	if middle != nil {
		p.Middle = func(_ int, line string) error { return middle(line) }
	}
	for {
		line, err := c.readLine()
		if err != nil {
			if p.open && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Reply{}, c.fail(fmt.Errorf("gridftp: read reply of %s: %w", c.conn.RemoteAddr(), err))
		}
		c.trace(false, redactReply(line))
		reply, done, err := p.line(line, c.inside)
		if err != nil {
			return Reply{}, c.fail(err)
		}
		if done {
			return reply, nil
		}
	}
}

// readLine reads one line of a reply, unprotected.
func (c *control) readLine() (string, error) {
	if c.session == nil {
		return c.readRaw(MaxReplyLine)
	}
	for {
		if line, ok := c.takeLine(); ok {
			return line, nil
		}
		if len(c.plain) > MaxReplyLine {
			return "", ErrReplyTooLarge
		}
		raw, err := c.readRaw(maxWrappedLine)
		if err != nil {
			return "", err
		}
		code, sep, text, ok := splitReplyLine(raw)
		if !ok || code < 631 || code > 633 { // RFC 2228, 4: 631 integrity, 632 privacy, 633 confidentiality
			return "", fmt.Errorf("%w: %q", errUnprotected, printable(raw))
		}
		token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return "", syntaxError("protected reply", raw)
		}
		plain, err := c.session.Unwrap(token)
		if err != nil {
			return "", err
		}
		c.plain = append(c.plain, plain...)
		c.inside = sep == '-'
	}
}

// settled fails when the server has said more than it was asked: what was
// taken for the end of a reply was not.
func (c *control) settled() error {
	if len(c.plain) > 0 || c.in.Buffered() > 0 {
		return c.fail(errors.New("gridftp: the server's reply goes on after its end, as when a name holds line ends"))
	}
	return nil
}

// takeLine takes a whole line from the unwrapped text.
func (c *control) takeLine() (string, bool) {
	end, skip := -1, 0
	for i, b := range c.plain {
		if b != '\n' {
			continue
		}
		crlf := i > 0 && c.plain[i-1] == '\r'
		if c.strict && !crlf {
			continue
		}
		if end, skip = i, 1; crlf {
			end, skip = i-1, 2
			c.strict = true
		}
		break
	}
	if end < 0 {
		return "", false
	}
	line := string(c.plain[:end])
	c.plain = c.plain[end+skip:]
	if len(c.plain) == 0 {
		c.plain = nil
	}
	return line, true
}

// readRaw reads one line as it is on the wire.
func (c *control) readRaw(limit int) (string, error) {
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit+2 {
			return "", ErrReplyTooLarge
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		}
		if n := len(line); n >= 2 && line[n-2] == '\r' {
			c.strict = true
			return string(line[:n-2]), nil
		}
		if !c.strict {
			return string(line[:len(line)-1]), nil
		}
	}
}

// redact hides what must not reach a log: passwords, tokens and credentials.
func redact(command string) string {
	verb, _, found := strings.Cut(command, " ")
	switch strings.ToUpper(verb) {
	case "PASS", "ADAT", "DCSC", "ACCT":
		if found {
			return verb + " ***"
		}
	}
	return command
}

// redactReply hides handshake tokens, which are only noise in a log.
func redactReply(line string) string {
	if i := strings.Index(line, "ADAT="); i >= 0 {
		return line[:i] + "ADAT=***"
	}
	return line
}
