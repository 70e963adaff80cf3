package gridftp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gsi"
)

// A channel is this process's own end of a session's data connections.
type channel struct {
	set    *data.Set
	config data.Config
	shape  shape
	used   time.Time // when it last carried something
}

// A shape is what data connections are made for; those of one shape serve
// files one after the other in extended block mode.
type shape struct {
	mode        Mode
	dial        bool // we dial; otherwise the server does
	parallelism int
	buffer      int
	auth        DataAuth
	prot        gsi.Protection
}

// dataSecurity returns what the server is to be told of protecting data
// channels between it and us, and what we do ourselves; the latter is nil when
// they are not authenticated.
func (c *Client) dataSecurity(auth DataAuth, prot gsi.Protection) (Security, *gsi.DataConfig, error) {
	able := c.maySecure() && (c.features.DCSC() || c.delegated)
	if auth == AuthAuto {
		if auth = AuthNone; able {
			auth = AuthSelf
		}
	}
	s := Security{Auth: auth, Prot: prot}
	if auth == AuthNone {
		return s, nil, nil
	}
	if !able {
		return s, nil, errors.New("gridftp: authenticated data channels need DCSC or delegation at the server")
	}
	own := &gsi.DataConfig{Credential: c.config.Credential, Trust: c.config.Trust, Prot: prot}
	if c.delegated {
		return s, own, nil
	}
	var err error
	if s.Credential, err = c.ephemeralCredential(); err != nil {
		return s, nil, err
	}
	own.Credential = s.Credential
	own.Trust, err = s.Credential.SelfTrust()
	return s, own, err
}

// ephemeralLifetime is how long a credential made for data channels lasts, and
// ephemeralMargin how long before its end it is used no more.
const (
	ephemeralLifetime = 24 * time.Hour
	ephemeralMargin   = time.Hour
)

// ephemeralCredential returns the session's throw-away credential, which ends
// with the user's own at the latest: no data channel is made with it later.
func (c *Client) ephemeralCredential() (*gsi.Credential, error) {
	lifetime := ephemeralLifetime
	if !c.expires.IsZero() {
		lifetime = min(lifetime, time.Until(c.expires))
	}
	// A session near its end would get nothing longer from another one.
	if had := c.ephemeral; had == nil || time.Until(had.NotAfter()) < min(ephemeralMargin, lifetime-time.Minute) {
		credential, err := gsi.NewEphemeral("gridferry data channel", lifetime)
		if err != nil {
			return nil, err
		}
		c.ephemeral = credential
	}
	return c.ephemeral, nil
}

// openChannel returns data connections of the shape: those of the last
// transfer where they serve, else new ones, of which the server is told.
func (c *Client) openChannel(ctx context.Context, want shape) (*channel, error) {
	if ch := c.told.channel; ch != nil && ch.shape == want && want.mode == ExtendedBlock && !ch.set.Closed() && time.Since(ch.used) < dataIdle {
		return ch, nil
	}
	c.dropChannel()
	security, own, err := c.dataSecurity(want.auth, want.prot)
	if err != nil {
		return nil, err
	}
	if err := c.prepareData(ctx, want.mode, security); err != nil {
		return nil, err
	}
	t := tuning{parallelism: want.parallelism, buffer: want.buffer, quiet: c.told.quiet}
	if want.mode == ExtendedBlock {
		t.sends = !want.dial
		t.quiet = t.quiet || want.dial && c.endsWithRanges()
	}
	if err := c.tune(ctx, t); err != nil {
		return nil, err
	}
	ch := &channel{shape: want, used: time.Now(), config: data.Config{Security: own, Buffer: want.buffer, MaxConns: MaxParallel}}
	if want.dial {
		to, err := c.passive(ctx)
		if err != nil {
			return nil, err
		}
		ch.set = data.NewActive(c.config.Network, netip.Addr{}, to)
	} else if ch.set, err = c.listen(ctx, want.buffer); err != nil {
		return nil, err
	}
	c.told.channel = ch
	return ch, nil
}

// dropChannel forgets whatever data connections the session has.
func (c *Client) dropChannel() {
	if c.told.channel != nil {
		_ = c.told.channel.set.Close() // nothing is under way on it
	}
	c.told.channel, c.told.pairing = nil, nil
}

// passive has the server listen for us.
func (c *Client) passive(ctx context.Context) (netip.AddrPort, error) {
	remote := c.remote()
	if !remote.Is6() {
		r, err := c.command(ctx, "PASV")
		if err == nil {
			addr, err := ParsePassive(r)
			return reachable(addr, remote), err
		}
		var refusal *ReplyError
		if !errors.As(err, &refusal) || !refusal.Unsupported() {
			return netip.AddrPort{}, err
		}
	}
	r, err := c.command(ctx, "EPSV")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return ParseExtendedPassive(r, remote)
}

// reachable corrects the address of a server that does not know the one it is
// reached by: unspecified, or a private one behind address translation.
func reachable(addr netip.AddrPort, control netip.Addr) netip.AddrPort {
	ip := addr.Addr()
	private := ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	controlPrivate := control.IsPrivate() || control.IsLoopback() || control.IsLinkLocalUnicast()
	if control.Is4() && (ip.IsUnspecified() || private && !controlPrivate) {
		return netip.AddrPortFrom(control, addr.Port())
	}
	return addr
}

// listen listens for the server, and tells it where.
func (c *Client) listen(ctx context.Context, buffer int) (*data.Set, error) {
	local, ok := c.ctl.conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return nil, errors.New("gridftp: a session over ssh does not say under which address the server could reach us: use stream mode")
	}
	l, err := c.config.Network.Listen(ctx, local.AddrPort().Addr().Unmap(), buffer)
	if err != nil {
		return nil, err
	}
	verb, argument := "EPRT", FormatExtended(l.Addr())
	if l.Addr().Addr().Is4() {
		verb, argument = "PORT", FormatHostPort(l.Addr())
	}
	if _, err := c.command(ctx, verb, argument); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return data.NewPassive(l), nil
}
