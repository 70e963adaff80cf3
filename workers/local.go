package workers

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/mover"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// LocalConfig is what a worker inside a command is made of.
type LocalConfig struct {
	Client  client.Client
	Service mover.Sender    // the daemon: leases, blobs, endpoints by name, activated credentials
	Task    transfer.TaskID // the one whose activities are run
	Site    string          // what this host's files are called in that task: file://SITE
	Log     *slog.Logger    // nil is none
}

// Local is a worker inside a command. It runs as the user who typed it and
// reaches what he reaches, all of this host's file system and the credentials
// of his own environment, for one task and for nobody else.
type Local struct {
	*Process
	opener *Opener
}

// StartLocal starts a worker for one task, which need not have been submitted
// yet. It fails when the service cannot be reached.
func StartLocal(ctx context.Context, c LocalConfig) (*Local, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	service := mover.NewClient(c.Service, c.Task)
	if _, err := service.ID(ctx); err != nil {
		return nil, err
	}
	conf := &config.Config{Site: c.Site, TrustDir: gsi.DefaultTrustDir()}
	opener, err := NewOpener(conf, c.Log)
	if err != nil {
		return nil, err
	}
	// The kernel says what else is not the user's to reach.
	conf.Roots = map[string][]string{opener.account: {"/"}}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	p, err := Start(ctx, Config{
		Client: c.Client, Blobs: service, Leases: service, Rations: service, Conditions: service,
		Endpoints: &localOpener{NewRemoteOpener(opener, service)},
		Identity:  fmt.Sprintf("%s@%s:%d", opener.account, host, os.Getpid()),
		Site:      c.Site, Only: c.Task, Log: c.Log,
	}, Site)
	if err != nil {
		opener.Close()
		return nil, err
	}
	return &Local{p, opener}, nil
}

// Stop lets copies stop at their ledgers, and ends the worker and its sessions.
func (l *Local) Stop() {
	l.Process.Stop()
	l.opener.Close()
}

// localOpener opens what the command's user may reach.
type localOpener struct{ *RemoteOpener }

// Resolve implements endpoints.Opener.
func (o *localOpener) Resolve(ctx context.Context, endpoint string) (endpoints.Record, error) {
	rec, err := o.RemoteOpener.Resolve(ctx, endpoint)
	if err == nil && rec.Kind == KindPosix && rec.Root == "" {
		if home, homeErr := os.UserHomeDir(); homeErr == nil {
			rec.Directory = home // what /~/ means
		}
	}
	return rec, err
}

// alone refuses the activities of all tasks but one. Whoever may write to the
// namespace could put others on this worker's queue, which would run them as
// its user.
type alone struct {
	interceptor.WorkerInterceptorBase
	task transfer.TaskID
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (a *alone) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &aloneInbound{task: a.task}
	in.Next = next
	return in
}

type aloneInbound struct {
	interceptor.ActivityInboundInterceptorBase
	task transfer.TaskID
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (a *aloneInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	if activity.GetInfo(ctx).WorkflowExecution.ID != string(a.task) {
		return nil, temporal.NewNonRetryableApplicationError("this worker serves task "+string(a.task)+" alone", string(fault.Permission), nil)
	}
	return a.Next.ExecuteActivity(ctx, in)
}
