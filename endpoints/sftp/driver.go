// Package sftp is storage behind the SFTP protocol, version 3 with OpenSSH's
// extensions, as sshd serves it. SSH is golang.org/x/crypto/ssh's and the
// protocol github.com/pkg/sftp's; what is here keeps connections, requests
// ahead and errors. The package finds no keys; an opener brings them.
//
// # Connections
//
// What one owner opens at one place with one identity shares a few SSH
// connections, each with one SFTP session, opened one after the other as there
// is something for them to do. A connection that says nothing for too long, or a
// session that leaves requests without an answer, is ended, and what was under
// way on it is Transient.
//
// # Errors
//
// The protocol knows eight errors, and most are "failure". For those the driver
// looks at what is there, so that a name that is taken, a directory in a file's
// place and a full disk are told apart. A full quota cannot be.
package sftp

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Kind is the driver's name in records.
const Kind = "sftp"

// Identity is as whom to log in.
type Identity struct {
	Owner string // whose sessions these are
	User  string // the login name where the record has none

	// Keys returns what to log in with. It is asked at each login, and done is
	// called after it. A nil Keys has none.
	Keys func(ctx context.Context) (keys []ssh.Signer, done func(), err error)
	// Password is for servers that take one; empty is none.
	Password string
	// Fingerprint tells the identity from others; no secret.
	Fingerprint string

	// KnownHosts are the files that vouch for servers' keys where the record
	// names none. Those that do not exist vouch for nobody.
	KnownHosts []string
}

// Config bounds how long servers may be silent. Zero fields are the defaults.
type Config struct {
	// Quiet is how long a connection may be without a byte before the server is
	// asked whether it is there. It has twice that to answer. Default: 15 s.
	Quiet time.Duration
	// Stall is how long a session may leave requests without any answer.
	// Default: 3 min, which a large file may take to reach the disk.
	Stall time.Duration
}

// Driver opens storage.
type Driver struct {
	config  Config
	buffers sync.Pool // of []byte, packets of files

	mu    sync.Mutex
	pools map[poolKey]*pool
}

// New returns a driver.
func New(c Config) *Driver {
	if c.Quiet <= 0 {
		c.Quiet = 15 * time.Second
	}
	if c.Stall <= 0 {
		c.Stall = 3 * time.Minute
	}
	return &Driver{config: c, pools: map[poolKey]*pool{}}
}

// Close ends all connections.
func (d *Driver) Close() { d.closePools(func(poolKey) bool { return true }) }

// CloseCredential ends the connections that were made with the identity of that
// fingerprint.
func (d *Driver) CloseCredential(fingerprint string) {
	d.closePools(func(k poolKey) bool { return k.fingerprint == fingerprint })
}

func (d *Driver) closePools(which func(poolKey) bool) {
	d.mu.Lock()
	var closing []*pool
	for key, p := range d.pools {
		if which(key) {
			closing = append(closing, p)
			delete(d.pools, key)
		}
	}
	d.mu.Unlock()
	for _, p := range closing {
		p.close()
	}
}

// Open logs in, unless a connection is there already, and looks whether the
// record's root is a directory.
func (d *Driver) Open(ctx context.Context, rec endpoints.Record, id Identity) (*Storage, error) {
	o, err := parse(rec)
	if err != nil {
		return nil, err
	}
	if o.user == "" {
		o.user = id.User
	}
	if len(o.knownHosts) == 0 {
		o.knownHosts = id.KnownHosts
	}
	life, end := context.WithCancelCause(context.Background())
	s := &Storage{
		driver: d, opts: o, name: nameOf(rec), domain: rec.SecurityDomain(), fingerprint: id.Fingerprint,
		life: life, end: end, fresh: newFresh(), inside: newInside(),
	}
	s.pool = d.pool(s, id)
	context.AfterFunc(life, func() { d.leave(s.pool) })
	if err := s.login(ctx); err != nil {
		end(errClosed)
		return nil, err
	}
	return s, nil
}

// login learns what the server is.
func (s *Storage) login(ctx context.Context) error {
	const op = "log in to"
	c, err := s.pool.get(ctx)
	if err != nil {
		return s.refused(ctx, op, err)
	}
	defer c.release()
	s.caps = endpoints.Caps{
		Kind: Kind, Server: c.server, Ranges: true, Times: true, Modes: true,
		Links: c.openSSH(), Multiplexed: true, RTT: c.rtt,
	}
	s.home = c.home
	for _, name := range slices.Sorted(maps.Keys(c.extensions)) {
		s.says = append(s.says, name+" "+c.extensions[name])
	}
	if c.extension(extStatVFS) {
		if vfs, err := call(ctx, s, c, func() (*statVFS, error) { return c.sftp.StatVFS(s.real("/")) }, nil); err == nil {
			s.caps.MaxName = int(min(vfs.Namemax, 1<<20))
		}
	}
	if s.opts.root == "" {
		return nil
	}
	fi, err := call(ctx, s, c, func() (info, error) { return c.sftp.Stat(s.opts.root) }, nil)
	if err != nil {
		return s.classify(ctx, c, "use", s.name+" root "+s.opts.root, err, reads)
	}
	if !fi.IsDir() {
		return fault.New(fault.NotFound, "use", s.name+" root "+s.opts.root, "it is no directory")
	}
	if s.top, err = call(ctx, s, c, func() (string, error) { return c.sftp.RealPath(s.opts.root) }, nil); err != nil {
		return s.classify(ctx, c, "use", s.name+" root "+s.opts.root, err, reads)
	}
	return nil
}

// nameOf is how errors call an endpoint.
func nameOf(rec endpoints.Record) string {
	if rec.Name != "" {
		return rec.Name
	}
	user := rec.User
	if user != "" {
		user += "@"
	}
	return Kind + "://" + user + strings.Join(rec.Servers, ",")
}

// address is a server with its port.
func address(server string) (string, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port, err = net.SplitHostPort(server + ":22") // RFC 4253, 4.1
	}
	if err != nil || host == "" || strings.ContainsAny(host, " /@,[]") || !isPort(port) {
		return "", fmt.Errorf("%q is not HOST or HOST:PORT", server)
	}
	return net.JoinHostPort(host, port), nil
}
