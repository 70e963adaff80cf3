package main

import (
	"context"
	"os"

	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
)

// local is a worker in this process, and what it was given.
type local struct {
	*workers.Local
	temporal client.Client
	service  *api.Client
}

// Stop implements starter.Local.
func (l local) Stop() {
	l.Local.Stop()
	l.service.Close()
	l.temporal.Close()
}

// serve starts a worker for one task. It gets leases and blobs from the daemon.
func serve(ctx context.Context, c starter.Connection, task transfer.TaskID, site string) (starter.Local, error) {
	service, err := door(c)
	if err != nil {
		return nil, err
	}
	tc, _, err := dial(ctx, c)
	if err != nil {
		return nil, err
	}
	l, err := workers.StartLocal(ctx, workers.LocalConfig{Client: tc, Service: service, Task: task, Site: site})
	if err != nil {
		tc.Close()
		return nil, err
	}
	return local{l, tc, service}, nil
}

// host is this host's name, as far as it knows.
func host() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
