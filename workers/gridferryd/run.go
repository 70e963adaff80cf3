package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/workers"
)

func runCommand(from *source) *cobra.Command {
	var roles []string
	var site string
	var adopt bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon until it is told to stop",
		Long: `Runs the roles that --role or the configuration names: control (workflows,
records), data (transfers between servers, relays), site (this host's files),
gridftp (a GridFTP server over them) and myproxy (certificates for users).

SIGTERM lets copies stop at a safe point first; another worker, or the next
start, goes on from there. SIGHUP reads the configuration again, without
touching transfers: endpoints, credentials, roots and the log's level. Of the
servers, only the log's level follows it; their certificates, authorities and
gridmaps are followed without.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			more := map[string]string{"roles": strings.Join(roles, ","), "site": site}
			return run(c.Context(), func() (*config.Config, error) { return from.load(more) }, adopt)
		},
	}
	c.Flags().BoolVar(&adopt, "adopt-store", false, "take over a store that belongs to another host, which is gone for good")
	c.Flags().StringSliceVar(&roles, "role", nil, "`role` to run: control, data, site, gridftp or myproxy; may be repeated")
	c.Flags().StringVar(&site, "site", "", "this host's `name` in file://NAME/path and task queues (default: the host name)")
	return c
}

func run(ctx context.Context, load func() (*config.Config, error), adopt bool) (err error) {
	c, err := load()
	if err != nil {
		return err
	}
	logger, level := newLogger(c.Log)
	if err := guardMemory(); err != nil {
		logger.Warn("core dumps of this process would hold its secrets", "error", err)
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	var roles []workers.Role
	for _, r := range c.Roles {
		switch r {
		case config.RoleControl:
			roles = append(roles, workers.Control)
		case config.RoleData:
			roles = append(roles, workers.Data)
		case config.RoleSite:
			roles = append(roles, workers.Site)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 2)
	reg := workers.NewRegistry(version())
	var ends []func() []gsi.Expiry
	if slices.Contains(c.Roles, config.RoleGridFTP) {
		stop, gridftpEnds, err := startGridFTP(ctx, c, logger, failed)
		if err != nil {
			return err
		}
		defer stop()
		ends = append(ends, gridftpEnds)
	}
	if slices.Contains(c.Roles, config.RoleMyProxy) {
		stop, myproxyEnds, err := startMyProxy(ctx, c, logger, failed)
		if err != nil {
			return err
		}
		defer stop()
		ends = append(ends, myproxyEnds)
	}
	if len(roles) == 0 {
		watchEnds(ctx, reg, logger, ends)
		if err := monitor(ctx, c, reg, nil, logger); err != nil {
			return err
		}
		return wait(ctx, failed, nil, reload, func() { takeAgain(load, nil, level, logger) })
	}

	tc, namespace, err := dial(ctx, c, logger, workers.NewMetricsHandler(reg))
	if err != nil {
		return err
	}
	defer tc.Close()
	logger.Info("connected", "namespace", namespace, "version", version())
	if err := monitor(ctx, c, reg, tc, logger); err != nil {
		return err
	}

	opener, err := workers.NewOpener(c, logger)
	if err != nil {
		return err
	}
	defer opener.Close()
	watchEnds(ctx, reg, logger, append(ends, opener.Expiries))
	conf := workers.Config{
		Client: tc, Endpoints: opener, Identity: identity(), Site: c.Site, Log: logger,
		Copies: c.Concurrency.Copies, Steps: c.Concurrency.Data, Control: c.Concurrency.Control, Deadline: time.Duration(c.Deadline),
		Fair: c.Temporal.Fairness, Metrics: reg, Retention: retention(c),
	}
	if c.Service.URL != "" {
		stop, err := useService(ctx, &conf, c.Service, opener)
		if err != nil {
			return err
		}
		defer stop()
	} else {
		state, err := openState(ctx, c, adopt, logger)
		if err != nil {
			return err
		}
		kept := state.kept
		defer kept.Close()
		go kept.KeepSwept(ctx, logger)
		opener.UseVault(state.sealed)
		conf.Blobs, conf.Records, conf.Leases, conf.Waiters, conf.Capabilities, conf.Pairs = state.blobs, kept, kept, kept, kept, kept
		conf.Rations, conf.Conditions = kept, kept
		if conf.Notifier, err = newNotifier(c, namespace, kept, logger); err != nil {
			return err
		}
		if slices.Contains(c.Roles, config.RoleControl) {
			stop, err := startAPI(ctx, c.API, state, opener, tc, logger, failed)
			if err != nil {
				return err
			}
			defer stop()
		}
	}
	p, err := workers.Start(ctx, conf, roles...)
	if err != nil {
		return err
	}
	defer p.Stop()

	return wait(ctx, failed, p.Failed(), reload, func() { takeAgain(load, opener.Reload, level, logger) })
}

// monitor serves health and metrics where the configuration says, until ctx
// ends. A nil client is a daemon without Temporal.
func monitor(ctx context.Context, c *config.Config, reg *prometheus.Registry, tc client.Client, logger *slog.Logger) error {
	for _, address := range slices.Compact([]string{c.Health.Listen, c.Metrics.Listen}) {
		if address == "" {
			continue
		}
		at, err := workers.Monitor(ctx, address, reg, tc, logger)
		if err != nil {
			return err
		}
		logger.Info("monitoring", "address", at.String())
	}
	return nil
}

// watchEnds shows and warns, until ctx ends, when certificates and revocation
// lists end.
func watchEnds(ctx context.Context, reg *prometheus.Registry, logger *slog.Logger, sources []func() []gsi.Expiry) {
	ends := workers.NewEnds(sources...)
	reg.MustRegister(ends)
	go ends.Watch(ctx, logger)
}

// wait waits for the end of a daemon, and meanwhile calls again for each signal
// to read the configuration again. A nil channel never fails.
func wait(ctx context.Context, servers, roles <-chan error, reload <-chan os.Signal, again func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-servers:
			return err
		case err := <-roles:
			return err
		case <-reload:
			again()
		}
	}
}

// takeAgain reads the configuration again; take, when not nil, is who follows
// more of it than the log's level.
func takeAgain(load func() (*config.Config, error), take func(*config.Config) error, level *slog.LevelVar, logger *slog.Logger) {
	c, err := load()
	if err == nil && take != nil {
		err = take(c)
	}
	if err != nil {
		logger.Error("the configuration was not taken; the one before stays", "error", err)
		return
	}
	setLevel(level, c.Log.Level)
	logger.Info("configuration read again")
}

// identity names this process in leases, logs and Temporal.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}
