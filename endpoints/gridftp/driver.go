// Package gridftp is storage behind GridFTP and FTP servers: the protocol is
// wire/gridftp's, and here it becomes an endpoints.Storage with sessions from a
// pool, servers taken in turn, third-party transfers, and errors that have a
// kind. It finds no credentials; an opener brings them.
package gridftp

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Kind is the driver's name in records.
const Kind = "gridftp"

// Config is what all sessions of a process have in common.
type Config struct {
	Pool     wire.PoolConfig
	Timeouts wire.Timeouts
	Network  data.Network // how data channels leave and reach this host
	Client   string       // this program's name and version, as servers log it
	// Blocked is how long a data channel between two servers may stay without
	// its first byte; 0 is 45 s, which leaves room to tell people of a blocked
	// one within a minute.
	Blocked time.Duration
	Logger  *slog.Logger // commands and replies at Debug; nil is none

	// Changed is told when a server is left out, and when it is in use again;
	// it must not wait. Nil is nobody.
	Changed func(endpoints.ServerChange)
}

// Driver opens storage and keeps sessions, of each owner apart, for the next
// one that is opened.
type Driver struct {
	config  Config
	pool    *wire.Pool
	limiter Limiter // nil: no endpoint has limits

	mu      sync.Mutex
	closed  bool
	drains  map[string]endpoints.Drain
	named   map[string]*endpoint
	teams   map[string]*team   // by the servers' names
	servers map[string]*server // by scheme and address
	forgot  time.Time          // when what is unused was last looked for
}

// New returns a driver.
func New(c Config) *Driver {
	if c.Blocked <= 0 {
		c.Blocked = 45 * time.Second
	}
	return &Driver{config: c, pool: wire.NewPool(c.Pool), named: map[string]*endpoint{}, teams: map[string]*team{}, servers: map[string]*server{}}
}

// Observe sets Config.Changed. It is called before the first Open.
func (d *Driver) Observe(changed func(endpoints.ServerChange)) { d.config.Changed = changed }

// Close ends all sessions, also those in use.
func (d *Driver) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.pool.Close()
}

// ended says whether Close was called.
func (d *Driver) ended() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func (d *Driver) logger() *slog.Logger {
	if d.config.Logger != nil {
		return d.config.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// CloseOwner ends all sessions of an owner.
func (d *Driver) CloseOwner(owner string) { d.pool.CloseOwner(owner) }

// CloseCredential ends all sessions that were made with the credential of that
// fingerprint.
func (d *Driver) CloseCredential(fingerprint string) { d.pool.CloseCredential(fingerprint) }

// Identity is as whom to log in, and whom to believe.
type Identity struct {
	Owner      string          // whose sessions these are: nobody else gets one of them
	Credential *gsi.Credential // gsiftp
	Trust      *gsi.Trust      // gsiftp
	Password   string          // ftp, with the record's user

	// Lent, when Credential is a proxy that somebody made of another which he
	// keeps, tells of that one: it is what its owner renews, and its end the
	// one that he has to know of. Sessions end with the proxy in any case.
	Lent *Lent
}

// Lent is a credential that a proxy was made of.
type Lent struct {
	Fingerprint string
	Expires     time.Time
}

// The options that a record of this kind may have.
const (
	optionDCAU       = "dcau"       // data channels authenticate: "auto" (default), "none", "self"
	optionProt       = "prot"       // data channels are: "clear" (default), "safe", "private"
	optionDelegation = "delegation" // the server is given a proxy: "auto" (default), "never", "always"
	optionIdentity   = "identity"   // DN of the server, in place of one for its host's name
	optionSSHServer  = "ssh_server" // sshftp: the command that starts the server there
)

func choices() map[string]map[string]func(*wire.Config) {
	return map[string]map[string]func(*wire.Config){
		optionDCAU: {
			"auto": func(c *wire.Config) { c.DataAuth = wire.AuthAuto },
			"none": func(c *wire.Config) { c.DataAuth = wire.AuthNone },
			"self": func(c *wire.Config) { c.DataAuth = wire.AuthSelf },
		},
		optionProt: {
			"clear":   func(c *wire.Config) { c.Prot = gsi.Clear },
			"safe":    func(c *wire.Config) { c.Prot = gsi.Safe },
			"private": func(c *wire.Config) { c.Prot = gsi.Private },
		},
		optionDelegation: {
			"auto":   func(c *wire.Config) { c.Delegation = wire.DelegateAuto },
			"never":  func(c *wire.Config) { c.Delegation = wire.DelegateNever },
			"always": func(c *wire.Config) { c.Delegation = wire.DelegateAlways },
		},
	}
}

// Check says what is wrong with a record, as Invalid, without contacting
// anybody.
func Check(rec endpoints.Record) error {
	_, err := base(rec)
	return err
}

// base is the part of a session's configuration that comes from the record.
func base(rec endpoints.Record) (wire.Config, error) {
	var c wire.Config
	bad := func(what, format string, args ...any) (wire.Config, error) {
		return c, fault.New(fault.Invalid, "use", nameOf(rec)+" "+what, fmt.Sprintf(format, args...))
	}
	switch c.Scheme = wire.Scheme(rec.Scheme); c.Scheme {
	case "":
		c.Scheme = wire.GSIFTP
	case wire.GSIFTP, wire.FTP, wire.SSHFTP:
	default:
		return bad("scheme", "%q is not gsiftp, ftp or sshftp", rec.Scheme)
	}
	if len(rec.Servers) == 0 {
		return bad("servers", "a %s endpoint needs at least one server", Kind)
	}
	for _, addr := range rec.Servers {
		if !validServer(addr) {
			return bad("servers", "%q is not HOST or HOST:PORT", addr)
		}
	}
	if rec.Root != "" {
		if err := endpoints.CheckPath("use", rec.Root); err != nil {
			return c, err
		}
	}
	c.User = rec.User
	for _, key := range slices.Sorted(maps.Keys(rec.Options)) {
		value := rec.Options[key]
		switch key {
		case optionIdentity:
			c.Identity = value
		case optionSSHServer:
			c.SSHServer = value
		default:
			allowed, ok := choices()[key]
			if !ok {
				return bad("options", "%q is not an option: there are %s, %s and %s", key, strings.Join(slices.Sorted(maps.Keys(choices())), ", "), optionIdentity, optionSSHServer)
			}
			set, ok := allowed[value]
			if !ok {
				return bad("options."+key, "%q is not one of %s", value, strings.Join(slices.Sorted(maps.Keys(allowed)), ", "))
			}
			set(&c)
		}
	}
	if c.Scheme != wire.GSIFTP && c.Prot != 0 && c.Prot != gsi.Clear {
		return bad("options."+optionProt, "%s has no protected data channels: use gsiftp", c.Scheme)
	}
	return c, nil
}

func validServer(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, "1"
		if strings.ContainsAny(addr, ":") && net.ParseIP(strings.Trim(addr, "[]")) == nil {
			return false
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && host != "" && !strings.ContainsAny(host, "/@ \t\r\n\x00")
}

// nameOf is how errors call an endpoint.
func nameOf(rec endpoints.Record) string {
	if rec.Name != "" {
		return rec.Name
	}
	scheme := rec.Scheme
	if scheme == "" {
		scheme = string(wire.GSIFTP)
	}
	return scheme + "://" + strings.Join(rec.Servers, ",")
}

// Open logs in to one of the record's servers, to learn what they can do.
func (d *Driver) Open(ctx context.Context, rec endpoints.Record, id Identity) (*Storage, error) {
	c, err := base(rec)
	if err != nil {
		return nil, err
	}
	name := nameOf(rec)
	if c.Scheme == wire.GSIFTP && (id.Credential == nil || id.Trust == nil) {
		return nil, blame(&fault.Error{Kind: fault.Credential, Op: "log in to", Path: name,
			Err: gsi.ErrNoCredential, Hint: "name a credential for this endpoint"}, rec.SecurityDomain(), nil)
	}
	c.Credential, c.Trust, c.Password = id.Credential, id.Trust, id.Password
	c.Timeouts, c.Network, c.Client, c.Logger = d.config.Timeouts, d.config.Network, d.config.Client, d.config.Logger
	d.forget(time.Now())
	t, g, leave := d.use(c.Scheme, rec)
	s := &Storage{
		driver: d, team: t, gate: g, leave: leave, name: name, domain: rec.SecurityDomain(), owner: id.Owner, lent: id.Lent, config: c,
		root: strings.TrimSuffix(rec.Root, "/"), using: map[*wire.Client]*server{},
	}
	client, err := s.session(ctx)
	if err != nil {
		_ = s.Close() // there is nothing to lose
		return nil, err
	}
	s.learn(client)
	s.release(client)
	return s, nil
}
