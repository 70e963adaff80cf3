package server

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gsi"
)

// dataState is what a session was told about its data channels.
type dataState struct {
	set *data.Set // nil until PASV, PORT or one of their kin

	mode        gridftp.Mode
	ascii       bool   // TYPE A: it changes nothing but the answer to TYPE
	auth        byte   // DCAU: N, A or S
	subject     string // DCAU S: the DN of the other end
	prot        gsi.Protection
	credential  *gsi.Credential // DCSC P; nil is the session's own
	parallelism int
	buffer      int
	perf        time.Duration // between performance markers; 0 is none
	restart     time.Duration // between restart markers; 0 is none but the last
	alive       time.Duration // between signs of life of a checksum; 0 is none
	sent        time.Duration // between performance markers of what is sent; 0 is none

	extendedOnly bool // EPSV ALL (RFC 2428, 4)
}

// markerInterval is the Globus server's.
const markerInterval = 5 * time.Second

func newDataState() dataState {
	return dataState{
		mode: gridftp.Stream, auth: 'N', prot: gsi.Clear, parallelism: 1,
		perf: markerInterval, restart: markerInterval,
	}
}

// reset gives the state of a fresh login. Data channels authenticate by default
// where the session did (GFD.20, DCAU).
func (d *dataState) reset(gsi bool) {
	d.close()
	*d = newDataState()
	if gsi {
		d.auth = 'A'
	}
}

// secured drops connections that were made under what is no longer so. The
// address stays.
func (d *dataState) secured() {
	if d.set != nil {
		d.set.Drop()
	}
}

// close ends the data channel.
func (d *dataState) close() {
	if d.set != nil {
		_ = d.set.Close()
		d.set = nil
	}
}

// use replaces the data channel.
func (d *dataState) use(set *data.Set) {
	d.close()
	d.set = set
}

func (s *session) listen() (*data.Listener, error) {
	l, err := s.config.Network.Listen(s.ctx, s.local, s.data.buffer)
	if err != nil {
		return nil, &Error{Code: 425, Category: gridftp.CategoryDataChannel, Reason: "open a data port", Detail: err.Error()}
	}
	s.data.use(data.NewPassive(l))
	return l, nil
}

func pasv(s *session, _ string) gridftp.Reply {
	if s.data.extendedOnly {
		return gridftp.NewReply(503, "EPSV ALL was said.")
	}
	if !s.local.Is4() {
		return gridftp.NewReply(425, "PASV cannot tell an IPv6 address: use EPSV.")
	}
	l, err := s.listen()
	if err != nil {
		return s.refuse(err)
	}
	return gridftp.PassiveReply(l.Addr())
}

func epsv(s *session, arg string) gridftp.Reply {
	family := "1"
	if s.local.Is6() {
		family = "2"
	}
	switch strings.ToUpper(arg) {
	case "ALL":
		s.data.extendedOnly = true
		return gridftp.NewReply(229, "EPSV ALL Successful.")
	case "", family:
	default:
		return gridftp.NewReply(522, "Network protocol not supported, use ("+family+").")
	}
	l, err := s.listen()
	if err != nil {
		return s.refuse(err)
	}
	return gridftp.ExtendedPassiveReply(l.Addr().Port())
}

// spas with a network protocol (RFC 2428) is how the Globus library asks for
// addresses in EPSV's form.
func spas(s *session, arg string) gridftp.Reply {
	if arg != "" && arg != "1" && arg != "2" {
		return gridftp.NewReply(522, "Network protocol not supported, use (1,2).")
	}
	l, err := s.listen()
	if err != nil {
		return s.refuse(err)
	}
	if arg != "" {
		return gridftp.Reply{Code: 229, Lines: []string{"Entering Striped Passive Mode.", " " + gridftp.FormatExtended(l.Addr()), "End"}}
	}
	return gridftp.StripedPassiveReply([]netip.AddrPort{l.Addr()})
}

func port(s *session, arg string) gridftp.Reply {
	if s.data.extendedOnly {
		return gridftp.NewReply(503, "EPSV ALL was said.")
	}
	addr, err := gridftp.ParseHostPort(arg)
	return s.active(addr, err)
}

func eprt(s *session, arg string) gridftp.Reply {
	addr, err := gridftp.ParseExtended(arg)
	return s.active(addr, err)
}

func spor(s *session, arg string) gridftp.Reply {
	addrs, err := gridftp.ParseStripes(arg)
	if err != nil {
		return s.active(netip.AddrPort{}, err)
	}
	if len(addrs) > 1 {
		return gridftp.NewReply(504, "This server is one stripe and sends to one.")
	}
	return s.active(addrs[0], nil)
}

// active makes the data channel one that dials. Third-party transfers need
// any address, so only those who proved who they are may name one: others
// could make this server speak to hosts that trust it.
func (s *session) active(to netip.AddrPort, err error) gridftp.Reply {
	switch {
	case err != nil || to.Port() == 0:
		return gridftp.NewReply(501, "Illegal PORT command.")
	case s.gss == nil && to.Addr().Unmap() != s.client.Addr():
		return gridftp.NewReply(501, "Illegal PORT command: without a GSI login data go to the client's own address only.")
	case to.Addr().IsMulticast() || to.Addr().IsUnspecified():
		return gridftp.NewReply(501, "Illegal PORT command: this is no host's address.")
	}
	from := s.local
	if from.Is4() != to.Addr().Unmap().Is4() {
		from = netip.Addr{} // the other family: the system knows the way
	}
	s.data.use(data.NewActive(s.config.Network, from, to))
	return gridftp.NewReply(200, "PORT Command successful.")
}

func typeCommand(s *session, arg string) gridftp.Reply {
	kind, rest, _ := strings.Cut(strings.ToUpper(arg), " ")
	switch {
	case kind == "I", kind == "L" && rest == "8":
		s.data.ascii = false
	case kind == "A" && (rest == "" || rest == "N"):
		// Files are sent as they are: line ends of "text" that was none have
		// ruined more files than they have helped.
		s.data.ascii = true
	default:
		return gridftp.NewReply(501, fmt.Sprintf("'TYPE %s' unrecognized type.", arg))
	}
	return gridftp.NewReply(200, "Type set to "+kind+".")
}

func mode(s *session, arg string) gridftp.Reply {
	m := gridftp.Mode(0)
	switch strings.ToUpper(arg) {
	case "S":
		m = gridftp.Stream
	case "E":
		m = gridftp.ExtendedBlock
	default:
		return gridftp.NewReply(501, fmt.Sprintf("'MODE %s' unrecognized transfer mode.", arg))
	}
	if m != s.data.mode {
		s.data.secured()
	}
	s.data.mode = m
	return gridftp.NewReply(200, "Mode set to "+string(m)+".")
}

func stru(_ *session, arg string) gridftp.Reply {
	if !strings.EqualFold(arg, "F") {
		return gridftp.NewReply(501, "Syntax error in parameter.")
	}
	return gridftp.NewReply(200, "STRU F ok.")
}

func dcau(s *session, arg string) gridftp.Reply {
	kind, subject, _ := strings.Cut(arg, " ")
	kind = strings.ToUpper(kind)
	switch {
	case kind != "N" && s.gss == nil:
		// The Globus server says 200, and fails when the data are to go.
		return gridftp.NewReply(504, "Data channels can be authenticated after a GSI login only.")
	case kind == "S" && subject == "":
		return gridftp.NewReply(501, "DCAU S expected subject.")
	case kind != "N" && kind != "A" && kind != "S":
		return gridftp.NewReply(504, "Bad DCAU mode.")
	}
	if s.data.auth != kind[0] || s.data.subject != subject {
		s.data.secured()
	}
	s.data.auth, s.data.subject = kind[0], subject
	return gridftp.NewReply(200, "DCAU "+kind+".")
}

func pbsz(_ *session, arg string) gridftp.Reply {
	if _, err := strconv.ParseUint(arg, 10, 32); err != nil {
		return gridftp.NewReply(501, "Bad value for PBSZ: "+arg)
	}
	return gridftp.NewReply(200, "PBSZ="+arg)
}

func prot(s *session, arg string) gridftp.Reply {
	level := gsi.Protection(0)
	switch strings.ToUpper(arg) {
	case "C":
		level = gsi.Clear
	case "S":
		level = gsi.Safe
	case "P":
		level = gsi.Private
	default:
		return gridftp.NewReply(536, arg+" protection level not supported.")
	}
	if level != gsi.Clear && s.gss == nil {
		return gridftp.NewReply(536, "Data channels can be protected after a GSI login only.")
	}
	if s.data.prot != level {
		s.data.secured()
	}
	s.data.prot = level
	return gridftp.NewReply(200, "Protection level set to "+string(level)+".")
}

// dcsc sets the data channels' own credential (draft "Data Channel Security
// Context"): P with one in base64, or D for the session's again.
func dcsc(s *session, arg string) gridftp.Reply {
	kind, blob, _ := strings.Cut(arg, " ")
	switch {
	case s.gss == nil:
		return gridftp.NewReply(503, "DCSC needs a GSI login.")
	case strings.EqualFold(kind, "D"):
		s.data.secured()
		s.data.credential = nil
	case strings.EqualFold(kind, "P"):
		c, err := gsi.ParseDCSC(strings.TrimSpace(blob))
		if err != nil {
			return gridftp.NewReply(501, "DCSC: "+err.Error())
		}
		s.data.secured()
		s.data.credential = c
	default:
		return gridftp.NewReply(504, "DCSC knows P and D.")
	}
	return gridftp.NewReply(250, "OK.")
}

// maxBuffer bounds what TCP buffers clients can ask for, in bytes. The kernel
// has bounds of its own.
const maxBuffer = 1 << 30

func sbuf(s *session, arg string) gridftp.Reply {
	n, err := strconv.ParseUint(strings.TrimSpace(arg), 10, 32)
	if err != nil || n > maxBuffer {
		return gridftp.NewReply(501, "Syntax error in parameter.")
	}
	s.data.buffer = int(n)
	return gridftp.NewReply(200, "SBUF Command Successful.")
}

// trev sets how often markers are sent.
func trev(s *session, arg string) gridftp.Reply {
	event, seconds, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseUint(strings.TrimSpace(seconds), 10, 16)
	if err != nil {
		return gridftp.NewReply(501, "Syntax error in parameter.")
	}
	interval := time.Duration(n) * time.Second
	switch strings.ToUpper(event) {
	case "PERF":
		s.data.perf = interval
	case "RESTART":
		s.data.restart = interval
	default:
		return gridftp.NewReply(502, "Unsupported event.")
	}
	return gridftp.NewReply(200, "Command Successful.")
}

// errUnprotected says that DCAU and PROT contradict each other.
var errUnprotected = &Error{Code: 536, Category: gridftp.CategoryDataChannel, Reason: "secure the data channel",
	Detail: "PROT S and P need an authenticated data channel: send DCAU A, or PROT C"}

// errNoCredential says that there is nothing to authenticate with.
var errNoCredential = &Error{Code: 425, Category: gridftp.CategoryDataChannel, Reason: "secure the data channel",
	Detail: "there is no credential to authenticate with: delegate one at the login, send DCSC P, or use DCAU N"}

// security is what the next data connections are made with. It is judged when
// they are made and not at DCAU or PROT, because clients may send these in
// either order, and go through pairs that are invalid on their way to one that
// is not.
//
// The Globus server takes every pair, without a word: with DCAU N it ignores
// PROT and sends data in the clear that the client asked to protect.
func (s *session) security() (*gsi.DataConfig, error) {
	d := &s.data
	if d.auth == 'N' {
		if d.prot != gsi.Clear {
			return nil, errUnprotected
		}
		return nil, nil
	}
	c := &gsi.DataConfig{
		Credential: s.gss.Delegated(), Trust: s.authorities(), Prot: d.prot,
		MinVersion: s.config.MinTLS, MaxVersion: s.config.MaxTLS,
	}
	if d.credential != nil {
		c.Credential = d.credential
		// One that brings its own authority counts by that alone; any other,
		// by those of this server.
		if own, err := d.credential.SelfTrust(); err == nil {
			c.Trust = own
		}
	}
	if d.auth == 'S' {
		c.ExpectIdentity = d.subject
		if c.Credential == nil {
			c.Credential = s.credential
		}
	}
	if c.Credential == nil {
		return nil, errNoCredential
	}
	return c, nil
}

// A channel is the data channel of one transfer, and how its connections are
// to be made.
type channel struct {
	set      *data.Set
	config   data.Config
	receives bool
}

func (s *session) channel(sending bool) (channel, error) {
	set := s.data.set
	if set == nil || set.Closed() {
		return channel{}, &Error{Code: 425, Category: gridftp.CategoryDataChannel, Reason: "open the data channel",
			Detail: "there is none: send PASV or PORT first"}
	}
	if s.data.mode == gridftp.ExtendedBlock && sending == set.Passive() {
		return channel{}, &Error{Code: 425, Category: gridftp.CategoryDataChannel, Reason: "open the data channel", Detail: data.ErrDirection.Error()}
	}
	security, err := s.security()
	if err != nil {
		return channel{}, err
	}
	limits := &s.config.Limits
	return channel{set: set, receives: !sending, config: data.Config{
		Security: security, Buffer: s.data.buffer, MaxConns: limits.DataConns,
		Connect: limits.Connect, Stall: limits.Stall,
	}}, nil
}

// transferError makes an Error of what ended a transfer.
func transferError(err error) error {
	var told *Error
	var connect *data.ConnectError
	var sink *data.SinkError
	var source *data.SourceError
	switch {
	case errors.As(err, &told):
		return err
	case errors.Is(err, errAborted), errors.Is(err, errGone), errors.Is(err, errShutdown):
		return &Error{Code: 426, Category: gridftp.CategoryDataChannel, Reason: "transfer", Detail: "Command Aborted: " + err.Error()}
	case errors.Is(err, data.ErrTruncatedFile):
		return &Error{Code: 451, Reason: "read", Detail: err.Error()}
	case errors.As(err, &sink), errors.As(err, &source):
		return err // a fault of the files that has no words for the client
	case errors.As(err, &connect):
		return &Error{Code: 425, Category: gridftp.CategoryDataChannel, Reason: "open the data channel", Detail: err.Error()}
	}
	return &Error{Code: 426, Category: gridftp.CategoryDataChannel, Reason: "transfer", Detail: err.Error()}
}
