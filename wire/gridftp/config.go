package gridftp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gsi"
)

// A Scheme says how a session is carried and who vouches for the user.
type Scheme string

// The schemes, named as in URLs.
const (
	FTP    Scheme = "ftp"    // plain FTP: anonymous, or a password in the clear
	GSIFTP Scheme = "gsiftp" // GSI: certificates at both ends, protected commands
	SSHFTP Scheme = "sshftp" // the control connection is an ssh session's input and output
)

// DefaultPort returns the scheme's registered port; of SSHFTP, ssh's own.
func (s Scheme) DefaultPort() string {
	switch s {
	case FTP:
		return "21"
	case SSHFTP:
		return "22"
	}
	return "2811"
}

// A Delegation says whether a login leaves the server a proxy of the user.
type Delegation string

// The policies. Data channels that authenticate need a credential at the
// server: delegated, or given for data channels alone by DCSC, which lets no
// key of the user's leave the client and makes a login five times faster.
const (
	DelegateAuto   Delegation = ""       // DCSC with an ephemeral credential where the server knows it; a proxy otherwise
	DelegateNever  Delegation = "never"  // without DCSC: no authenticated data channels
	DelegateAlways Delegation = "always" // a proxy, even where DCSC would do
)

// A DataAuth says how the two ends of a data channel make sure of each other
// (GFD.20, DCAU).
type DataAuth string

// The kinds of data channel authentication.
const (
	AuthAuto DataAuth = ""  // A where the session can, N otherwise
	AuthNone DataAuth = "N" // not at all: whoever connects first is taken
	AuthSelf DataAuth = "A" // both ends hold credentials of the same holder
)

// Timeouts bound what a session waits for; zero fields have the defaults.
type Timeouts struct {
	Dial  time.Duration // a connection and the greeting: 30 s
	Login time.Duration // from the greeting to being logged in: 60 s
	Reply time.Duration // one command's reply, and one write: 60 s
	List  time.Duration // a listing's silence, while the server looks at every file: 10 min
}

func (t Timeouts) withDefaults() Timeouts {
	for d, byDefault := range map[*time.Duration]time.Duration{&t.Dial: 30 * time.Second, &t.Login: time.Minute, &t.Reply: time.Minute, &t.List: 10 * time.Minute} {
		if *d <= 0 {
			*d = byDefault
		}
	}
	return t
}

// Config says whom to reach, as whom, and how.
type Config struct {
	Scheme Scheme
	Addr   string // host:port; a host alone gets the scheme's port

	// Host is the name the server's certificate must be for; empty means the
	// host of Addr. Identity, when set, is the DN it must have instead.
	Host, Identity string

	User     string // plain FTP: empty is anonymous. GSI: empty lets the server map the certificate. ssh: the login name
	Password string // plain FTP alone

	Credential *gsi.Credential // GSI: who we are
	Trust      *gsi.Trust      // GSI: whom we believe
	Delegation Delegation

	DataAuth DataAuth
	Prot     gsi.Protection // of data channels; zero is gsi.Clear

	MinTLS, MaxTLS gsi.Version // of the control connection; zero is 1.2 and 1.3

	Timeouts Timeouts
	Network  data.Network // of this host's own data channels

	SSH []string // the ssh command, and options before the host; empty is {"ssh"}
	// SSHServer is the command that starts the server at the other end; empty
	// is the start script of the user's or the administrator's.
	SSHServer string

	// Client names the program to the server (SITE CLIENTINFO), as
	// "name version"; empty is "gridferry". It shows in the server's log.
	Client string
	Logger *slog.Logger // commands and replies at Debug, without secrets; nil is none
	// Trace, when set, sees each line of the session as text, after unwrapping
	// and without secrets. It is called from the goroutines that send and
	// receive.
	Trace func(sent bool, line string)

	// Beside is a session with another server that this one will move files to or
	// from. A Pool prefers the session that has data connections with it.
	Beside *Client

	// Dialer makes control connections; nil is net.Dialer.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
}

// normalize fills in defaults and refuses what cannot work before anything is
// contacted.
func (c Config) normalize() (Config, error) {
	if c.Scheme != FTP && c.Scheme != GSIFTP && c.Scheme != SSHFTP {
		return c, fmt.Errorf("gridftp: unknown scheme %q: use ftp, gsiftp or sshftp", c.Scheme)
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		host, port = strings.Trim(c.Addr, "[]"), c.Scheme.DefaultPort()
	}
	if host == "" {
		return c, fmt.Errorf("gridftp: no host in the address %q", c.Addr)
	}
	c.Addr = net.JoinHostPort(host, port)
	if c.Host == "" {
		c.Host = host
	}
	c.Timeouts = c.Timeouts.withDefaults()
	if c.Prot == 0 {
		c.Prot = gsi.Clear
	}
	if c.Client == "" {
		c.Client = "gridferry"
	}
	if c.Dialer == nil {
		c.Dialer = (&net.Dialer{}).DialContext
	}
	if err := c.check(); err != nil {
		return c, err
	}
	return c, nil
}

func (c Config) check() error {
	if c.Credential != nil && !time.Now().Before(c.Credential.NotAfter()) {
		return fmt.Errorf("gridftp: a session with %s: %w on %s", c.Addr, ErrExpired, c.Credential.NotAfter().UTC().Format(time.RFC3339))
	}
	for what, text := range map[string]string{"user": c.User, "password": c.Password, "client name": c.Client} {
		if strings.ContainsAny(text, "\r\n\x00") {
			return fmt.Errorf("gridftp: the %s holds a line end or NUL", what)
		}
	}
	if c.Prot != gsi.Clear && c.Prot != gsi.Safe && c.Prot != gsi.Private {
		return fmt.Errorf("gridftp: data protection %q is not C, S or P", rune(c.Prot))
	}
	if c.Scheme == GSIFTP {
		switch {
		case c.Credential == nil:
			return fmt.Errorf("gridftp: a session with %s needs a credential", c.Addr)
		case c.Trust == nil:
			return fmt.Errorf("gridftp: a session with %s needs to know which authorities to trust", c.Addr)
		}
		return nil
	}
	// Only a security context gives data channels something to build on.
	if c.Prot != gsi.Clear {
		return fmt.Errorf("gridftp: %s sessions have no protected data channels: use gsiftp", c.Scheme)
	}
	return nil
}
