package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Config is what a server serves, to whom, and within which limits.
type Config struct {
	// Files is what everybody who gets in sees. Home is where sessions start,
	// and what "~" means; empty is "/".
	Files FileSystem
	Home  string

	// Account is the local user whose files these are: the one this process
	// runs as. A gridmap entry that maps somebody to another user is refused.
	Account string

	// Credential and Trust make GSI logins possible; Gridmap says for whom.
	Credential *gsi.Credential
	Trust      *gsi.Trust
	Gridmap    *Gridmap

	// Identity, when not nil, is asked for the credential and the authorities in
	// force: at each GSI login, whose session keeps the credential, and at each
	// of its data channels. It must not take long. Credential and Trust are still
	// needed.
	Identity func() (*gsi.Credential, *gsi.Trust, error)

	// Anonymous lets in, without GSI, whoever calls himself anonymous or ftp,
	// to read; AnonymousWrites, to write too.
	Anonymous, AnonymousWrites bool

	// ReadOnly lets nobody write.
	ReadOnly bool

	// Password, when not nil, lets in who has a password. It crosses the
	// network in the clear.
	Password func(user, password string) bool

	// MinTLS and MaxTLS bound TLS on the control and data channels; zero is
	// 1.2 and 1.3.
	MinTLS, MaxTLS gsi.Version

	Network data.Network // of data channels
	Limits  Limits
	Banner  string // what the server calls itself in its greeting; empty is "gridferry GridFTP server"

	Logger *slog.Logger // sessions at Info, commands at Debug, without secrets; nil is none

	// Transferred, when not nil, hears of every transfer that was begun, when
	// it has ended. It is called by the sessions' goroutines.
	Transferred func(Transfer)
}

// Limits bound what clients can have a server do. Zero fields have the
// defaults.
type Limits struct {
	Sessions    int           // at a time; the next one is told to come back: 200
	PreAuth     time.Duration // from connecting to being logged in: 60 s
	Idle        time.Duration // between commands: 15 min
	Write       time.Duration // for one reply to leave: 60 s
	Line        int           // bytes in a command line before the login, and 16 times as many after it: 64 KiB
	Pipeline    int           // commands waiting: 1,000
	Parallelism int           // data connections that a client can ask for: 64
	DataConns   int           // data connections in one transfer: 128
	Connect     time.Duration // to make a data connection: 30 s
	Stall       time.Duration // nothing moves in a transfer: 120 s
}

func (l Limits) withDefaults() Limits {
	for n, byDefault := range map[*int]int{
		&l.Sessions: 200, &l.Line: 64 << 10, &l.Pipeline: 1000, &l.Parallelism: 64, &l.DataConns: 128,
	} {
		if *n <= 0 {
			*n = byDefault
		}
	}
	for d, byDefault := range map[*time.Duration]time.Duration{
		&l.PreAuth: time.Minute, &l.Idle: 15 * time.Minute, &l.Write: time.Minute, &l.Connect: 30 * time.Second, &l.Stall: 2 * time.Minute,
	} {
		if *d <= 0 {
			*d = byDefault
		}
	}
	return l
}

func (c Config) normalize() (Config, error) {
	switch {
	case c.Files == nil:
		return c, errors.New("gridftp server: nothing to serve")
	case c.Credential != nil && c.Trust == nil:
		return c, errors.New("gridftp server: a host certificate without authorities to trust lets nobody in")
	case c.Credential != nil && c.Gridmap == nil:
		return c, errors.New("gridftp server: GSI logins need a gridmap that says for whom")
	case c.Credential == nil && !c.Anonymous && c.Password == nil:
		return c, errors.New("gridftp server: nobody could log in: there is no host certificate, and neither anonymous nor password logins are on")
	case c.Credential != nil && c.Account == "":
		return c, errors.New("gridftp server: the local user whom the gridmap must name is not set")
	}
	if c.Home == "" {
		c.Home = "/"
	}
	if _, err := cleanPath("/", c.Home); err != nil {
		return c, fmt.Errorf("gridftp server: home: %w", err)
	}
	if c.Banner == "" {
		c.Banner = "gridferry GridFTP server"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Transferred == nil {
		c.Transferred = func(Transfer) {}
	}
	c.Limits = c.Limits.withDefaults()
	return c, nil
}

// A Transfer is what the transfer log tells of one RETR, STOR, APPE, ERET or
// ESTO. Bytes counts what was moved by it, so that a range sent twice counts
// twice.
type Transfer struct {
	Start    time.Time      `json:"start"`
	Seconds  float64        `json:"seconds"`
	Session  uint64         `json:"session"`
	Client   netip.AddrPort `json:"client"`             // of the control channel
	Peer     netip.AddrPort `json:"peer"`               // of the data channel: dialled, or listened on
	User     string         `json:"user"`               //
	Identity string         `json:"identity,omitempty"` // DN
	Command  string         `json:"command"`            // "RETR", "STOR", ...
	Path     string         `json:"path"`
	Bytes    int64          `json:"bytes"`
	Streams  int            `json:"streams"` // data connections
	Code     int            `json:"code"`    // of the last reply
	Error    string         `json:"error,omitempty"`
}
