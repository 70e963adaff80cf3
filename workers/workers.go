// Package workers runs gridferry's workers: the ones that tell the stories of
// tasks, and the ones that move the data. It is where the providers meet the
// activities that only know interfaces; the program around it is
// workers/gridferryd, and a test or an embedding program may be another.
package workers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// A Role is a task queue to serve.
type Role string

// The roles. A process may have several.
const (
	Control Role = "control" // workflows, records and mail
	Data    Role = "data"    // endpoints that need nothing but a network
	Site    Role = "site"    // endpoints bound to this host
)

// Config is what the roles need. What a role does not need may be nil.
type Config struct {
	Client client.Client

	Blobs        blob.Store              // all roles
	Endpoints    endpoints.Opener        // data and site
	Leases       activities.Leases       // data and site
	Capabilities activities.Capabilities // data and site; nil: each task finds out for itself
	Pairs        activities.Pairs        // data and site; nil: no task starts from what another has found
	Rations      endpoints.Rations       // data and site; nil: no limits of endpoints on sessions, logins and bytes
	Conditions   endpoints.Conditions    // data and site; nil: nothing is drained, and nobody hears what servers others find down
	Records      activities.Records      // control
	Notifier     activities.Notifier     // control; nil: nobody is told
	Waiters      activities.Waiters      // control; nil: tasks that wait for a credential look by trying

	Identity string // of this process, for leases and logs; unique
	Site     string // this host's name among sites

	// Only, when not empty, is the id of the one task whose activities are run.
	// It is for a worker with more rights than its queue asks for.
	Only transfer.TaskID

	// Copies is how many chunks are copied at once, for each of the data roles,
	// and Steps how many other activities beside them; 0 is 16 and 4. Control is
	// how many activities of that role run at once; 0 leaves it to the SDK.
	Copies, Steps, Control int

	// Fair says that the server shares a queue out among owners
	// (matching.enableFairness). Without it there is a warning: owners are kept
	// to their part of each worker, but not to their turn in its queue.
	Fair bool

	// Deadline is that of tasks that name none; 0 is transfer.DefaultDeadline.
	Deadline time.Duration

	// Drain bounds how long a stopping worker waits for its activities; 0 is
	// 60 s. A copy stops at its ledger within seconds.
	Drain time.Duration

	// Sweep is how often tasks without a workflow and blobs past their time
	// are looked for; 0 is 15 minutes, negative never. Keep is how long what
	// ended tasks left is kept where Retention is zero; 0 is 30 days.
	Sweep, Keep time.Duration
	Retention   activities.Retention

	// Deployment and Build turn Worker Deployment versioning on, with workflows
	// that move to a newer build on their own: pinned ones would strand old
	// workers for as long as a transfer lasts.
	Deployment, Build string

	Metrics prometheus.Registerer // nil: none are shown

	Log *slog.Logger // nil: slog.Default()
}

func (c Config) withDefaults() Config {
	if c.Copies == 0 {
		c.Copies = 16
	}
	if c.Steps == 0 {
		c.Steps = 4
	}
	if c.Drain == 0 {
		c.Drain = time.Minute
	}
	if c.Sweep == 0 {
		c.Sweep = 15 * time.Minute
	}
	if c.Keep == 0 {
		c.Keep = transfer.KeepLedgers
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// check says what is missing for a role.
func (c Config) check(roles []Role) error {
	if len(roles) == 0 {
		return fault.New(fault.Invalid, "start", "role", "no role was given: control, data or site")
	}
	for _, r := range roles {
		var missing []string
		need := func(what string, there bool) {
			if !there {
				missing = append(missing, what)
			}
		}
		need("a Temporal client", c.Client != nil)
		need("a blob store", c.Blobs != nil)
		switch r {
		case Control:
			need("records", c.Records != nil)
		case Data, Site:
			need("endpoints", c.Endpoints != nil)
			need("leases", c.Leases != nil)
			need("an identity", c.Identity != "")
			need("the name of its site", r != Site || c.Site != "")
		default:
			return fault.New(fault.Invalid, "start", "role", fmt.Sprintf("%q is none: control, data or site", r))
		}
		if len(missing) > 0 {
			return fault.New(fault.Invalid, "start", "role "+string(r), "it lacks "+strings.Join(missing, ", "))
		}
	}
	return nil
}

// Run serves the roles until ctx ends, and then lets what is under way stop at
// a safe point. It returns an error when a worker could not start or has had
// to give up.
func Run(ctx context.Context, c Config, roles ...Role) error {
	p, err := Start(ctx, c, roles...)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		p.Stop()
		return nil
	case err := <-p.failed:
		p.Stop()
		return err
	}
}

// Process is workers at work.
type Process struct {
	log      *slog.Logger
	workers  []worker.Worker // those of data first
	stopping chan struct{}
	once     sync.Once
	failed   chan error
}

// Start starts the workers of the roles and returns.
func Start(ctx context.Context, c Config, roles ...Role) (*Process, error) {
	if err := c.check(roles); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	roles = slices.Clone(roles)
	slices.Sort(roles) // control first: it is stopped last
	roles = slices.Compact(roles)

	p := &Process{log: c.Log, stopping: make(chan struct{}), failed: make(chan error, len(roles))}
	data := &activities.Data{
		Endpoints: c.Endpoints, Blobs: c.Blobs, Leases: c.Leases, Capabilities: c.Capabilities, Rations: c.Rations, Pairs: c.Pairs,
		Identity: c.Identity, Site: c.Site, Stopping: p.stopping, Log: c.Log,
	}
	watch := p.share(c)
	for _, r := range roles {
		w, err := p.worker(c, r, data)
		if err == nil {
			err = w.Start()
		}
		if err != nil {
			p.Stop()
			return nil, fault.Wrap(fault.Transient, "start", "the worker of role "+string(r), err)
		}
		p.workers = slices.Insert(p.workers, 0, w)
		c.Log.Info("worker started", "role", r, "queue", queue(c, r), "identity", c.Identity)
	}
	watch()
	if slices.Contains(roles, Control) && c.Sweep > 0 {
		if err := service.EnsureSweep(ctx, c.Client, transfer.QueueControl, c.Sweep, c.Keep); err != nil {
			c.Log.Warn("nothing sweeps: the schedule could not be made", "error", err)
		}
	}
	return p, nil
}

func queue(c Config, r Role) string {
	switch r {
	case Control:
		return transfer.QueueControl
	case Site:
		return transfer.SiteQueue(c.Site)
	}
	return transfer.QueueData
}

func (p *Process) worker(c Config, r Role, data *activities.Data) (worker.Worker, error) {
	options := worker.Options{
		Identity:          c.Identity,
		WorkerStopTimeout: c.Drain,
		OnFatalError: func(err error) {
			select {
			case p.failed <- fault.Wrap(fault.Internal, "serve", "role "+string(r), err):
			default:
			}
		},
	}
	if c.Deployment != "" {
		options.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning:             true,
			Version:                   worker.WorkerDeploymentVersion{DeploymentName: c.Deployment, BuildID: c.Build},
			DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		}
	}
	if r == Control {
		options.MaxConcurrentActivityExecutionSize = c.Control
		w := worker.New(c.Client, queue(c, r), options)
		workflows.Register(w, workflows.Site{Deadline: c.Deadline})
		names := service.NewNamespace(c.Client, "")
		w.RegisterActivity(&activities.Control{
			Blobs: c.Blobs, Records: c.Records, Notifier: c.Notifier, Waiters: c.Waiters, Namespace: names, Executions: names,
			Retention: c.Retention,
		})
		return w, workflows.RegisterNexus(w)
	}
	options.DisableWorkflowWorker = true
	if c.Only != "" {
		options.Interceptors = append(options.Interceptors, &alone{task: c.Only})
	}
	options.MaxConcurrentActivityExecutionSize = c.Copies + c.Steps // one queue has one number
	if c.Only == "" {
		options.Interceptors = append(options.Interceptors, newShares(c.Copies))
	}
	if c.Only == "" && !c.Fair {
		c.Log.Warn("the server is not said to share queues out among owners, so only a part of this worker keeps them apart",
			"role", r, "copies", c.Copies, "hint", "switch matching.enableFairness on and set temporal.fairness")
	}
	// An eager activity goes past the queue, and so past the fairness among
	// owners.
	options.DisableEagerActivities = true
	// Live progress costs a write on the server for each heartbeat that is let
	// through.
	throttle := 2 * time.Second
	if c.Copies > 10 {
		throttle = 5 * time.Second
	}
	options.MaxHeartbeatThrottleInterval, options.DefaultHeartbeatThrottleInterval = throttle, throttle
	w := worker.New(c.Client, queue(c, r), options)
	w.RegisterActivity(data)
	return w, nil
}

// Failed tells when a worker had to give up.
func (p *Process) Failed() <-chan error { return p.failed }

// Stop lets copies stop at their ledgers, then the workers. It returns when
// they have, or when their time to drain is over.
func (p *Process) Stop() {
	p.once.Do(func() {
		// First, so that what is running ends with a result rather than by the
		// end of its context.
		close(p.stopping)
		p.log.Info("stopping: copies yield at their ledgers")
		for _, w := range p.workers {
			w.Stop()
		}
		p.log.Info("stopped")
	})
}
