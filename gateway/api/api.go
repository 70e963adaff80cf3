// Package api is the door for programs of our own: HTTP with JSON, on a Unix
// socket, where the kernel says who is there, and on mutual TLS, where a
// certificate does. It holds the server and the client of that protocol, and
// what both carry: credentials and identities. Others mount handlers of their
// own, and find the Peer in the context.
//
// A door translates and never decides: what a peer gets is decided by whatever
// stands behind it, and the door sees to it that nobody speaks for another.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Config is what a server is made of. Without Socket and Listen it serves
// nobody.
type Config struct {
	// Socket is the path of the Unix socket, which every user of the host may
	// connect to: who that is, the kernel says. Empty is none. One that
	// another process serves is taken over when that process is gone.
	Socket string

	// Listen is the address for mutual TLS; empty is none. The rest is wanted
	// with it.
	Listen string
	// Host is the credential shown to clients; it is asked at each handshake.
	Host func() (*gsi.Credential, error)
	// Trust judges the clients; it is asked at each request, so that a
	// connection does not outlive a certificate, or the belief in it.
	Trust func() (*gsi.Trust, error)
	// User maps the DN of a client to a user, or to nobody: the empty name.
	// Such a client is a Peer without a User. Nil maps nobody.
	User func(dn string) (user string, err error)

	Logger *slog.Logger // nil is none
}

// The time and size that one request may take. A handler that needs more time
// for a body sets its deadlines with http.ResponseController.
const (
	headerTime  = 10 * time.Second
	requestTime = 2 * time.Minute // a MyProxy server may be asked meanwhile
	idleTime    = 2 * time.Minute
	maxHeader   = 64 << 10
)

// Server serves the routes that were mounted on it.
type Server struct {
	config Config
	mux    *http.ServeMux
	http   *http.Server
	failed chan error

	stop     context.CancelFunc
	starting sync.WaitGroup

	mu   sync.Mutex
	tls  net.Listener
	lock *socketLock
}

// New returns a server without routes.
func New(c Config) *Server {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, mux: http.NewServeMux(), failed: make(chan error, 2), stop: func() {}}
	s.http = &http.Server{
		Handler:           s.authenticate(s.mux),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       connected,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	s.Route("/", func(r *http.Request) (any, error) {
		return nil, fault.New(fault.NotFound, "ask for", r.URL.Path, "this service has nothing there: is it older than the command?")
	})
	return s
}

// Handle mounts a handler under a pattern of http.ServeMux, before Start. Its
// requests have a Peer in their context; body and reply are its own business.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Route mounts a function whose answer, or error, becomes the reply in JSON.
// An answer of nil is a reply without a body.
func (s *Server) Route(pattern string, do func(r *http.Request) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		answer, err := do(r)
		if err != nil {
			if fault.Is(err, fault.Internal) {
				s.config.Logger.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			WriteError(w, err)
			return
		}
		WriteJSON(w, answer)
	})
}

// Start listens, and serves until Close. When another process has the socket,
// it waits for it in the background.
func (s *Server) Start(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if s.config.Listen != "" {
		if err := s.startTLS(ctx); err != nil {
			return err
		}
	}
	if s.config.Socket == "" {
		return nil
	}
	lock, err := lockSocket(s.config.Socket)
	switch {
	case err == nil:
		return s.startSocket(ctx, lock)
	case !errors.Is(err, errSocketTaken):
		return fault.Wrap(fault.Permission, "make the socket", s.config.Socket, err)
	}
	s.config.Logger.Info("another process serves the socket; waiting for its end", "socket", s.config.Socket)
	s.starting.Go(func() {
		if err := s.takeOver(ctx); err != nil && ctx.Err() == nil {
			s.failed <- err
		}
	})
	return nil
}

// takeOverEvery is how often a socket that another process serves is tried.
const takeOverEvery = time.Second

func (s *Server) takeOver(ctx context.Context) error {
	tick := time.NewTicker(takeOverEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		lock, err := lockSocket(s.config.Socket)
		if errors.Is(err, errSocketTaken) {
			continue
		}
		if err != nil {
			return fault.Wrap(fault.Permission, "make the socket", s.config.Socket, err)
		}
		return s.startSocket(ctx, lock)
	}
}

func (s *Server) startSocket(ctx context.Context, lock *socketLock) error {
	l, err := listenSocket(ctx, s.config.Socket)
	if err != nil {
		lock.release()
		return fault.Wrap(fault.Permission, "listen on", s.config.Socket, err)
	}
	s.mu.Lock()
	s.lock = lock
	s.mu.Unlock()
	s.serve(l)
	return nil
}

func (s *Server) startTLS(ctx context.Context) error {
	if s.config.Host == nil || s.config.Trust == nil {
		return fault.New(fault.Invalid, "listen on", s.config.Listen, "it wants a host certificate and authorities to believe")
	}
	if _, err := s.config.Host(); err != nil {
		return fault.Wrap(fault.Invalid, "read", "the host certificate", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return fault.Wrap(fault.Invalid, "listen on", s.config.Listen, err)
	}
	s.mu.Lock()
	s.tls = l
	s.mu.Unlock()
	s.serve(tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := s.config.Host()
			if err != nil {
				s.config.Logger.Error("the host certificate cannot be used", "error", err)
				return nil, err
			}
			cert := c.TLSCertificate()
			return &cert, nil
		},
		// The handshake proves that the client has the key; whether its chain
		// is believed is judged at each request, where the refusal can be a
		// sentence instead of an alert.
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
	}))
	return nil
}

func (s *Server) serve(l net.Listener) {
	s.config.Logger.Info("serving", "network", l.Addr().Network(), "address", l.Addr().String())
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fault.Wrap(fault.Internal, "serve", l.Addr().String(), err)
		}
	}()
}

// Addr is where mutual TLS is listened for; nil when it is not.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tls == nil {
		return nil
	}
	return s.tls.Addr()
}

// Failed tells what ended a listener before Close.
func (s *Server) Failed() <-chan error { return s.failed }

// Close lets requests finish until ctx ends, and cuts the others off.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	s.starting.Wait()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), s.http.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock != nil {
		s.lock.release()
		s.lock = nil
	}
	return err
}
