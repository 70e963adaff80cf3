package api

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Peer is who asks, as the kernel or a certificate proved it.
type Peer struct {
	User  string // whose requests these are; empty when the DN is mapped to nobody
	DN    string // of the end-entity certificate; empty on the Unix socket
	Local bool   // on the Unix socket

	Chain []*x509.Certificate // as presented, leaf first; nil on the Unix socket
}

// Name is how logs and errors call the peer.
func (p Peer) Name() string {
	if p.User == "" {
		return p.DN
	}
	return p.User
}

// Owner is the user who owns what the peer asks for. Permission when the
// request names another, or the peer is mapped to nobody.
func (p Peer) Owner(named string) (string, error) {
	switch {
	case p.User == "":
		return "", &fault.Error{Kind: fault.Permission, Op: "find the user of", Path: p.DN, Err: errors.New("nobody is mapped to this certificate"),
			Hint: "an operator adds it to the gridmap under api.gridmap"}
	case named != "" && named != p.User:
		return "", fault.New(fault.Permission, "act for", named, "you are "+p.User+" here, and nobody acts for another")
	}
	return p.User, nil
}

type peerKey struct{}

// PeerOf returns the peer of the request that ctx belongs to, and false
// outside a request of a Server.
func PeerOf(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}

// WithPeer returns a context as a Server gives it to handlers, for their tests.
func WithPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

type connKey struct{}

// connected keeps the Unix connection for authenticate. A TLS connection has
// had no handshake yet, and is found in the request.
func connected(ctx context.Context, c net.Conn) context.Context {
	if u, ok := c.(*net.UnixConn); ok {
		return context.WithValue(ctx, connKey{}, u)
	}
	return ctx
}

// authenticate finds out who asks, or refuses the request.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := s.peer(r)
		if err != nil {
			s.config.Logger.Warn("a client was refused", "address", r.RemoteAddr, "error", err)
			WriteError(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(WithPeer(r.Context(), peer)))
	})
}

func (s *Server) peer(r *http.Request) (Peer, error) {
	if c, ok := r.Context().Value(connKey{}).(*net.UnixConn); ok {
		uid, err := peerUID(c)
		if err != nil {
			return Peer{}, fault.Wrap(fault.Internal, "find out", "who is at the socket", err)
		}
		return Peer{User: userName(uid), Local: true}, nil
	}
	if r.TLS == nil {
		return Peer{}, fault.New(fault.Internal, "find out", "who asks", "neither a socket nor TLS")
	}
	trust, err := s.config.Trust()
	if err != nil {
		return Peer{}, fault.Wrap(fault.Internal, "read", "the trusted authorities", err)
	}
	const op = "believe"
	p, err := trust.Verify(r.TLS.PeerCertificates, time.Now())
	if err != nil {
		return Peer{}, fault.Wrap(fault.Credential, op, "the client", err)
	}
	if p.Limited {
		return Peer{}, fault.New(fault.Credential, op, p.Identity, "a limited proxy does not suffice here")
	}
	peer := Peer{DN: p.Identity, Chain: p.Chain}
	if s.config.User != nil {
		if peer.User, err = s.config.User(p.Identity); err != nil {
			return Peer{}, fault.Wrap(fault.Internal, "find the user of", p.Identity, err)
		}
	}
	return peer, nil
}

// userName is the name of a user of this host, or the number of one without.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
