package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// CopyInput is one chunk to be moved.
type CopyInput struct {
	Task     transfer.TaskID `json:"task"`
	Ends     Ends            `json:"ends"`
	Probe    ProbeResult     `json:"probe"`
	Chunk    transfer.Chunk  `json:"chunk"`
	Options  CopyOptions     `json:"options"`
	Schedule int             `json:"schedule"` // how often the workflow has scheduled this chunk

	Stage bool `json:"stage,omitempty"` // whoever asks can deal with files that have to be staged

	// Upset, of a chunk that joins the ranges of a file: what one of them met
	// that is the whole file's. The file is not joined, but judged by it.
	Upset *FailedFile `json:"upset,omitempty"`
}

// CopyOptions is the part of a request that a copy obeys.
type CopyOptions struct {
	Verify       transfer.Verify    `json:"verify,omitempty"`
	PreserveTime bool               `json:"preserve_time,omitempty"`
	PreserveMode bool               `json:"preserve_mode,omitempty"`
	Encrypt      bool               `json:"encrypt,omitempty"`
	Atomic       bool               `json:"atomic,omitempty"`
	OnError      transfer.OnError   `json:"on_error,omitempty"`
	Route        transfer.RouteRule `json:"route,omitempty"` // how the bytes go, decided
}

// NewCopyOptions takes a request's part that copies obey.
func NewCopyOptions(r transfer.Request, route transfer.RouteRule) CopyOptions {
	return CopyOptions{
		Verify: r.Verify, PreserveTime: r.PreserveTime, PreserveMode: r.PreserveMode,
		Encrypt: r.Encrypt, Atomic: r.Atomic, OnError: r.OnError, Route: route,
	}
}

// CopyResult says how far a chunk got. It is a result, also when the copy
// yielded or could not even begin; an error only when there was no lease
// (Busy), when it was lost, or when gridferry's own store failed.
//
// When it is neither Complete, Blocked nor Yielded, Failed lists files that
// were tried alone and refused: to be tried again later, or given up.
type CopyResult struct {
	Complete     bool             `json:"complete"` // nothing is left to try
	Files        int64            `json:"files"`    // done and verified, of the whole chunk, all attempts; Skipped included
	Bytes        int64            `json:"bytes"`
	Skipped      int64            `json:"skipped,omitempty"`       // the checksums were equal: nothing was copied
	SkippedBytes int64            `json:"skipped_bytes,omitempty"` // their sizes, which Bytes does not include
	Unverified   int64            `json:"unverified,omitempty"`
	Checksummed  int64            `json:"checksummed,omitempty"` // bytes
	Failed       []FailedFile     `json:"failed,omitempty"`      // the first 25; all are in the results
	NFailed      int64            `json:"n_failed,omitempty"`
	Faults       []transfer.Fault `json:"faults,omitempty"` // grouped, at most 20
	NFaults      int64            `json:"n_faults,omitempty"`
	Blocked      *transfer.Fault  `json:"blocked,omitempty"`      // why the rest waits: credential, space, stalled, destination down
	BlockedData  bool             `json:"blocked_data,omitempty"` // Blocked is a data channel between the two servers that never opened: relay may help
	Late         bool             `json:"late,omitempty"`         // an attempt ended uncleanly: verify its window again at the end
	Tuning       transfer.Tuning  `json:"tuning"`                 // as adapted
	Adapted      []Adapted        `json:"adapted,omitempty"`      // what was changed on the way, at most 20
	// Servers of the ends that were left out on the way, or came back: at most 20.
	Servers []endpoints.ServerChange `json:"servers,omitempty"`
	Elapsed time.Duration            `json:"elapsed"`
	Yielded bool                     `json:"yielded,omitempty"`

	Offline *OfflineList `json:"offline,omitempty"` // files that it leaves, when Complete: they are to be staged

	// Of a range: what it met that is the whole file's. Copy the file's chunk
	// next, with it, and no range meanwhile.
	Upset *FailedFile `json:"upset,omitempty"`
	// Of a file in ranges: it was not joined, or could not be. Copy all ranges
	// of this generation of it, and then its chunk once more.
	Again *transfer.Ranged `json:"again,omitempty"`

	// The credentials that were used, where they are others than the probe's.
	SourceCredential      *Login `json:"source_credential,omitempty"`
	DestinationCredential *Login `json:"destination_credential,omitempty"`
}

// Adapted is a change of a chunk's tuning by the worker that moves it.
type Adapted struct {
	Time   time.Time `json:"time"`
	From   int       `json:"from"` // pairs of sessions
	To     int       `json:"to"`
	Reason string    `json:"reason"`
}

// FailedFile is a file that this copy gave up on.
type FailedFile struct {
	Path     string     `json:"path"`
	Kind     fault.Kind `json:"kind"`
	Message  string     `json:"message"`
	AtSource bool       `json:"at_source,omitempty"`
	Offline  bool       `json:"offline,omitempty"` // it has to be staged
}

// CopyProgress is the heartbeat of a copy: under 300 bytes.
type CopyProgress struct {
	Chunk string `json:"c"`
	Files int64  `json:"f"`
	Bytes int64  `json:"b"`           // done plus in flight
	Of    int64  `json:"n,omitempty"` // bytes of the file, of an express copy: the workflow hears of it at the end

	Sessions int `json:"cc,omitempty"` // pairs of them, at this moment
	Sockets  int `json:"p,omitempty"`  // for each file

	Fault string `json:"e,omitempty"`
}

const (
	// drainGrace is how long a copy that was told to stop waits for what is
	// under way before it closes its sessions.
	drainGrace = 5 * time.Second

	// lastWords is how long writing down where an activity stopped may take.
	lastWords = 15 * time.Second
)

// Copy moves the files of a chunk that its ledger does not show as done.
func (d *Data) Copy(ctx context.Context, in CopyInput) (CopyResult, error) {
	res, err := d.copy(ctx, in, nil)
	return res, toTemporal(err)
}

// copy is Copy, over ends that are open already or nil.
func (d *Data) copy(ctx context.Context, in CopyInput, ends *pair) (CopyResult, error) {
	begun := time.Now()
	leave, err := d.enter(ctx, in)
	if err != nil {
		return CopyResult{}, err
	}
	defer leave()
	h, err := d.acquire(ctx, in)
	if err != nil {
		return CopyResult{}, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		h.release(ctx)
	}()

	c := newCopier(d, in, h)
	c.clock = newClock(ctx)
	defer beatWith(ctx, func() any { return c.progress() })()

	// The attempt outlives the cancellation of ctx, which asks it to stop at
	// its ledger. It ends at once when the lease is lost.
	work, cancel := context.WithCancelCause(hearing(context.WithoutCancel(ctx), c.hear))
	defer cancel(nil)
	var watched sync.WaitGroup
	watched.Go(func() { h.keep(work) })
	watched.Go(func() {
		select {
		case <-ctx.Done():
		case <-d.Stopping:
		case <-h.lost:
			c.fail(fault.Wrap(fault.Transient, "copy", "chunk "+in.Chunk.ID, errLeaseLost))
			cancel(errLeaseLost)
			return
		case <-c.halted:
		case <-work.Done():
			return
		}
		c.yield()
		select {
		case <-h.lost:
			c.fail(fault.Wrap(fault.Transient, "copy", "chunk "+in.Chunk.ID, errLeaseLost))
			cancel(errLeaseLost)
		case <-time.After(drainGrace):
			cancel(context.Canceled)
		case <-work.Done():
		}
	})
	defer watched.Wait()
	defer cancel(nil)

	if err := c.open(work); err != nil {
		return CopyResult{}, err
	}
	if !c.led.Complete {
		if err := c.connect(work, ends); err != nil {
			c.block(err)
		} else {
			stop, leave := c.expire(), d.join(c)
			c.move(work)
			leave(context.WithoutCancel(ctx))
			stop()
		}
		if err := c.close(ctx); err != nil {
			return CopyResult{}, err
		}
		if c.drained != nil && !c.led.Complete {
			return CopyResult{}, c.drained
		}
	}
	res := c.result()
	if res.BlockedData {
		d.learnApart(ctx, in.Ends, res.Blocked.Message)
	}
	res.Elapsed = time.Since(begun)
	return res, nil
}

// acquire takes the lease on the chunk.
func (d *Data) acquire(ctx context.Context, in CopyInput) (*hold, error) {
	// Half the heartbeat timeout: a copy has stopped before the server takes
	// it for lost and lets a successor begin.
	limit := heartbeatTimeout(ctx) / 2
	if d.limit > 0 {
		limit = d.limit
	}
	want := LeaseRequest{Task: in.Task, Chunk: in.Chunk.ID, Holder: d.Identity, TTL: 3 * limit, Begun: handedOut(ctx)}
	for _, e := range []struct {
		name string
		end  End
	}{{in.Ends.Source, in.Probe.Source}, {in.Ends.Destination, in.Probe.Destination}} {
		if e.end.Sessions > 0 {
			want.Sessions = append(want.Sessions, SessionClaim{
				Endpoint: e.name, Sessions: min(most(in), e.end.Sessions), Limit: e.end.Sessions,
			})
		}
	}
	var lease Lease
	var asked time.Time
	err := insist(ctx, patience, func() (err error) {
		asked = time.Now()
		lease, err = d.Leases.Acquire(ctx, want)
		if fault.Is(err, fault.Busy) {
			// The slot is better used by somebody else meanwhile.
			err = &notNow{&atLimit{err}}
		}
		return err
	})
	if busy := (*notNow)(nil); errors.As(err, &busy) {
		return nil, busy.err
	}
	if err != nil {
		return nil, err
	}
	return newHold(d.Leases, lease, asked, limit), nil
}

// notNow hides the kind of an error from those who would try again.
type notNow struct{ err error }

func (e *notNow) Error() string { return e.err.Error() }

// atLimit is a Busy error of whoever gives out leases: there are as many
// sessions as the endpoint may have.
type atLimit struct{ err error }

func (e *atLimit) Error() string { return e.err.Error() }
func (e *atLimit) Unwrap() error { return e.err }
