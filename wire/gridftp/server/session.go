package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// A session is one control connection. Its fields belong to the goroutine that
// carries out its commands, but for those that say otherwise.
type session struct {
	server  *Server
	config  *Config
	id      uint64
	log     *slog.Logger
	control *control // any goroutine
	client  netip.AddrPort
	local   netip.Addr // where the client reached us: data channels start and listen there

	ctx      context.Context // ends with the session, or when the client is gone
	cancel   context.CancelCauseFunc
	requests chan request
	queued   atomic.Int64 // bytes of the arguments in requests

	credential *gsi.Credential // of this server, in force since AUTH
	trust      *gsi.Trust      // and whom it believes
	gss        *gsi.Session    // nil without GSI
	login      login

	handshaking bool // after AUTH, before ADAT
	refusals    int  // of USER and PASS
	cwd         string
	ready       bool // logged in

	data     dataState
	facts    facts
	rename   string           // RNFR's path
	symlink  string           // SITE SYMLINKFROM's target; empty is none
	have     gridftp.RangeSet // REST, for the next transfer
	allocate int64            // ALLO, for the next transfer; -1 is none
	leaving  bool             // QUIT was said, or nothing more can be

	mu       sync.Mutex
	transfer context.CancelCauseFunc // of the transfer under way, for ABOR; else nil
	aborting int                     // ABORs that were read and not yet carried out
}

// login is who the client is and may do.
type login struct {
	user      string // as logged in
	identity  string // DN; empty without GSI
	anonymous bool
	wanted    string // USER's argument, before PASS
}

var (
	errGone    = errors.New("the client closed the control connection")
	errAborted = errors.New("the client aborted it")
)

func newSession(s *Server, conn net.Conn) *session {
	ctx, cancel := context.WithCancelCause(context.Background())
	session := &session{
		server: s, config: &s.config, id: s.ids.Add(1),
		credential: s.config.Credential, trust: s.config.Trust,
		control:  newControl(conn, s.config.Limits.Write),
		ctx:      ctx,
		cancel:   cancel,
		requests: make(chan request, s.config.Limits.Pipeline),
		cwd:      s.config.Home,
		data:     newDataState(),
		facts:    allFacts(),
		allocate: -1,
	}
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		session.client = unmapped(addr.AddrPort())
	}
	if addr, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		session.local = unmapped(addr.AddrPort()).Addr()
	}
	session.log = s.config.Logger.With("session", session.id, "client", session.client.String())
	return session
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (s *session) run() {
	started := time.Now()
	s.log.Info("session begins")
	defer func() {
		s.cancel(errGone)
		s.data.close()
		s.control.close()
		s.log.Info("session ends", "user", s.login.user, "seconds", time.Since(started).Seconds())
	}()
	if err := s.control.reply(gridftp.NewReply(220, s.config.Banner+" ready.")); err != nil {
		return
	}
	var reader sync.WaitGroup
	reader.Go(s.read)
	defer reader.Wait()
	defer func() { _ = s.control.conn.SetReadDeadline(time.Unix(1, 0)) }() // ends the reader
	preauth := time.NewTimer(s.config.Limits.PreAuth)
	defer preauth.Stop()
	idle := time.NewTimer(s.config.Limits.Idle)
	defer idle.Stop()
	for !s.leaving {
		// A timer of its own for the login would have to be stopped: this one
		// counts only until then.
		tooLate := preauth.C
		if s.ready {
			tooLate = nil
		}
		select {
		case <-s.server.draining:
			s.bye("The server is shutting down.")
			return
		default:
		}
		select {
		case req := <-s.requests:
			s.queued.Add(-int64(len(req.arg)))
			s.handle(req)
			idle.Reset(s.config.Limits.Idle)
		case <-idle.C:
			s.bye("Idle Timeout: closing control connection.")
			return
		case <-tooLate:
			s.bye("Nobody has logged in: closing control connection.")
			return
		case <-s.server.draining:
			s.bye("The server is shutting down.")
			return
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *session) bye(why string) {
	_ = s.control.reply(gridftp.NewReply(421, why)) // the session ends either way
	s.leaving = true
}

// read reads commands ahead of their being carried out. It is a goroutine of
// its own so that a client that goes away, or says ABOR, ends a transfer.
func (s *session) read() {
	for {
		limit := s.config.Limits.Line
		if s.control.session() != nil {
			limit *= 16 // a credential for DCSC, or the ranges of a REST
		}
		req, err := s.control.read(limit)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			s.cancel(errGone)
			return
		default:
			s.cancel(err)
			_ = s.control.reply(gridftp.NewReply(500, "Command line not understood: closing control connection."))
			return
		}
		if req.verb == "ABOR" {
			s.abort()
		}
		if !s.enqueue(req) {
			// As the Globus server does. The reply is out of turn, so no client
			// that gets there can still tell which reply is whose.
			_ = s.control.reply(gridftp.NewReply(500, "Pipeline queue full."))
			if req.verb == "ABOR" {
				s.aborted()
			}
		}
	}
}

// maxQueued bounds the memory of commands that wait, in bytes.
const maxQueued = 16 << 20

// enqueue reports whether there was room for a command.
func (s *session) enqueue(req request) bool {
	size := int64(len(req.arg))
	if s.queued.Add(size) <= maxQueued {
		select {
		case s.requests <- req:
			return true
		default:
		}
	}
	s.queued.Add(-size)
	return false
}

// abort ends the transfer under way. Those that wait behind it are refused, up
// to ABOR itself.
func (s *session) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborting++
	if s.transfer != nil {
		s.transfer(errAborted)
	}
}

// begin makes a transfer one that abort ends; end must be called after it.
func (s *session) begin() (ctx context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborting > 0 {
		return nil, nil, errAborted
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	s.transfer = cancel
	return ctx, func() {
		s.mu.Lock()
		s.transfer = nil
		s.mu.Unlock()
		cancel(nil)
	}, nil
}

// aborted takes back what abort said of what comes.
func (s *session) aborted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborting--
}

func abor(s *session, _ string) gridftp.Reply {
	s.aborted()
	return gridftp.NewReply(226, "Abort successful")
}

// handle carries out one command and replies.
func (s *session) handle(req request) {
	reply := s.dispatch(req)
	if reply.Code == 0 {
		return // the command has replied itself
	}
	s.log.Debug("command", "command", redact(req), "reply", reply.String())
	if err := s.control.reply(reply); err != nil {
		s.cancel(errGone)
	}
}

// redact renders a command for the log, without secrets.
func redact(req request) string {
	switch req.verb {
	case "PASS", "ACCT", "ADAT", "ENC", "MIC", "CONF", "DCSC":
		return req.verb + " ..."
	}
	return strings.TrimSpace(req.verb + " " + req.arg)
}

// A command is how a verb is carried out.
type command struct {
	run      func(s *session, arg string) gridftp.Reply
	early    bool // works before the login
	argument bool // needs an argument
	changes  bool // changes files: not for anonymous readers
}

func (s *session) dispatch(req request) gridftp.Reply {
	if s.gss != nil && req.bare {
		// The Globus server drops the connection without a word.
		s.leaving = true
		return gridftp.NewReply(533, "Commands must be protected after AUTH: closing control connection.")
	}
	cmd, known := s.server.commands[req.verb]
	if !known && s.ready {
		return gridftp.NewReply(500, "Command not supported.")
	}
	return s.carryOut(req.verb, req.arg, cmd)
}

// carryOut carries out a command that the session's state allows.
func (s *session) carryOut(verb, arg string, cmd command) gridftp.Reply {
	switch {
	case !s.ready && !cmd.early:
		return s.mustLogIn()
	case cmd.argument && arg == "":
		return gridftp.NewReply(501, "Syntax error in parameters or arguments.")
	case cmd.changes && (s.config.ReadOnly || s.login.anonymous && !s.config.AnonymousWrites):
		return s.forbid(verb)
	}
	return cmd.run(s, arg)
}

// forbid refuses a command that would change something.
func (s *session) forbid(verb string) gridftp.Reply {
	who := "this server"
	if !s.config.ReadOnly {
		who = "an anonymous session"
	}
	s.distrust()
	return s.refuse(&Error{Category: gridftp.CategoryPermissionDenied, Reason: verb, Detail: who + " is for reading only"})
}

func (s *session) mustLogIn() gridftp.Reply {
	if s.config.Credential != nil && s.gss == nil && !s.config.Anonymous && s.config.Password == nil {
		return gridftp.NewReply(530, "Must perform GSSAPI authentication.")
	}
	return gridftp.NewReply(530, "Please login with USER and PASS.")
}

// path makes a command's argument a path of the FileSystem's.
func (s *session) path(arg string) (string, error) {
	home := s.config.Home
	for _, tilde := range []string{"/~", "~"} {
		if rest, ok := strings.CutPrefix(arg, tilde); ok && (rest == "" || rest[0] == '/') {
			return cleanPath("/", home+"/"+rest)
		}
	}
	return cleanPath(s.cwd, arg)
}

// cleanPath resolves a path against a directory. ".." is resolved in the text,
// before any file is looked at, and never leads above "/".
func cleanPath(cwd, arg string) (string, error) {
	if arg == "" || strings.ContainsAny(arg, "\x00\r\n") {
		return "", &Error{Code: 501, Reason: "read the path", Detail: fmt.Sprintf("%q is not a path", arg)}
	}
	if !strings.HasPrefix(arg, "/") {
		arg = cwd + "/" + arg
	}
	return path.Clean(arg), nil
}

// refuse makes a reply of an error; what is not meant for the client is
// logged, and hidden.
func (s *session) refuse(err error) gridftp.Reply {
	var told *Error
	if errors.As(err, &told) {
		return told.reply()
	}
	if errors.Is(err, context.Canceled) {
		return gridftp.NewReply(426, "Command Aborted.")
	}
	s.log.Error("internal error", "error", err)
	return (&Error{Code: 451, Category: gridftp.CategoryInternal, Detail: "internal error, see the server's log"}).reply()
}

// await returns the next command of a handshake.
func (s *session) await() (request, error) {
	timer := time.NewTimer(s.config.Limits.PreAuth)
	defer timer.Stop()
	select {
	case req := <-s.requests:
		s.queued.Add(-int64(len(req.arg)))
		return req, nil
	case <-timer.C:
		return request{}, errors.New("the client said nothing more")
	case <-s.ctx.Done():
		return request{}, context.Cause(s.ctx)
	}
}
