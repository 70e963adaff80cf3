package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/gridftpd"
	"github.com/gridferry/gridferry/gateway/myproxyd"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/myproxy"
	"github.com/gridferry/gridferry/workers"
)

func myproxyCommand(from *source) *cobra.Command {
	more := map[string]string{"roles": string(config.RoleMyProxy)}
	c := &cobra.Command{
		Use:   "myproxy",
		Short: "Issue certificates to users who log on, as a MyProxy server",
		Long: `Runs an online certificate authority that speaks MyProxy's protocol: who logs on
with a user name and a pass phrase, or an OpenID Connect token in its place, gets
a certificate of some hours. myproxy-logon is a client of it, and so is
"gridferry endpoint activate". It stores nothing for anybody.

Pass phrases are verified by a command, which gets the pass phrase as a line of
its standard input and the user's name in GRIDFERRY_USER, and exits with 0 when
it is right, 1 when it is wrong, and anything else when it cannot tell. For PAM,
with Debian's pamtester and a file /etc/pam.d/gridferry:

  myproxy:
    command: [/bin/sh, -c, 'exec pamtester gridferry "$GRIDFERRY_USER" authenticate acct_mgmt']

Every certificate is a line in the log, and so is every refusal.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return run(c.Context(), func() (*config.Config, error) { return from.load(more) }, false)
		},
	}
	for _, f := range []struct{ flag, key, usage string }{
		{"listen", "myproxy.listen", "`address` to listen on (default :7512)"},
		{"cert", "myproxy.cert", "host certificate, a PEM `file`"},
		{"key", "myproxy.key", "its key, a PEM `file`"},
		{"ca-cert", "myproxy.ca_cert", "certificate of the authority, a PEM `file`"},
		{"ca-key", "myproxy.ca_key", "its key, a PEM `file`"},
		{"subject", "myproxy.subject", "`name` that users get: /DC=org/DC=example/CN={user}"},
		{"max-lifetime", "myproxy.max_lifetime", "`duration` of certificates at most (default 12h)"},
		{"roots", "myproxy.roots", "`directory` of trusted authorities to hand out"},
		{"trust-dir", "trust_dir", "`directory` of the authorities that are believed"},
		{"oidc-issuer", "myproxy.oidc.issuer", "`URL` of the issuer whose tokens do for a pass phrase"},
		{"oidc-audience", "myproxy.oidc.audience", "`client` that tokens must be for"},
		{"oidc-claim", "myproxy.oidc.claim", "`claim` that must be the user's name (default preferred_username)"},
	} {
		c.Flags().Func(f.flag, f.usage, func(v string) error { more[f.key] = v; return nil })
	}
	return c
}

// startMyProxy serves until stop is called. What ends it before goes to failed.
// ends lists when what it depends on ends.
func startMyProxy(ctx context.Context, all *config.Config, logger *slog.Logger, failed chan<- error) (stop func(), ends func() []gsi.Expiry, err error) {
	c := all.MyProxy
	conf, err := authorityConfig(c, logger)
	if err != nil {
		return nil, nil, err
	}
	authority, err := myproxyd.New(conf)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Invalid, "start", "the certificate authority", err)
	}
	identity := gridftpd.Identity(gsi.NewCredentialFiles(c.Cert, c.Key), gsi.NewTrustDir(all.TrustDir, workers.TrustOptions(all.Trust)), logger)
	host, _, err := identity()
	if err != nil {
		return nil, nil, fault.Wrap(fault.Invalid, "start", "the MyProxy server", err)
	}
	config := myproxy.ServerConfig{Identity: identity, Authority: authority, Logger: logger}
	if c.Roots != "" {
		config.Roots = myproxyd.NewRootsDir(c.Roots).Files
	}
	s, err := myproxy.NewServer(config)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Internal, "start", "the MyProxy server", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Invalid, "listen for MyProxy on", c.Listen, err)
	}
	logger.Info("MyProxy server started", "address", l.Addr().String(), "host", host.Identity(), "subject", c.Subject, "max_lifetime", c.MaxLifetime.String())
	go func() {
		if err := s.Serve(l); !errors.Is(err, myproxy.ErrClosed) {
			failed <- fault.Wrap(fault.Internal, "serve", "MyProxy", err)
		}
	}()
	stop = func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionsDrain)
		defer cancel()
		if err := s.Shutdown(drain); err != nil {
			logger.Warn("MyProxy conversations were cut off", "error", err)
		}
	}
	return stop, func() []gsi.Expiry { return myproxyEnds(identity, conf.CA, filepath.Base(c.CACert)) }, nil
}

func authorityConfig(c config.MyProxy, logger *slog.Logger) (myproxyd.Config, error) {
	conf := myproxyd.Config{
		CA:          gsi.NewCredentialFiles(c.CACert, c.CAKey).Credential,
		MaxLifetime: time.Duration(c.MaxLifetime),
		Failures:    myproxyd.Failures{User: c.Failures.User, Address: c.Failures.Address, Window: time.Duration(c.Failures.Window)},
		Logger:      logger,
	}
	var err error
	if conf.Subject, err = myproxyd.ParseSubject(c.Subject); err != nil {
		return conf, fault.Wrap(fault.Invalid, "read", "myproxy.subject", err)
	}
	if len(c.Command) > 0 {
		conf.Passphrases = myproxyd.Command{Args: c.Command}
	}
	if c.OIDC.Issuer != "" {
		conf.Tokens = myproxyd.NewTokens(c.OIDC.Issuer, c.OIDC.Audience, c.OIDC.Claim)
	}
	return conf, nil
}

// myproxyEnds lists the ends of what is in force for logons. What cannot be
// read is left out: who logs on is told, and so is the log.
func myproxyEnds(identity func() (*gsi.Credential, *gsi.Trust, error), authority func() (*gsi.Credential, error), file string) []gsi.Expiry {
	var ends []gsi.Expiry
	if host, trust, err := identity(); err == nil {
		ends = append(trust.Expiries(), host.HostExpiry())
	}
	if ca, err := authority(); err == nil {
		ends = append(ends, gsi.Expiry{Kind: gsi.ExpiryAuthority, Name: gsi.DN(ca.Chain[0].RawSubject), File: file, Ends: ca.NotAfter()})
	}
	return ends
}
