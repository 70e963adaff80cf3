package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/gridferry/gridferry/fault"
)

// SMTP is a mail server that takes our mail on.
type SMTP struct {
	Server       string // HOST or HOST:PORT; 587, or 465 with TLS from the start
	TLS          string // "starttls" (default), "tls" (from the start), or "none"
	CAFile       string // authorities to believe, PEM; empty: the system's
	User         string // empty: no login
	PasswordFile string // first line; read each time, so that it can be changed
}

// The values of SMTP.TLS.
const (
	TLSStart = "starttls"
	TLSFull  = "tls"
	TLSNone  = "none"
)

type smtp struct {
	SMTP
	from string
	host string
	port int
}

// smtpTimeout bounds one mail, from dialling to the server's word. RFC 5321,
// 4.5.3.2 has longer ones; the notice is tried again.
const smtpTimeout = 45 * time.Second

func newSMTP(c SMTP, from string) (channel, error) {
	bad := func(key, message string) error { return fault.New(fault.Invalid, "use", "notify."+key, message) }
	if _, err := netmail.ParseAddress(from); err != nil {
		return nil, bad("from", fmt.Sprintf("%q is not a mail address", from))
	}
	s := &smtp{SMTP: c, from: from, host: strings.Trim(c.Server, "[]"), port: 587}
	if c.TLS == TLSFull {
		s.port = 465
	}
	if host, port, err := net.SplitHostPort(c.Server); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, bad("smtp.server", fmt.Sprintf("%q is not HOST or HOST:PORT", c.Server))
		}
		s.host, s.port = host, int(n)
	}
	switch {
	case s.host == "":
		return nil, bad("smtp.server", "it is empty")
	case c.TLS != "" && c.TLS != TLSStart && c.TLS != TLSFull && c.TLS != TLSNone:
		return nil, bad("smtp.tls", fmt.Sprintf("%q is not one of starttls, tls and none", c.TLS))
	case c.TLS == TLSNone && c.User != "":
		return nil, bad("smtp.tls", "a password is never sent in the clear")
	case (c.User == "") != (c.PasswordFile == ""):
		return nil, bad("smtp", "user and password_file belong together")
	}
	return s, nil
}

func (*smtp) name() string { return "mail" }

func (*smtp) mails() bool { return true }

func (s *smtp) send(ctx context.Context, id string, m message) error {
	msg, err := s.write(id, m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, smtpTimeout)
	defer cancel()
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	if err := c.DialWithContext(ctx); err != nil {
		return fault.Wrap(fault.Transient, "connect to the mail server", s.Server, err)
	}
	err = c.Send(msg)
	// Once the server has taken the mail, what goes wrong while parting from it
	// is no reason to send it again.
	taken := msg.IsDelivered()
	_ = c.Close()
	if err == nil || taken {
		return nil
	}
	kind := fault.Transient
	if e, ok := errors.AsType[*mail.SendError](err); ok && e.ErrorCode() >= 500 {
		kind = fault.Invalid // for good, says RFC 5321, 4.2.1
	}
	return fault.Wrap(kind, "mail to", m.to, err)
}

func (s *smtp) write(id string, m message) (*mail.Msg, error) {
	l := compose(m)
	text, html, err := l.render()
	if err != nil {
		return nil, err
	}
	msg := mail.NewMsg()
	if err := msg.From(s.from); err != nil {
		return nil, fault.Wrap(fault.Invalid, "use", "notify.from", err)
	}
	if err := msg.To(m.to); err != nil {
		return nil, fault.Wrap(fault.Invalid, "mail to", m.to, err)
	}
	msg.Subject(clean(l.Subject))
	msg.SetMessageIDWithValue(id + "@" + domainOf(s.from))
	msg.SetDate()
	// RFC 3834: no machine should answer this one.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetUserAgent("gridferry")
	msg.SetBodyString(mail.TypeTextPlain, text)
	msg.AddAlternativeString(mail.TypeTextHTML, html)
	return msg, nil
}

func (s *smtp) client(ctx context.Context) (*mail.Client, error) {
	config := &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		text, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fault.Wrap(fault.Transient, "read", "notify.smtp.ca_file", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fault.New(fault.Transient, "read", s.CAFile, "it holds no certificate")
		}
	}
	options := []mail.Option{mail.WithTimeout(smtpTimeout), mail.WithTLSConfig(config), mail.WithPort(s.port), mail.WithDialContextFunc(dialWithDeadline(ctx))}
	switch s.TLS {
	case TLSFull:
		options = append(options, mail.WithSSL())
	case TLSNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.User != "" {
		password, err := firstLine(s.PasswordFile)
		if err != nil {
			return nil, err
		}
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.User), mail.WithPassword(password))
	}
	c, err := mail.NewClient(s.host, options...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "use", "notify.smtp", err)
	}
	return c, nil
}

// dialWithDeadline cuts the connection when ctx ends, whatever the client is
// waiting for then.
func dialWithDeadline(ctx context.Context) func(context.Context, string, string) (net.Conn, error) {
	return func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // after the end of the mail it is closed already
		return conn, nil
	}
}

// domainOf is what stands behind the "@".
func domainOf(address string) string {
	if a, err := netmail.ParseAddress(address); err == nil {
		address = a.Address
	}
	return address[strings.LastIndexByte(address, '@')+1:]
}

// firstLine reads a secret from a file.
func firstLine(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fault.Wrap(fault.Transient, "read the secret in", path, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
