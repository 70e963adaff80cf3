package server

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// globusMapping is the user name of clients that leave it to the server.
const globusMapping = ":globus-mapping:"

func auth(s *session, mechanism string) gridftp.Reply {
	switch {
	case s.config.Credential == nil:
		return gridftp.NewReply(502, "This server has no host certificate: only plain FTP logins are possible.")
	case s.gss != nil || s.ready:
		return gridftp.NewReply(503, "The session is authenticated already.")
	case !strings.EqualFold(mechanism, "GSSAPI"):
		return gridftp.NewReply(504, "Unknown authentication type.")
	}
	if s.config.Identity != nil {
		var err error
		if s.credential, s.trust, err = s.config.Identity(); err != nil {
			s.log.Error("the host certificate or the trusted authorities cannot be read", "error", err)
			return gridftp.NewReply(431, "The server's certificate or its authorities cannot be read now, see its log.") // RFC 2228, 3
		}
	}
	s.login = login{}
	s.handshaking = true
	return gridftp.NewReply(334, "Using authentication type; ADAT must follow.")
}

// adat carries out a whole handshake, of which its argument is the first token.
func adat(s *session, arg string) gridftp.Reply {
	if !s.handshaking {
		return gridftp.NewReply(503, "Send AUTH first.")
	}
	s.handshaking = false
	gss, err := gsi.ServerHandshake(&tokens{session: s, next: arg}, gsi.ServerConfig{
		Credential: s.credential, Trust: s.trust,
		MinVersion: s.config.MinTLS, MaxVersion: s.config.MaxTLS,
	})
	if err != nil {
		// What was read as a token cannot be told from what was not.
		s.leaving = true
		s.log.Info("login refused", "error", err)
		var refused *gsi.TrustError
		if errors.As(err, &refused) {
			return gridftp.NewReply(535, refused.Error())
		}
		return gridftp.NewReply(535, "GSSAPI Authentication failed: "+err.Error())
	}
	s.gss = gss
	s.login.identity = gss.Peer().Identity
	s.log = s.log.With("identity", s.login.identity)
	logClaims(s, gss.Peer())
	if err := s.control.protect(gss, gridftp.NewReply(235, "GSSAPI Authentication successful.")); err != nil {
		s.cancel(errGone)
	}
	return gridftp.Reply{}
}

// authorities are those in force now. A session may outlive a revocation list
// that was good when it began.
func (s *session) authorities() *gsi.Trust {
	if s.config.Identity != nil {
		if _, trust, err := s.config.Identity(); err == nil {
			return trust
		}
	}
	return s.trust
}

// logClaims shows the VOMS attributes that the client came with. Nothing is
// decided by them: nobody has checked who issued them.
func logClaims(s *session, peer *gsi.Peer) {
	claims, err := peer.VOMS()
	if err != nil {
		s.log.Info("the client's VOMS attributes cannot be read", "error", err)
	}
	for _, v := range claims {
		s.log.Info("the client claims VOMS attributes, which are not verified", "organization", v.Organization, "fqans", v.FQANs,
			"issuer", v.Issuer, "until", v.NotAfter.UTC(), "foreign", v.Foreign)
	}
}

// tokens is the handshake's view of the control channel.
type tokens struct {
	session *session
	next    string // of an ADAT that was read already
}

func (t *tokens) WriteToken(token []byte) error {
	return t.session.control.reply(gridftp.NewReply(335, "ADAT="+base64.StdEncoding.EncodeToString(token)))
}

func (t *tokens) ReadToken() ([]byte, error) {
	arg := t.next
	t.next = ""
	if arg == "" {
		req, err := t.session.await()
		if err != nil {
			return nil, err
		}
		if req.verb != "ADAT" || req.arg == "" {
			return nil, fmt.Errorf("%.10q came where ADAT belongs", req.verb)
		}
		arg = req.arg
	}
	token, err := base64.StdEncoding.DecodeString(arg)
	if err != nil {
		return nil, errors.New("a token is not base64")
	}
	return token, nil
}

func user(s *session, name string) gridftp.Reply {
	if s.ready {
		return gridftp.NewReply(503, "You are already logged in.")
	}
	if s.gss == nil && !s.config.Anonymous && s.config.Password == nil {
		return s.mustLogIn()
	}
	s.login.wanted = name
	return gridftp.NewReply(331, "Password required for "+name+".")
}

func pass(s *session, password string) gridftp.Reply {
	if s.ready {
		return gridftp.NewReply(503, "You are already logged in.")
	}
	if s.login.wanted == "" {
		return gridftp.NewReply(503, "Login with USER first.")
	}
	user, err := s.admit(s.login.wanted, password)
	if err != nil {
		s.log.Info("login refused", "wanted", s.login.wanted, "error", err)
		s.login.wanted = ""
		if s.refusals++; s.refusals >= maxRefusals {
			s.leaving = true
		}
		return gridftp.NewReply(530, "Login incorrect. : "+err.Error())
	}
	s.login.user = user
	s.ready = true
	s.data.reset(s.gss != nil)
	s.log.Info("logged in", "user", user)
	return gridftp.NewReply(230, "User "+user+" logged in.")
}

// maxRefusals is how many wrong passwords a connection has.
const maxRefusals = 3

// admit says who a client is, by what this server's policies accept.
func (s *session) admit(wanted, password string) (user string, err error) {
	if s.gss != nil {
		return s.mapped(wanted)
	}
	if s.config.Anonymous && (wanted == "anonymous" || wanted == "ftp") {
		s.login.anonymous = true
		return "anonymous", nil
	}
	if s.config.Password == nil || !s.config.Password(wanted, password) {
		return "", errors.New("no such user and password here")
	}
	return wanted, nil
}

// mapped finds the gridmap's user for the session's identity.
func (s *session) mapped(wanted string) (string, error) {
	users, err := s.config.Gridmap.Users(s.login.identity)
	if err != nil {
		s.log.Error("gridmap", "error", err)
		return "", errors.New("the gridmap cannot be read, see the server's log")
	}
	if len(users) == 0 {
		return "", fmt.Errorf("Gridmap lookup failure: no entry for %q", s.login.identity)
	}
	user := users[0]
	if wanted != globusMapping {
		if !slices.Contains(users, wanted) {
			return "", fmt.Errorf("the gridmap does not map %q to %q", s.login.identity, wanted)
		}
		user = wanted
	}
	if user != s.config.Account {
		return "", fmt.Errorf("the gridmap maps %q to the user %q, but this server runs as %q and serves that user only", s.login.identity, user, s.config.Account)
	}
	return user, nil
}
