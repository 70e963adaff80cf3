// Package activities is everything in a transfer that has an effect: walking,
// copying, verifying, deleting, recording. Each activity is a method that may
// be run again at any time, by another worker, after any part of it was done;
// it works against interfaces, and the programs in workers say what is behind
// them.
package activities

import (
	"log/slog"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
)

// Data holds the activities of the data queues: those that touch endpoints.
type Data struct {
	Endpoints endpoints.Opener
	Blobs     blob.Store
	Leases    Leases
	// Capabilities may be nil: each task finds out for itself.
	Capabilities Capabilities
	// Pairs may be nil: each task starts from what is known in general.
	Pairs Pairs
	// Rations may be nil: then no endpoint limits its bytes.
	Rations  endpoints.Rations
	Identity string          // of this worker process, for leases and logs
	Site     string          // the host whose bound endpoints this worker reaches; may be empty
	Stopping <-chan struct{} // closed when the worker drains: copies yield
	Log      *slog.Logger    // nil is the default logger

	paces  paces  // of endpoints with a limited rate
	blocks blocks // of what is relayed

	// What tests have smaller. Zero is the default.
	parts partSizes
	limit time.Duration // how long a lease is good without renewal
	quiet time.Duration // defaultQuiet
	life  lifeSpans

	crews crews
}

func (d *Data) logger() *slog.Logger {
	if d.Log != nil {
		return d.Log
	}
	return slog.Default()
}

// Control holds the activities of the control queue, which touch no endpoint.
type Control struct {
	Blobs      blob.Store
	Records    Records
	Notifier   Notifier        // nil: nobody is told
	Waiters    Waiters         // nil: nobody tells of new credentials; tasks look by trying
	Namespace  AttributeSource // nil: the namespace has none of our attributes
	Executions Executions      // nil: SweepTasks finds nothing
	Retention  Retention       // of what ended tasks leave; zero: as the schedule of sweeps says
}
