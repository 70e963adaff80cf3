package gridftp

import (
	"context"
	"fmt"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Mode is how bytes travel on a data channel.
type Mode byte

// The modes (RFC 959, 3.4; GFD.20, 3).
const (
	Stream        Mode = 'S' // one connection, in order; its end is the file's
	ExtendedBlock Mode = 'E' // blocks with offsets, over any number of connections that stay open
)

// dataState is what the server was last told about data channels, so that it
// is told again only what changes. The zero value is a fresh login's.
type dataState struct {
	mode        Mode   // 0 is Stream
	auth        string // argument of DCAU; empty is not told yet
	prot        gsi.Protection
	credential  string // fingerprint of the DCSC credential; empty is none
	parallelism int
	buffer      int
	markers     int // seconds between markers; 0 is the server's own choice
	sumMarkers  bool
	quiet       bool // the server sends no performance markers

	// What the server's data connections are for at present: a third-party
	// pair, or our own. At most one is set.
	pairing *pairing
	channel *channel
}

// A Security is how a data channel's ends are to be protected.
type Security struct {
	Auth     DataAuth
	Identity string // with AuthSelf: the DN of the other end, when it is not our own (DCAU S); may be empty
	Prot     gsi.Protection
	// Credential, when set, is given to the server by DCSC.
	Credential *gsi.Credential
}

// maySecure reports whether the server takes DCAU and PROT: only a session
// that was authenticated itself can.
func (c *Client) maySecure() bool {
	return c.config.Scheme == GSIFTP && (c.features.Has("DCAU") || c.delegated)
}

// dataCommands returns the commands that bring the server from what it was
// told to mode and security, and the state they lead to.
func (c *Client) dataCommands(mode Mode, s Security) (lines []string, next dataState, err error) {
	next = c.told
	if current := c.told.mode; mode != current && (mode != Stream || current != 0) {
		lines = append(lines, "MODE "+string(mode))
		next.mode = mode
	}
	if !c.maySecure() {
		if s.Auth == AuthSelf || s.Prot != gsi.Clear && s.Prot != 0 {
			return nil, next, fmt.Errorf("gridftp: %s does not do authenticated or protected data channels in this session", c.config.Addr)
		}
		return lines, next, nil
	}
	auth := string(s.Auth)
	switch {
	case s.Auth == AuthSelf && s.Identity != "":
		auth = "S " + s.Identity
	case s.Auth == AuthNone && s.Prot != gsi.Clear:
		return nil, next, fmt.Errorf("gridftp: data channels cannot be protected (PROT %c) without being authenticated (DCAU N)", s.Prot)
	}
	if s.Credential != nil && s.Credential.Fingerprint() != c.told.credential {
		blob, err := s.Credential.DCSC()
		if err != nil {
			return nil, next, err
		}
		lines = append(lines, "DCSC P "+blob)
		next.credential = s.Credential.Fingerprint()
	}
	if auth != c.told.auth {
		lines = append(lines, "DCAU "+auth)
		next.auth = auth
	}
	if s.Prot != c.told.prot {
		// RFC 2228: PBSZ precedes PROT; the number means nothing to GSI.
		if c.told.prot == 0 {
			lines = append(lines, "PBSZ 1048576")
		}
		lines = append(lines, "PROT "+string(s.Prot))
		next.prot = s.Prot
	}
	return lines, next, nil
}

// prepareData makes mode and security so at the server.
func (c *Client) prepareData(ctx context.Context, mode Mode, s Security) error {
	lines, next, err := c.dataCommands(mode, s)
	if err != nil || len(lines) == 0 {
		return err
	}
	replies, err := c.commands(ctx, lines...)
	if err != nil {
		return err
	}
	for i, r := range replies {
		if err := c.judge(redact(lines[i]), r); err != nil {
			// What took effect is not known any more: tell it all again.
			c.dropChannel()
			c.told = dataState{mode: '?', auth: "?"}
			return err
		}
	}
	c.told = next
	return nil
}

// tuning is what makes data channels fast.
type tuning struct {
	parallelism int
	sends       bool // the server sends, and so decides the number of connections
	buffer      int
	markers     time.Duration
	quiet       bool // the server is to send no performance markers of what it stores
}

// tune tells the server what it was not told yet. A refusal of parallelism
// counts, for the transfer would not be what was asked for; the rest is advice.
func (c *Client) tune(ctx context.Context, t tuning) error {
	var lines []string
	parallel := t.sends && t.parallelism != max(1, c.told.parallelism)
	if parallel {
		// The server insists on the semicolon, and on hearing it before PORT.
		lines = append(lines, fmt.Sprintf("OPTS RETR Parallelism=%d,%d,%[1]d;", t.parallelism, t.parallelism))
	}
	if t.buffer > 0 && t.buffer != c.told.buffer && c.pipelines() {
		lines = append(lines, fmt.Sprintf("SBUF %d", t.buffer))
		c.told.buffer = t.buffer
	}
	seconds := int((t.markers + time.Second - 1) / time.Second)
	if seconds > 0 && seconds != c.told.markers && c.pipelines() {
		if !t.quiet {
			lines = append(lines, fmt.Sprintf("TREV PERF %d", seconds))
		}
		lines = append(lines, fmt.Sprintf("TREV RESTART %d", seconds))
		c.told.markers = seconds
	}
	switch {
	case t.quiet && !c.told.quiet:
		lines = append(lines, noPerfMarkers)
	case !t.quiet && c.told.quiet:
		lines = append(lines, fmt.Sprintf("TREV PERF %d", max(c.told.markers, defaultMarkers)))
	}
	if len(lines) == 0 {
		return nil
	}
	replies, err := c.commands(ctx, lines...)
	if err != nil {
		return err
	}
	if last := len(lines) - 1; t.quiet != c.told.quiet && replies[last].Positive() {
		c.told.quiet = t.quiet
	}
	if !parallel {
		return nil
	}
	if err := c.judge(lines[0], replies[0]); err != nil {
		return err
	}
	c.told.parallelism = t.parallelism
	return nil
}

const (
	// noPerfMarkers ends performance markers. Versions of the Globus server
	// that take 0 for "without pause" take this for never, as all do.
	noPerfMarkers = "TREV PERF -1"
	// defaultMarkers is the Globus server's own interval, in seconds.
	defaultMarkers = 5
)
