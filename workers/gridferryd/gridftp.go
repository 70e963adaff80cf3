package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/gridftpd"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/workers"
)

func gridftpCommand(from *source) *cobra.Command {
	more := map[string]string{"roles": string(config.RoleGridFTP)}
	c := &cobra.Command{
		Use:   "gridftp",
		Short: "Serve GridFTP over a directory of this host",
		Long: `Serves a directory over GridFTP, with GSI when there is a host certificate. It
serves the user it runs as: a gridmap entry for another user is refused.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return run(c.Context(), func() (*config.Config, error) { return from.load(more) }, false)
		},
	}
	for _, f := range []struct{ flag, key, usage string }{
		{"listen", "gridftp.listen", "`address` to listen on (default :2811)"},
		{"root", "gridftp.root", "`directory` to serve; nothing outside is reachable"},
		{"cert", "gridftp.cert", "host certificate, a PEM `file`"},
		{"key", "gridftp.key", "its key, a PEM `file`"},
		{"gridmap", "gridftp.gridmap", "`file` that says who may log in"},
		{"trust-dir", "trust_dir", "`directory` of the authorities that are believed"},
		{"port-range", "gridftp.port_range", "`LOW,HIGH` of data channels (default $GLOBUS_TCP_PORT_RANGE)"},
		{"address", "gridftp.address", "`address` that others are told to connect to (default $GLOBUS_HOSTNAME)"},
	} {
		c.Flags().Func(f.flag, f.usage, func(v string) error { more[f.key] = v; return nil })
	}
	for _, f := range []struct{ flag, key, usage string }{
		{"anonymous", "gridftp.anonymous", "let anybody read, without GSI"},
		{"read-only", "gridftp.read_only", "let nobody write"},
		{"sync", "gridftp.sync", "have each stored file on the disk before the client is told so"},
	} {
		c.Flags().BoolFunc(f.flag, f.usage, func(v string) error {
			_, err := strconv.ParseBool(v)
			more[f.key] = v
			return err
		})
	}
	return c
}

// sessionsDrain is how long sessions may go on with what they are doing after
// the daemon was told to stop.
const sessionsDrain = 10 * time.Second

// startGridFTP serves until stop is called. What ends it before goes to failed.
// ends lists when what its logins depend on ends.
func startGridFTP(ctx context.Context, all *config.Config, logger *slog.Logger, failed chan<- error) (stop func(), ends func() []gsi.Expiry, err error) {
	c := all.GridFTP
	storage, err := posix.Open(posix.Options{Mounts: map[string]string{"/": c.Root}, NoSync: !c.Sync})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			storage.Close()
		}
	}()
	trust := gsi.NewTrustDir(all.TrustDir, workers.TrustOptions(all.Trust))
	conf, err := gridftpConfig(ctx, c, trust, logger)
	if err != nil {
		return nil, nil, err
	}
	s, err := gridftpd.New(ctx, storage, conf)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Invalid, "start", "the GridFTP server", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Invalid, "listen for GridFTP on", c.Listen, err)
	}
	logger.Info("GridFTP server started", "address", l.Addr().String(), "root", c.Root, "gsi", conf.Credential != nil, "anonymous", c.Anonymous, "sync", c.Sync)
	go func() {
		if err := s.Serve(l); !errors.Is(err, server.ErrClosed) {
			failed <- fault.Wrap(fault.Internal, "serve", "GridFTP", err)
		}
	}()
	stop = func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionsDrain)
		defer cancel()
		if err := s.Shutdown(drain); err != nil {
			logger.Warn("GridFTP sessions were cut off", "error", err)
			s.Close()
		}
		storage.Close()
	}
	return stop, func() []gsi.Expiry { return gridftpEnds(conf) }, nil
}

// gridftpEnds lists the ends of what is in force for logins.
func gridftpEnds(conf server.Config) []gsi.Expiry {
	if conf.Identity == nil {
		return nil
	}
	host, trust, err := conf.Identity()
	if err != nil {
		return nil // who logs in is told, and so is the log
	}
	return append(trust.Expiries(), host.HostExpiry())
}

func gridftpConfig(ctx context.Context, c config.GridFTP, trust *gsi.TrustDir, logger *slog.Logger) (server.Config, error) {
	conf := server.Config{
		Anonymous: c.Anonymous, ReadOnly: c.ReadOnly,
		Limits: server.Limits{Sessions: c.Sessions, Idle: time.Duration(c.Idle)},
		Banner: "gridferry GridFTP server " + version(), Logger: logger,
		Transferred: func(t server.Transfer) { logger.Info("transferred", "transfer", t) },
	}
	var err error
	if conf.Network, err = data.NetworkFromEnvironment(ctx); err != nil {
		return conf, fault.Wrap(fault.Invalid, "read", "the Globus variables", err)
	}
	if c.PortRange != "" {
		low, high, err := config.ParsePortRange(c.PortRange)
		if err != nil {
			return conf, fault.Wrap(fault.Invalid, "read", "gridftp.port_range", err)
		}
		conf.Network.ListenPorts = data.PortRange{Min: uint16(low), Max: uint16(high)}
	}
	if c.Address != "" {
		if conf.Network.External, err = lookUp(ctx, c.Address); err != nil {
			return conf, err
		}
	}
	if c.Cert == "" {
		if !c.Anonymous {
			return conf, &fault.Error{Kind: fault.Invalid, Op: "start", Path: "the GridFTP server", Err: errors.New("nobody could log in"),
				Hint: "give a host certificate and its key, or allow anonymous reading"}
		}
		return conf, nil
	}
	host := gsi.NewCredentialFiles(c.Cert, c.Key)
	if conf.Credential, err = host.Credential(); err != nil {
		return conf, fault.Wrap(fault.Invalid, "read", "the host certificate", err)
	}
	if conf.Trust, err = trust.Trust(); err != nil {
		return conf, fault.Wrap(fault.Invalid, "read", "trust_dir", err)
	}
	conf.Identity = gridftpd.Identity(host, trust, logger)
	if c.Gridmap == "" {
		if c.Anonymous {
			return conf, nil
		}
		return conf, fault.New(fault.Invalid, "start", "the GridFTP server", "a gridmap has to say who may log in")
	}
	if conf.Gridmap, err = server.LoadGridmap(c.Gridmap); err != nil {
		return conf, fault.Wrap(fault.Invalid, "read", "the gridmap", err)
	}
	return conf, nil
}

// lookUp returns the address that a name or a number stands for.
func lookUp(ctx context.Context, host string) (netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fault.Wrap(fault.Invalid, "look up", "gridftp.address", err)
	}
	if len(addrs) == 0 {
		return netip.Addr{}, fault.New(fault.Invalid, "look up", "gridftp.address", fmt.Sprintf("%s has no address", host))
	}
	return addrs[0].Unmap(), nil
}
