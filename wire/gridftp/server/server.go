package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
)

// Server serves until Shutdown or Close.
type Server struct {
	config   Config
	commands map[string]command
	site     map[string]command
	ids      atomic.Uint64

	draining chan struct{} // closed by Shutdown: sessions end after what they are doing

	mu        sync.Mutex
	listeners map[net.Listener]bool
	sessions  map[*session]bool
	drained   chan struct{} // closed when draining and the last session has ended
	shutting  bool
}

// ErrClosed is returned by Serve after Shutdown or Close.
var ErrClosed = errors.New("gridftp server: closed")

// New returns a server that does not listen yet.
func New(config Config) (*Server, error) {
	config, err := config.normalize()
	if err != nil {
		return nil, err
	}
	return &Server{
		config:    config,
		commands:  commands(),
		site:      siteCommands(),
		draining:  make(chan struct{}),
		drained:   make(chan struct{}),
		listeners: make(map[net.Listener]bool),
		sessions:  make(map[*session]bool),
	}, nil
}

// Serve accepts control connections from l, which it closes, until the server
// is shut down; it then returns ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.shutting {
		s.mu.Unlock()
		return ErrClosed
	}
	s.listeners[l] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	for {
		conn, err := l.Accept()
		if err != nil {
			select {
			case <-s.draining:
				return ErrClosed
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors, most often: that passes when sessions end.
			s.config.Logger.Error("accept", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-s.draining:
				return ErrClosed
			}
		}
		s.start(conn)
	}
}

func (s *Server) start(conn net.Conn) {
	s.mu.Lock()
	refusal := ""
	switch {
	case s.shutting:
		refusal = "The server is shutting down."
	case len(s.sessions) >= s.config.Limits.Sessions:
		refusal = "Too many connections: please try again later."
	}
	if refusal != "" {
		s.mu.Unlock()
		go func() {
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write(gridftp.NewReply(421, refusal).Append(nil))
			_ = conn.Close()
		}()
		return
	}
	session := newSession(s, conn)
	s.sessions[session] = true
	s.mu.Unlock()
	go func() {
		defer s.ended(session)
		session.run()
	}()
}

func (s *Server) ended(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
	s.checkDrained()
}

// checkDrained is called with the mutex held.
func (s *Server) checkDrained() {
	if !s.shutting || len(s.sessions) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// Shutdown accepts no more sessions, lets each finish the command it is
// carrying out, and returns when all have ended. When ctx ends before that, the
// rest is ended at once and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.shutting {
		s.shutting = true
		close(s.draining)
		for l := range s.listeners {
			_ = l.Close()
		}
	}
	s.checkDrained()
	s.mu.Unlock()
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for session := range s.sessions {
		session.cancel(errShutdown)
	}
	s.mu.Unlock()
	<-s.drained
	return context.Cause(ctx)
}

// Close ends everything at once.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(ctx) // its error is that it was cut short, as asked
	return nil
}

var errShutdown = errors.New("the server is shutting down")
