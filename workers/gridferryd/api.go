package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/service/credentials"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/workers"
	"github.com/gridferry/gridferry/workflows"
)

// requestsDrain is how long requests may go on after the daemon was told to
// stop.
const requestsDrain = 5 * time.Second

// startAPI serves until stop is called. What ends it before goes to failed.
func startAPI(ctx context.Context, c config.API, s *state, opener *workers.Opener, tc client.Client, logger *slog.Logger, failed chan<- error) (stop func(), err error) {
	conf, err := apiConfig(c, opener, logger)
	if err != nil {
		return nil, err
	}
	door := api.New(conf)
	door.MountCredentials(credentials.New(credentials.Config{
		Vault: s.sealed, Identities: s.kept, Waiters: s.kept, Releaser: releaser{tc}, Resolver: opener,
		Trust: opener.Trust, Sessions: opener, Logger: logger,
	}))
	door.MountMaintenance(workers.NewMaintenance(s.kept, opener), api.Operators(c.Operators, opener.Account()))
	mountMovers(door, c, s, opener, tc, logger)
	if err := door.Start(ctx); err != nil {
		return nil, err
	}
	go func() {
		select {
		case err := <-door.Failed():
			failed <- err
		case <-ctx.Done():
		}
	}()
	return func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestsDrain)
		defer cancel()
		if err := door.Close(drain); err != nil {
			logger.Warn("the API was not closed in peace", "error", err)
		}
	}, nil
}

func apiConfig(c config.API, opener *workers.Opener, logger *slog.Logger) (api.Config, error) {
	conf := api.Config{Socket: c.Socket, Listen: c.Listen, Trust: opener.Trust, Logger: logger}
	if c.Listen != "" {
		conf.Host = gsi.NewCredentialFiles(c.Cert, c.Key).Credential
	}
	if c.Gridmap == "" {
		return conf, nil
	}
	users, err := server.LoadGridmap(c.Gridmap)
	if err != nil {
		return conf, fault.Wrap(fault.Invalid, "read", "api.gridmap", err)
	}
	conf.User = func(dn string) (string, error) {
		found, err := users.Users(dn)
		if err != nil || len(found) == 0 {
			return "", err
		}
		return found[0], nil
	}
	return conf, nil
}

// releaser tells tasks through Temporal, by the ids of their workflows.
type releaser struct{ client client.Client }

// Release implements credentials.Releaser.
func (r releaser) Release(ctx context.Context, task transfer.TaskID) error {
	err := r.client.SignalWorkflow(ctx, string(task), "", workflows.TellCredentialRenewed, nil)
	if errors.As(err, new(*serviceerror.NotFound)) {
		return fault.Wrap(fault.NotFound, "tell", "task "+string(task), err)
	}
	return fault.Wrap(fault.Transient, "tell", "task "+string(task), err)
}
