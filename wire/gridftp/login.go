package gridftp

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// mappedUser is the user name with which a client leaves the choice of the
// account to the server's gridmap.
const mappedUser = ":globus-mapping:"

// login takes the session from the greeting to binary transfers.
func (c *Client) login(ctx context.Context, delegate bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.Timeouts.Dial+c.config.Timeouts.Login, errLoginTimeout)
	defer cancel()
	end, err := c.begin(ctx)
	if err != nil {
		return err
	}
	greeting, err := c.reply("greeting", nil)
	end()
	if err != nil {
		return err
	}
	c.greeting = greeting.Text()
	c.ctl.telnet = telnetRuleOf(c.greeting)
	if c.config.Scheme == GSIFTP {
		if err := c.authenticate(ctx, delegate); err != nil {
			return err
		}
	}
	switch c.config.Scheme {
	case GSIFTP:
		err = c.enterMapped(ctx)
	case SSHFTP:
		// ssh has said who we are, but the server wants to be asked: started
		// for ssh it takes any name for the user that it runs as.
		err = c.enterMapped(ctx)
	default:
		err = c.enterPlain(ctx)
	}
	return err
}

var errLoginTimeout = errors.New("the login took too long")

// authenticate establishes the security context (RFC 2228).
func (c *Client) authenticate(ctx context.Context, delegate bool) error {
	if _, err := c.command(ctx, "AUTH", "GSSAPI"); err != nil {
		return err
	}
	end, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	config := gsi.ClientConfig{
		Credential: c.config.Credential, Trust: c.config.Trust,
		ServerName: c.config.Host, ExpectIdentity: c.config.Identity,
		MinVersion: c.config.MinTLS, MaxVersion: c.config.MaxTLS,
	}
	if delegate {
		config.Delegate = gsi.DelegateFull
		if config.Credential, err = delegable(config.Credential); err != nil {
			return err
		}
	}
	session, err := gsi.ClientHandshake((*adat)(c), config)
	if err != nil {
		return err
	}
	if _, err := c.reply("ADAT", nil); err != nil {
		return err
	}
	c.ctl.session, c.peer, c.delegated = session, session.Peer(), delegate
	return nil
}

// delegable returns a credential that a server can make a proxy of: the Globus
// server makes a key of the leaf's kind and size, and knows only RSA.
func delegable(credential *gsi.Credential) (*gsi.Credential, error) {
	if key, ok := credential.Chain[0].PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() == 2048 {
		return credential, nil
	}
	return credential.NewProxy(gsi.ProxyOptions{Lifetime: time.Until(credential.NotAfter())})
}

// adat carries handshake tokens in ADAT commands and 335 replies.
type adat Client

func (a *adat) WriteToken(token []byte) error {
	return a.ctl.send("ADAT " + base64.StdEncoding.EncodeToString(token))
}

func (a *adat) ReadToken() ([]byte, error) {
	r, err := (*Client)(a).reply("ADAT", nil)
	if err != nil {
		return nil, err
	}
	for _, line := range r.Lines {
		if _, text, ok := strings.Cut(line, "ADAT="); ok {
			token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
			if err != nil {
				return nil, syntaxError("ADAT token", r.String())
			}
			return token, nil
		}
	}
	return nil, syntaxError("ADAT reply", r.String())
}

// enterMapped takes an authenticated session to the account, in one round trip
// with what follows: the server answers in order.
func (c *Client) enterMapped(ctx context.Context) error {
	user := c.config.User
	if user == "" {
		user = mappedUser
	}
	lines := append([]string{"USER " + user, "PASS " + "none"}, c.questions()...)
	replies, err := c.commands(ctx, lines...)
	// A refusal counts before the loss of the connection that may follow it. A
	// server may find USER enough (230, 232) and PASS then out of place.
	for i := range min(2, len(replies)) {
		if replies[i].Positive() {
			break
		}
		if !replies[i].Intermediate() || i == 1 {
			return NewReplyError("USER "+user, replies[i])
		}
	}
	if err != nil {
		return err
	}
	return c.answers(replies[2:])
}

// enterPlain logs in with a name and a password, one command at a time: old
// FTP servers throw away what comes early.
func (c *Client) enterPlain(ctx context.Context) error {
	user, password := c.config.User, c.config.Password
	if user == "" {
		user = "anonymous"
		if password == "" {
			password = "gridferry@"
		}
	}
	r, err := c.command(ctx, "USER", user)
	if err != nil {
		return err
	}
	if r.Intermediate() {
		if r, err = c.command(ctx, "PASS", password); err != nil {
			return err
		}
		if r.Intermediate() {
			return fmt.Errorf("the server wants an account (ACCT) besides the password: %w", NewReplyError("PASS", r))
		}
	}
	return c.learn(ctx)
}

// learn asks what the server can do and makes transfers binary.
func (c *Client) learn(ctx context.Context) error {
	replies := make([]Reply, 0, 3)
	for _, line := range c.questions() {
		r, err := c.commands(ctx, line)
		if err != nil {
			return err
		}
		replies = append(replies, r...)
	}
	return c.answers(replies)
}

// questions are what follows a login; the third is advice, or may go
// unanswered.
func (c *Client) questions() []string {
	if !c.pipelines() {
		return []string{"FEAT", "TYPE I", "PWD"}
	}
	name, version, _ := strings.Cut(c.config.Client, " ")
	return []string{"FEAT", "TYPE I", fmt.Sprintf("SITE CLIENTINFO appname=%q;appver=%q;scheme=%q;", name, version, string(c.config.Scheme))}
}

func (c *Client) answers(replies []Reply) error {
	features, err := ParseFeatures(replies[0])
	if err != nil {
		// A server without FEAT has none; what it can do is found by asking.
		features = Features{}
	}
	c.features = features
	if len(replies) > 2 {
		c.home = c.quotedPath(replies[2])
	}
	return c.judge("TYPE I", replies[1])
}

// quotedPath returns the absolute path in a 257 reply, which doubles quotation
// marks (RFC 959, appendix II); empty when there is none.
func (c *Client) quotedPath(r Reply) string {
	_, quoted, ok := strings.Cut(r.Lines[0], `"`)
	if r.Code != 257 || !ok {
		return ""
	}
	var b strings.Builder
	for {
		part, rest, ok := strings.Cut(quoted, `"`)
		if !ok {
			return ""
		}
		b.WriteString(part)
		if quoted, ok = strings.CutPrefix(rest, `"`); !ok {
			break
		}
		b.WriteByte('"')
	}
	path := b.String()
	if c.ctl.telnet == telnetRaw {
		path = strings.ReplaceAll(path, iac+iac, iac) // vsftpd doubles what it says
	}
	if checkName(path) != nil || path[0] != '/' {
		return ""
	}
	return path
}

// visit runs fn with the session's directory at dir, and brings it back. Where
// the login directory is not known, paths that are not absolute lose their
// meaning.
func (c *Client) visit(ctx context.Context, dir string, fn func() error) error {
	if _, err := c.pathCommand(ctx, "CWD", dir); err != nil {
		return err
	}
	err := fn()
	if c.home == "" || c.Err() != nil {
		return err
	}
	if _, back := c.command(ctx, "CWD", c.home); back != nil {
		// A session that stands elsewhere would take names for others.
		back = c.ctl.fail(fmt.Errorf("gridftp: back to the login directory: %w", back))
		if err == nil {
			err = back
		}
	}
	return err
}
