package myproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Client talks to one MyProxy server, over a new connection each time. It may
// be used by several goroutines. All its methods return *Error.
type Client struct {
	Server string     // host, or host:port; the port is DefaultPort unless said
	Trust  *gsi.Trust // which servers are believed

	// Identity, when set, is the DN that the server must have; else its
	// certificate must be for the host in Server.
	Identity string

	// Credential is who we are to the server. Logon and TrustRoots do without,
	// as the C client does by default; the others act on what its holder owns.
	Credential *gsi.Credential

	// Timeout is how long the server may take for each step; 0 means 30 s. How
	// long all of it may take is the context's business.
	Timeout time.Duration

	// Dial opens connections; nil is a net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A session is one conversation, secured.
type session struct {
	*records
	in *bufio.Reader // over records; all that a client reads goes through it
}

// converse connects, sends the request, reads the first answer and calls the
// rest, if any, which must read all that follows.
func (c *Client) converse(ctx context.Context, q *request, rest func(*session, *response) error) error {
	host, address := c.address()
	err := c.try(ctx, host, address, q, rest)
	if err == nil {
		return nil
	}
	e := &Error{Refusal: refusalOf(err), Command: q.command, Server: address, User: q.user}
	var said *wordsError
	if errors.As(err, &said) {
		e.Words = said.words
	} else if e.Err = err; c.Credential != nil && alerted(err) {
		e.Err = fmt.Errorf("the server refused the certificate of %s: %w", c.Credential.Identity(), err)
	}
	return e
}

func (c *Client) try(ctx context.Context, host, address string, q *request, rest func(*session, *response) error) error {
	if q.user == "" && q.command != CommandTrustRoots {
		return misused("no user is named")
	}
	if q.lifetime < 0 || q.lifetime > maxLifetime {
		return misused("a lifetime of %s, 0 to %s is possible", q.lifetime, maxLifetime)
	}
	message, err := q.encode()
	if err != nil {
		return err
	}
	defer clear(message) // it may hold a pass phrase

	limit := c.Timeout
	if limit == 0 {
		limit = defaultLimit
	}
	conn, err := c.dial(ctx, address, limit)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := &records{conn: conn, limit: limit}
	stop := r.cutOff(ctx)
	err = c.speak(r, host, message, rest)
	if cause := stop(); cause != nil && err != nil {
		return fmt.Errorf("cut off: %w", cause)
	}
	return err
}

func (c *Client) speak(r *records, host string, message []byte, rest func(*session, *response) error) error {
	var err error
	r.session, err = gsi.ClientHandshake(r, gsi.ClientConfig{
		Credential: c.Credential, Anonymous: c.Credential == nil,
		Trust: c.Trust, ServerName: host, ExpectIdentity: c.Identity,
	})
	if err != nil {
		return err
	}
	if err := r.send(message); err != nil {
		return err
	}
	s := &session{records: r, in: bufio.NewReader(r)}
	answer, err := s.answer()
	if err != nil {
		return err
	}
	if rest == nil {
		return nil
	}
	return rest(s, answer)
}

// answer reads a response that must not be a refusal.
func (s *session) answer() (*response, error) {
	text, err := readText(s.in, maxResponse)
	if err != nil {
		return nil, err
	}
	answer, err := parseResponse(text)
	if err != nil {
		return nil, err
	}
	return answer, answer.err()
}

func (c *Client) dial(ctx context.Context, address string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if c.Dial != nil {
		return c.Dial(ctx, "tcp", address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// address takes Server apart, which may be an IPv6 address with or without
// brackets.
func (c *Client) address() (host, address string) {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		host, port = c.Server, DefaultPort
		if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
			host = host[1 : n-1]
		}
	}
	return host, net.JoinHostPort(host, port)
}
