package gridftp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Client is one session with a server: a control connection, logged in. It
// is for one goroutine at a time, and so is a transfer for the two sessions it
// joins. Cancelling the context of a call closes the session, for the protocol
// has no way to take a command back; so does any error that is not a refusal
// by the server. Err tells.
type Client struct {
	config   Config
	ctl      *control
	greeting string
	features Features
	home     string    // the login directory; empty when the server was not asked, or did not say
	peer     *gsi.Peer // who the server proved to be; nil without GSI

	// delegated tells that the server holds a proxy of ours.
	delegated bool
	ephemeral *gsi.Credential // for data channels, by DCSC; nil until one is needed
	told      dataState

	rtt     time.Duration // the shortest that anything took which takes one round trip; 0 is not known
	expires time.Time     // when the credential ends; zero without one
	expiry  *time.Timer   // ends the session then; nil without one
}

// Dial connects and logs in. With Delegation left to be chosen, a server that
// turns out not to know DCSC is logged in to a second time, with delegation.
func Dial(ctx context.Context, config Config) (*Client, error) {
	config, err := config.normalize()
	if err != nil {
		return nil, err
	}
	delegate := config.Scheme == GSIFTP && config.Delegation == DelegateAlways
	c, err := dial(ctx, config, delegate)
	if err != nil {
		return nil, err
	}
	if config.Scheme == GSIFTP && config.Delegation == DelegateAuto && config.DataAuth != AuthNone && !c.features.DCSC() && c.features.Has("DCAU") {
		_ = c.Quit(ctx) // nothing was done in it
		return dial(ctx, config, true)
	}
	return c, nil
}

func dial(ctx context.Context, config Config, delegate bool) (*Client, error) {
	dialCtx, cancel := context.WithTimeout(ctx, config.Timeouts.Dial)
	defer cancel()
	var conn net.Conn
	var err error
	began := time.Now()
	if config.Scheme == SSHFTP {
		conn, err = startSSH(dialCtx, config)
	} else {
		conn, err = config.Dialer(dialCtx, "tcp", config.Addr)
	}
	if err != nil {
		return nil, fmt.Errorf("gridftp: connect to %s: %w", config.Addr, err)
	}
	c := newClient(conn, config)
	if config.Scheme != SSHFTP {
		c.took(time.Since(began)) // TCP's first packets
	}
	if err := c.login(ctx, delegate); err != nil {
		return nil, fmt.Errorf("gridftp: log in to %s: %w", config.Addr, c.ctl.fail(err))
	}
	if config.Credential != nil {
		c.expires = config.Credential.NotAfter()
		c.expiry = time.AfterFunc(time.Until(c.expires), func() { _ = c.ctl.fail(ErrExpired) })
	}
	return c, nil
}

// newClient returns the client of a connection on which nothing was said yet.
func newClient(conn net.Conn, config Config) *Client {
	c := &Client{config: config}
	c.ctl = newControl(conn, config.Timeouts.Reply, c.traceLine)
	return c
}

func (c *Client) traceLine(sent bool, line string) {
	if c.config.Trace != nil {
		c.config.Trace(sent, line)
	}
	if log := c.config.Logger; log != nil && log.Enabled(context.Background(), slog.LevelDebug) {
		direction := "reply"
		if sent {
			direction = "command"
		}
		log.Debug("gridftp", "server", c.config.Addr, direction, printable(line))
	}
}

// Err returns why the session can no longer be used, or nil.
func (c *Client) Err() error { return c.ctl.broken() }

// Addr returns the server's address as it was configured.
func (c *Client) Addr() string { return c.config.Addr }

// Greeting returns how the server introduced itself.
func (c *Client) Greeting() string { return c.greeting }

// Features returns what the server can do; it must not be changed.
func (c *Client) Features() Features { return c.features }

// Home returns the directory that sessions begin in; empty when the server did
// not say. GridFTP servers are not asked: they know it as "~".
func (c *Client) Home() string { return c.home }

// Peer returns who the server proved to be; nil without GSI.
func (c *Client) Peer() *gsi.Peer { return c.peer }

// Delegated reports whether the login left a proxy of ours at the server.
func (c *Client) Delegated() bool { return c.delegated }

// TLSVersion returns the version that protects the control connection; 0
// without GSI.
func (c *Client) TLSVersion() gsi.Version {
	if c.ctl.session == nil {
		return 0
	}
	return c.ctl.session.TLSVersion()
}

// remote returns the server's address on the control connection, which is
// where EPSV's port is; invalid over ssh.
func (c *Client) remote() netip.Addr {
	if tcp, ok := c.ctl.conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// RTT returns the round-trip time to the server: the shortest that connecting
// or a command has taken so far, which includes what the server did meanwhile.
func (c *Client) RTT() time.Duration { return c.rtt }

func (c *Client) took(d time.Duration) {
	if c.rtt == 0 || d < c.rtt {
		c.rtt = d
	}
}

// Expires returns when the session's credential ends, and the session with it,
// whatever it is doing; zero is never.
func (c *Client) Expires() time.Time { return c.expires }

// ErrExpired says that the credential of a session has ended.
var ErrExpired = errors.New("gridftp: the credential has expired")

// Interrupt ends what the session is doing, and the session; unlike the other
// methods it may be called from any goroutine. Close is still to be called.
func (c *Client) Interrupt() { _ = c.ctl.fail(ErrClosed) }

// Close drops the connections without a word: what the server was doing ends
// when it notices. Closing twice does nothing.
func (c *Client) Close() error {
	if c.expiry != nil {
		c.expiry.Stop()
	}
	_ = c.ctl.fail(ErrClosed)
	c.dropChannel()
	return nil
}

// ErrClosed says that a session was closed by its user.
var ErrClosed = errors.New("gridftp: session closed")

// Quit ends the session in good order.
func (c *Client) Quit(ctx context.Context) error {
	if err := c.Err(); err != nil {
		return nil
	}
	_, err := c.command(ctx, "QUIT")
	c.Close()
	return err
}

// Noop makes sure that the session is alive.
func (c *Client) Noop(ctx context.Context) error {
	_, err := c.command(ctx, "NOOP")
	return err
}

// begin ties the session to ctx until the returned function is called.
func (c *Client) begin(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	// A timer does not run while the machine sleeps; the clock does.
	if !c.expires.IsZero() && !time.Now().Before(c.expires) {
		return nil, c.ctl.fail(ErrExpired)
	}
	failed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.ctl.fail(context.Cause(ctx))
		close(failed)
	})
	return func() {
		if !stop() {
			<-failed // so that nobody takes the session for a sound one meanwhile
		}
	}, nil
}

// command sends a verb with its argument, if any, and returns its positive or
// intermediate reply; anything else is a ReplyError.
func (c *Client) command(ctx context.Context, verb string, args ...string) (Reply, error) {
	end, err := c.begin(ctx)
	if err != nil {
		return Reply{}, err
	}
	defer end()
	line := strings.Join(append([]string{verb}, args...), " ")
	began := time.Now()
	if err := c.ctl.send(line); err != nil {
		return Reply{}, err
	}
	r, err := c.reply(redact(line), nil)
	if err == nil {
		c.took(time.Since(began))
	}
	return r, err
}

// reply reads the reply to what, passing over preliminary ones.
func (c *Client) reply(what string, middle func(string) error) (Reply, error) {
	for {
		if err := c.ctl.setReadDeadline(time.Now().Add(c.config.Timeouts.Reply)); err != nil {
			return Reply{}, err
		}
		r, err := c.ctl.readReply(middle)
		if err != nil {
			return Reply{}, err
		}
		if !r.Preliminary() {
			return r, c.judge(what, r)
		}
	}
}

// judge turns a refusal into an error. 421 means that the server is closing.
func (c *Client) judge(what string, r Reply) error {
	if r.Positive() || r.Intermediate() {
		return nil
	}
	err := NewReplyError(what, r)
	if r.Code == 421 {
		return c.ctl.fail(err)
	}
	return err
}

// commands sends several commands at once and returns their replies in order,
// refusals among them: where no answer depends on the one before, a round trip
// for all is enough. The error is that of the connection; the replies that
// came before it are returned too.
func (c *Client) commands(ctx context.Context, lines ...string) ([]Reply, error) {
	end, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := c.ctl.send(lines...); err != nil {
		return nil, err
	}
	replies := make([]Reply, 0, len(lines))
	for _, line := range lines {
		var refusal *ReplyError
		r, err := c.reply(redact(line), nil)
		if err != nil && (!errors.As(err, &refusal) || c.Err() != nil) {
			return replies, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

// inTurn sends commands of which each is only right after the one before it
// succeeded, and returns the first refusal. A GridFTP server is sent all of
// them at once, for it answers 503 to those that lost their meaning; others
// are asked one by one.
func (c *Client) inTurn(ctx context.Context, lines ...string) error {
	if !c.pipelines() {
		for _, line := range lines {
			verb, args, _ := strings.Cut(line, " ")
			if _, err := c.command(ctx, verb, args); err != nil {
				return err
			}
		}
		return nil
	}
	replies, err := c.commands(ctx, lines...)
	for i, r := range replies {
		if err := c.judge(redact(lines[i]), r); err != nil {
			return err
		}
	}
	return err
}

// pipelines reports whether the server is known to take commands before it
// has answered the ones before: plain FTP servers need not.
func (c *Client) pipelines() bool { return strings.Contains(c.greeting, "GridFTP") }

// endsWithRanges reports whether the server is known to tell of each file that
// it stores in extended block mode, and that has bytes, at least one range
// marker. Its performance markers then say nothing new, and cost more than all
// else that it says of a small file: two for each, of six lines that are
// protected one by one. The Globus server does, and alone greets like that.
func (c *Client) endsWithRanges() bool {
	return strings.Contains(c.greeting, "GridFTP Server ") && c.features.Has("MLSC")
}

// A NameError says that no command can carry a name.
type NameError struct {
	Name   string
	Telnet bool // because of a byte that this server cannot be sent without protection
}

func (e *NameError) Error() string {
	if e.Telnet {
		return fmt.Sprintf("gridftp: the name %q holds bytes that an unprotected session with this server cannot carry", e.Name)
	}
	return fmt.Sprintf("gridftp: the name %q holds a line end or NUL, or is empty, which the protocol cannot carry", e.Name)
}

// checkName refuses names that would end the command they are in.
func checkName(names ...string) error {
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "\r\n\x00") {
			return &NameError{Name: name}
		}
	}
	return nil
}

// pathCommand sends a verb with a path.
func (c *Client) pathCommand(ctx context.Context, verb, path string) (Reply, error) {
	if err := c.checkName(path); err != nil {
		return Reply{}, err
	}
	return c.command(ctx, verb, path)
}
