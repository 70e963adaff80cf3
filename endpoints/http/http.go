// Package http is storage behind HTTP: WebDAV servers (RFC 4918), to read and to
// write, and plain web servers, of which single files are read. The protocol is
// net/http's, and HTTP/1.1 alone: over HTTP/2 all files would share one
// connection, and with it one window and one loss. The package finds no
// credentials; an opener brings them.
//
// # WebDAV
//
// The client is this package's own. Seven methods and one XML document are not
// much, and what a library would have to do here none does: to decode a listing
// of a million names in bounded memory (github.com/studio-b12/gowebdav reads it
// whole, takes no contexts and writes no ranges; golang.org/x/net/webdav is a
// server).
//
// DELETE and MOVE take whole trees with them, so what they are about to hit is
// looked at first; between the two, another client may put a file into a
// directory that was empty. Modes are not set, and times only where a server goes
// beyond the standard, in which getlastmodified is not to be changed.
//
// # Plain servers
//
// Where OPTIONS speaks of no WebDAV, a name is a file, or a directory if the
// server redirects it to the same name with a slash; pages that happen to hold
// links are not taken for listings.
//
// # Paths and queries
//
// In the path of an http or https URL that no record stands behind, the first
// "?" begins a query, which goes along as it is: that is how files are reached
// that somebody has signed a URL of. In records, and in dav and davs URLs, "?" is
// a character like any other.
//
// # One version of a file
//
// What is read of a file, in however many pieces, is of one version: the entity
// tag, or time and size, of the first piece is asked of all others, and checked
// in their answers. A file that has changed is Integrity.
package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Kind is the driver's name in records.
const Kind = "http"

// Identity is as whom to speak to a server. With neither a password, a token
// nor a certificate it is nobody.
type Identity struct {
	Owner       string           // whose connections these are
	Password    string           // HTTP Basic (RFC 7617), of the record's user
	Token       string           // bearer token (RFC 6750)
	Certificate *tls.Certificate // of the client
	Fingerprint string           // tells the credential from others; no secret
}

func (id Identity) secret() bool { return id.Password != "" || id.Token != "" }

// Config of a driver. The zero Config is for ordinary use.
type Config struct {
	Stall time.Duration // a server that is waited for so long without a byte is hung; 0 is 2 minutes
}

// Driver opens storage. What it has learnt of a server, and its connections,
// serve the next one that is opened with the same record and identity.
type Driver struct {
	stall time.Duration

	mu      sync.Mutex
	clients map[clientKey]*client
}

type clientKey struct{ owner, fingerprint, user, caFile string }

// client is what storages of one identity share.
type client struct {
	transport *http.Transport
	id        Identity
	used      time.Time // under the driver's lock

	mu    sync.Mutex
	known map[string]server // by URL of the root and options
}

// server is what was learnt of a server when it was opened.
type server struct {
	dav    bool
	times  bool          // it may take modification times
	name   string        // what it calls itself
	says   []string      // see Says
	rtt    time.Duration // shortest
	proven time.Time
}

const (
	defaultStall = 2 * time.Minute
	dialTimeout  = 15 * time.Second

	// provenFor is how long a login counts without being tried again.
	provenFor = time.Minute

	// forgetAfter is how long a client is kept that nothing is opened with.
	forgetAfter = 12 * time.Hour

	// idleFor is shorter than Apache's KeepAliveTimeout of 5 s: a server must not
	// close a connection in the moment in which a file is begun on it.
	idleFor = 4 * time.Second

	maxHeader = 64 << 10
)

// New returns a driver.
func New(c Config) *Driver {
	d := &Driver{stall: c.Stall, clients: map[clientKey]*client{}}
	if d.stall <= 0 {
		d.stall = defaultStall
	}
	return d
}

// Close ends the idle connections.
func (d *Driver) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.clients {
		c.transport.CloseIdleConnections()
	}
}

// CloseCredential forgets what was opened with the credentials of that
// fingerprint.
func (d *Driver) CloseCredential(fingerprint string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.clients, func(key clientKey, c *client) bool {
		if key.fingerprint != fingerprint {
			return false
		}
		c.transport.CloseIdleConnections()
		return true
	})
}

// Open asks the server what it can do, as who id is.
func (d *Driver) Open(ctx context.Context, rec endpoints.Record, id Identity) (*Storage, error) {
	o, err := parse(rec)
	if err != nil {
		return nil, err
	}
	name := rec.Name
	if name == "" {
		name = o.base.String()
	}
	if id.secret() && o.base.Scheme == schemeHTTP && !o.insecure {
		return nil, &fault.Error{Kind: fault.Invalid, Op: "log in to", Path: name,
			Err: errors.New("over plain http, everybody on the way could read the password or token"), Hint: "use https, or set options." + optionInsecure + ": on"}
	}
	c, err := d.client(o, id)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "use", name+" options."+optionCAFile, err)
	}
	life, end := context.WithCancel(context.Background())
	s := &Storage{driver: d, client: c, opts: o, name: name, domain: rec.SecurityDomain(), life: life, end: end, seen: map[string]version{}}
	if err := s.login(ctx); err != nil {
		end()
		return nil, err
	}
	return s, nil
}

func (d *Driver) client(o options, id Identity) (*client, error) {
	key := clientKey{id.Owner, id.Fingerprint, o.user, o.caFile}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.clients[key]; ok {
		c.used = time.Now()
		return c, nil
	}
	maps.DeleteFunc(d.clients, func(_ clientKey, c *client) bool { return time.Since(c.used) > forgetAfter })
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", o.caFile)
		}
	}
	if id.Certificate != nil {
		conf.Certificates = []tls.Certificate{*id.Certificate}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	c := &client{id: id, used: time.Now(), known: map[string]server{}, transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    dialTimeout,
		Protocols:              protocols,
		DisableCompression:     true, // the bytes of the file are wanted, and ranges of them
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        idleFor,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         64 << 10,
		WriteBufferSize:        64 << 10,
	}}
	d.clients[key] = c
	return c, nil
}
