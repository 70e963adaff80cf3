package gridftp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A pairing is two sessions whose servers know of each other's data channels.
type pairing struct {
	src, dst *Client
	options  Options
	to       []netip.AddrPort // where the destination listens
	used     time.Time        // when its data connections were last known to be good
}

// dataIdle is how long data connections may rest and still be used again: a
// firewall forgets quiet ones, without telling either end.
const dataIdle = 30 * time.Second

// pair makes the two sessions ready to move files between their servers. Data
// connections of an earlier run between the same two with the same options are
// used again.
func pair(ctx context.Context, src, dst *Client, o Options) (*pairing, error) {
	if p := src.told.pairing; p != nil && p == dst.told.pairing && p.src == src && p.options.sameChannels(o) && o.Mode == ExtendedBlock && time.Since(p.used) < dataIdle {
		p.options = o
		return p, nil
	}
	p := &pairing{src: src, dst: dst, options: o}
	atSource, atDest, err := p.securities()
	if err != nil {
		return nil, err
	}
	if err := src.prepareData(ctx, o.Mode, atSource); err != nil {
		return nil, &SideError{SourceSide, src.Addr(), err}
	}
	if err := dst.prepareData(ctx, o.Mode, atDest); err != nil {
		return nil, &SideError{DestSide, dst.Addr(), err}
	}
	if err := p.tune(ctx); err != nil {
		return nil, err
	}
	return p, p.connect(ctx)
}

// sameChannels reports whether data connections made for o serve other.
func (o Options) sameChannels(other Options) bool {
	return o.Mode == other.Mode && o.Parallelism == other.Parallelism && o.Auth == other.Auth && o.Prot == other.Prot &&
		o.Buffer == other.Buffer && o.Striped == other.Striped && o.Markers == other.Markers
}

// A SideError says at which of two servers a transfer could not be prepared.
type SideError struct {
	Side Side
	Addr string
	Err  error
}

func (e *SideError) Error() string {
	return fmt.Sprintf("gridftp: prepare the %s %s: %v", e.Side, e.Addr, e.Err)
}

// Unwrap returns Err.
func (e *SideError) Unwrap() error { return e.Err }

// securities decides what each server presents on the data channel, and whom
// it expects.
func (p *pairing) securities() (atSource, atDest Security, err error) {
	o := p.options
	able := p.src.maySecure() && p.dst.maySecure()
	if o.Auth == AuthAuto {
		o.Auth = AuthNone
		if able {
			o.Auth = AuthSelf
		}
	}
	s := Security{Auth: o.Auth, Prot: o.Prot}
	if o.Auth == AuthNone {
		if o.Prot != gsi.Clear {
			return s, s, fmt.Errorf("gridftp: data channels cannot be protected (PROT %c) without being authenticated", o.Prot)
		}
		return s, s, nil
	}
	if !able {
		return s, s, fmt.Errorf("gridftp: %s and %s cannot authenticate data channels between them: both need GSI sessions", p.src.Addr(), p.dst.Addr())
	}
	atSource, atDest = s, s
	srcDCSC, dstDCSC := p.src.features.DCSC() && !p.src.delegated, p.dst.features.DCSC() && !p.dst.delegated
	switch {
	case srcDCSC && dstDCSC:
		// One throw-away credential for both: no trust is needed between them.
		if atSource.Credential, err = p.src.ephemeralCredential(); err != nil {
			return s, s, err
		}
		atDest.Credential = atSource.Credential
	case srcDCSC:
		atSource.Credential, err = dataProxy(p.dst)
	case dstDCSC:
		atDest.Credential, err = dataProxy(p.src)
	case !p.src.delegated || !p.dst.delegated:
		err = errors.New("gridftp: authenticated data channels need DCSC or delegation at both servers")
	case !gsi.SameDN(p.src.config.Credential.Identity(), p.dst.config.Credential.Identity()):
		// Each holds a proxy of somebody: name that somebody to the other.
		atSource.Identity = p.dst.config.Credential.Identity()
		atDest.Identity = p.src.config.Credential.Identity()
	}
	return atSource, atDest, err
}

// dataProxy makes a proxy of the credential whose holder the other server, to
// which it was delegated, is going to be on the data channel.
func dataProxy(other *Client) (*gsi.Credential, error) {
	if !other.delegated {
		return nil, fmt.Errorf("gridftp: %s has neither DCSC nor a delegated credential for data channels", other.Addr())
	}
	credential := other.config.Credential
	return credential.NewProxy(gsi.ProxyOptions{Lifetime: time.Until(credential.NotAfter())})
}

// tune tells both servers of buffers, parallelism and markers.
func (p *pairing) tune(ctx context.Context) error {
	t := tuning{parallelism: p.options.Parallelism, sends: p.options.Mode == ExtendedBlock, buffer: p.options.Buffer, markers: p.options.Markers}
	t.quiet = p.src.told.quiet // who sends has no markers to send
	if err := p.src.tune(ctx, t); err != nil {
		return &SideError{SourceSide, p.src.Addr(), err}
	}
	t.sends, t.quiet = false, p.options.Mode == ExtendedBlock && p.dst.endsWithRanges()
	if err := p.dst.tune(ctx, t); err != nil {
		return &SideError{DestSide, p.dst.Addr(), err}
	}
	return nil
}

// connect tells the source where the destination listens: the sender dials.
func (p *pairing) connect(ctx context.Context) error {
	p.src.dropChannel()
	p.dst.dropChannel()
	if p.options.Striped {
		if err := p.connectStriped(ctx); err != nil {
			return err
		}
	} else if err := p.connectOne(ctx); err != nil {
		return err
	}
	p.src.told.pairing, p.dst.told.pairing = p, p
	return nil
}

// connectOne agrees on one address. The family of the destination's control
// connection comes first; where one of the two servers does not do it, the
// other may still be common to both.
func (p *pairing) connectOne(ctx context.Context) error {
	families := []func(context.Context) error{p.connectIPv4, p.connectAny}
	if remote := p.dst.remote(); remote.Is6() {
		families = []func(context.Context) error{p.connectAny, p.connectIPv4}
	}
	err := families[0](ctx)
	var refusal *ReplyError
	if errors.As(err, &refusal) && p.src.Err() == nil && p.dst.Err() == nil {
		if families[1](ctx) == nil {
			return nil
		}
	}
	return err
}

func (p *pairing) connectIPv4(ctx context.Context) error {
	r, err := p.dst.command(ctx, "PASV")
	if err != nil {
		return &SideError{DestSide, p.dst.Addr(), err}
	}
	addr, err := ParsePassive(r)
	if err != nil {
		return &SideError{DestSide, p.dst.Addr(), err}
	}
	// Some servers leave it to the client to know their address.
	if remote := p.dst.remote(); addr.Addr().IsUnspecified() && remote.Is4() {
		addr = netip.AddrPortFrom(remote, addr.Port())
	}
	return p.tell(ctx, "PORT", FormatHostPort(addr), addr)
}

func (p *pairing) connectAny(ctx context.Context) error {
	r, err := p.dst.command(ctx, "EPSV")
	if err != nil {
		return &SideError{DestSide, p.dst.Addr(), err}
	}
	addr, err := ParseExtendedPassive(r, p.dst.remote())
	if err == nil && !addr.IsValid() {
		err = errors.New("gridftp: EPSV names no address, and the control connection has none")
	}
	if err != nil {
		return &SideError{DestSide, p.dst.Addr(), err}
	}
	return p.tell(ctx, "EPRT", FormatExtended(addr), addr)
}

func (p *pairing) connectStriped(ctx context.Context) error {
	r, err := p.dst.command(ctx, "SPAS")
	if err != nil {
		return &SideError{DestSide, p.dst.Addr(), err}
	}
	addrs, err := ParseStripedPassive(r)
	if err != nil {
		return &SideError{DestSide, p.dst.Addr(), err}
	}
	return p.tell(ctx, "SPOR", FormatStripes(addrs), addrs...)
}

func (p *pairing) tell(ctx context.Context, verb, argument string, addrs ...netip.AddrPort) error {
	if _, err := p.src.command(ctx, verb, argument); err != nil {
		return &SideError{SourceSide, p.src.Addr(), err}
	}
	p.to, p.used = addrs, time.Now()
	return nil
}
