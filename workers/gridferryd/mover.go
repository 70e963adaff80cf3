package main

import (
	"context"
	"log/slog"
	"slices"

	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/gateway/mover"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/workers"
)

// mountMovers lets workers without a store in: those of users of this site,
// and of the hosts that the configuration lists.
func mountMovers(door *api.Server, c config.API, s *state, opener *workers.Opener, tc client.Client, logger *slog.Logger) {
	door.Handle(mover.Prefix, mover.NewHandler(mover.Config{
		Blobs: s.blobs, Leases: s.kept, Pairs: s.kept, Vault: s.sealed, Endpoints: opener, Tasks: workers.NewTasks(tc),
		Conditions: s.kept, Rations: s.kept,
		Mover: func(dn string) bool {
			return slices.ContainsFunc(c.Movers, func(m string) bool { return gsi.SameDN(m, dn) })
		},
		Logger: logger,
	}))
}

// useService makes of a daemon's workers those of a host without a store, which
// gets leases, blobs and credentials from the service. Stop ends what was begun.
func useService(ctx context.Context, conf *workers.Config, c config.Service, opener *workers.Opener) (stop func(), err error) {
	service, err := api.NewClient(c.URL, api.ClientConfig{Credential: gsi.NewCredentialFiles(c.Cert, c.Key).Credential, Trust: opener.Trust})
	if err != nil {
		return nil, err
	}
	worker := mover.NewClient(service, "")
	if _, err := worker.ID(ctx); err != nil {
		service.Close()
		return nil, err
	}
	conf.Rations, conf.Conditions = worker, worker
	conf.Blobs, conf.Leases, conf.Pairs, conf.Endpoints = worker, worker, worker, workers.NewRemoteOpener(opener, worker)
	return service.Close, nil
}
