package myproxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Login is what somebody who logs on has said.
type Login struct {
	User       string        // 1 to 8192 bytes of text
	Passphrase []byte        // gone when Admit returns
	Name       string        // of the credential that is asked for; empty most often
	Lifetime   time.Duration // 0 leaves it to the server
	From       netip.Addr
	Peer       *gsi.Peer // nil, unless the client showed a certificate
}

// An Authority decides who gets a certificate, and makes it. Its methods are
// called by several goroutines.
type Authority interface {
	// Admit judges a login, and returns what will issue the certificate: once,
	// soon, and only when the client has come up with a request. A *Refused is
	// told to the client; of any other error it hears only that there was one.
	Admit(ctx context.Context, l Login) (Issue, error)
}

// Issue makes the certificate for a request, which is signed by its own key but
// not otherwise checked. It returns the chain, leaf first, and errors as
// Authority.Admit does.
type Issue func(ctx context.Context, request *x509.CertificateRequest) ([]*x509.Certificate, error)

// Refused is an answer that the client may hear. The phrases that refusalIn
// knows reach our own client as their Refusal.
type Refused struct{ Words string }

// Error returns the words.
func (e *Refused) Error() string { return e.Words }

// The phrases of refusals that C clients and ours know.
const (
	WordsWrongPassphrase = "invalid pass phrase or unknown user: authentication failed"
	WordsUnsupported     = "command not supported by MyProxy CA"
	wordsInternal        = "the server cannot do this now; its operator finds the reason in its log"
)

// ServerConfig is what a server needs.
type ServerConfig struct {
	// Identity is asked at each connection for the host's credential, and for
	// the authorities that clients' certificates are judged by, of those that
	// show one. It must not take long.
	Identity  func() (*gsi.Credential, *gsi.Trust, error)
	Authority Authority
	Roots     func() ([]RootFile, error) // trust roots to hand out; nil hands out none

	// Connections at once; 0 means 100. More are closed unheard.
	Connections int
	// Step bounds each read and write, and Total a conversation, Admit and all;
	// 0 means 30 s and 2 minutes.
	Step, Total time.Duration
	Logger      *slog.Logger // nil is slog.Default()
}

// A Server serves GET and GET_TRUSTROOTS until Shutdown.
type Server struct {
	config ServerConfig
	places chan struct{}

	ctx    context.Context // of all conversations
	cancel context.CancelFunc

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]bool
	talks     sync.WaitGroup
}

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("myproxy server: closed")

// NewServer returns a server that does not listen yet.
func NewServer(config ServerConfig) (*Server, error) {
	if config.Identity == nil || config.Authority == nil {
		return nil, errors.New("myproxy server: it needs an identity and an authority")
	}
	if config.Connections == 0 {
		config.Connections = 100
	}
	if config.Step == 0 {
		config.Step = defaultLimit
	}
	if config.Total == 0 {
		config.Total = 2 * time.Minute
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	s := &Server{config: config, places: make(chan struct{}, config.Connections), listeners: make(map[net.Listener]bool)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Serve accepts connections from l, which it closes, until Shutdown; it then
// returns ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.listeners[l] = true
	s.mu.Unlock()
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.ctx.Err() != nil || s.isClosed() {
				return ErrClosed
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors, most often: that passes.
			s.config.Logger.Error("accept", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-s.ctx.Done():
				return ErrClosed
			}
		}
		s.start(conn)
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) start(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return
	}
	select {
	case s.places <- struct{}{}:
	default:
		s.config.Logger.Warn("too many connections: one was closed unheard", "address", conn.RemoteAddr().String())
		conn.Close()
		return
	}
	s.talks.Go(func() {
		defer func() { <-s.places }()
		defer conn.Close()
		s.talk(conn)
	})
}

// Shutdown accepts no more connections and waits for the conversations under
// way; when ctx ends before they do they are cut off, and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.talks.Wait(); close(done) }()
	defer s.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.cancel()
		<-done
		return context.Cause(ctx)
	}
}

// talk is one conversation.
func (s *Server) talk(conn net.Conn) {
	ctx, cancel := context.WithTimeout(s.ctx, s.config.Total)
	defer cancel()
	logger := s.config.Logger.With("address", conn.RemoteAddr().String())
	r := &records{conn: conn, limit: s.config.Step}
	stop := r.cutOff(ctx)
	err := s.answer(ctx, r, logger)
	if cause := stop(); cause != nil && err != nil {
		err = cause
	}
	if err != nil {
		// Port scans, health checks and clients that give up are daily life.
		logger.Info("MyProxy conversation ended early", "error", err)
	}
}

func (s *Server) answer(ctx context.Context, r *records, logger *slog.Logger) (err error) {
	host, trust, err := s.config.Identity()
	if err != nil {
		return err
	}
	r.session, err = gsi.ServerHandshake(r, gsi.ServerConfig{Credential: host, Trust: trust, Anonymous: true})
	if err != nil {
		var refused *gsi.TrustError
		if errors.As(err, &refused) {
			r.refusePlainly(refused.Error())
		}
		return fmt.Errorf("secure: %w", err)
	}
	text, err := r.record()
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	q, err := parseRequest(text)
	clear(text)
	if err != nil {
		return errors.Join(err, r.send(refusal("the request cannot be understood").encode(nil)))
	}
	defer clear(q.passphrase)
	defer clear(q.newPassphrase)
	switch q.command {
	case CommandGet:
		return s.logon(ctx, r, q, logger)
	case CommandTrustRoots:
		return r.send((&response{code: responseOK}).encode(s.roots(logger)))
	}
	logger.Info("MyProxy request refused", "command", q.command.String(), "user", q.user)
	return r.send(refusal(WordsUnsupported).encode(nil))
}

// logon admits, takes the request for a certificate and answers it.
func (s *Server) logon(ctx context.Context, r *records, q *request, logger *slog.Logger) error {
	if q.user == "" {
		return r.send(refusal("no user is named").encode(nil))
	}
	login := Login{User: q.user, Passphrase: q.passphrase, Name: q.name, Lifetime: q.lifetime, Peer: r.session.Peer()}
	if at, err := netip.ParseAddrPort(r.conn.RemoteAddr().String()); err == nil {
		login.From = at.Addr().Unmap()
	}
	issue, err := s.config.Authority.Admit(ctx, login)
	clear(q.passphrase)
	if err != nil {
		return r.send(s.refuse(err, q, logger).encode(nil))
	}
	var roots []RootFile
	if q.wantRoots {
		roots = s.roots(logger)
	}
	if err := r.send((&response{code: responseOK}).encode(roots)); err != nil {
		return err
	}
	der, err := r.record()
	if err != nil {
		return fmt.Errorf("read certificate request: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("read certificate request: %w", err), r.send(refusal("the certificate request is damaged, or not signed by its own key").encode(nil)))
	}
	chain, err := issue(ctx, csr)
	if err != nil {
		return r.send(s.refuse(err, q, logger).encode(nil))
	}
	raw := make([][]byte, len(chain))
	for i, cert := range chain {
		raw[i] = cert.Raw
	}
	message, err := encodeChain(raw)
	if err != nil {
		return r.send(s.refuse(err, q, logger).encode(nil))
	}
	if err := r.send(message); err != nil {
		return fmt.Errorf("send certificate: %w", err)
	}
	// The C client has all it wants, and may be gone.
	_ = r.send((&response{code: responseOK}).encode(nil))
	return nil
}

// refuse renders an Authority's error for the client, and logs what is none of
// the client's business.
func (s *Server) refuse(err error, q *request, logger *slog.Logger) *response {
	var refused *Refused
	if errors.As(err, &refused) {
		return refusal(refused.Words)
	}
	logger.Error("MyProxy request failed", "command", q.command.String(), "user", q.user, "error", err)
	return refusal(wordsInternal)
}

func refusal(words string) *response {
	return &response{code: responseError, errors: []string{words}}
}

// roots returns what is handed out. That there is nothing is no refusal: a
// client that asks for them while logging on can do without.
func (s *Server) roots(logger *slog.Logger) []RootFile {
	if s.config.Roots == nil {
		return nil
	}
	files, err := s.config.Roots()
	if err != nil {
		logger.Error("no trust roots are handed out", "error", err)
	}
	return files
}
